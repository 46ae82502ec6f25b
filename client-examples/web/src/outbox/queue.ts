// What the user has written, attached and changed, and the server has not answered for. It lies in the
// database: a reload, a crash or a day without a network loses nothing, and one id for all tries doubles
// nothing. What belongs to one chat is sent in its order; chats do not wait for each other.
import { takeFiles } from './drafts.js';
import type { Changes } from '../replica/changes.js';
import {
  isTask,
  type Change,
  type Database,
  type Message,
  type Pending,
  type PendingFile,
  type Task,
  type Upload,
} from '../replica/database.js';
import type { Replica } from '../replica/replica.js';
import type { MessageStateFragment } from '../generated/graphql.js';
import { Refused, backoff, mayPass } from '../talksy/refused.js';

/** Speaks with the server; each throws what it refuses, or that it did not answer. */
export interface Courier {
  /** Asks where a file is to be put. */
  announce(file: PendingFile): Promise<Omit<Upload, 'doneAt'>>;
  /** Puts its bytes there; also resolves where the server has them from an earlier try. */
  put(url: string, blob: Blob, onProgress: (done: number) => void, signal: AbortSignal): Promise<void>;
  deliver(pending: Pending, attachmentIds: readonly string[]): Promise<MessageStateFragment>;
  change(task: Task): Promise<MessageStateFragment>;
}

interface Extras extends Partial<Pick<Pending, 'replyToId' | 'mentionIds'>> {
  /** Which of the chat's chosen files go with it, by their ids: see `Drafts`. */
  readonly fileIds?: readonly string[];
}

/** Codes behind which a message waits too: for another sign-in, or as it may have been sent. */
const WAITING = ['TIMEOUT', 'UNAUTHENTICATED', 'TOKEN_EXPIRED', 'TOKEN_REUSED'];
/** What is uploaded and not used is erased after a day; milliseconds. */
const KEPT = 12 * 3_600_000;

const mayBeTriedAgain = (error: unknown) =>
  mayPass(error) || (error instanceof Refused && WAITING.includes(error.code ?? ''));

/** The user has taken the message back. */
class Discarded extends Error {}

export class Queue {
  readonly #database: Database;

  constructor(
    readonly replica: Replica,
    readonly changes: Changes,
    readonly now: () => number = Date.now,
  ) {
    this.#database = replica.database;
  }

  /**
   * Keeps a message that is to be sent. When it resolves, nothing can lose it. Its files are chosen no more in the
   * same step: two tabs that send them send them once. Null where nothing is left to be sent by that.
   */
  add(chatId: string, text: string, extras: Extras = {}): Promise<Pending | null> {
    const { replyToId = null, mentionIds = [], fileIds = [] } = extras;
    return this.#keep<Pending>(chatId, fileIds, (files) =>
      text === '' && files.length === 0 ? null : { chatId, text, replyToId, mentionIds, files },
    );
  }

  /** Keeps a change of a message that is to be made. One that undoes a change which waits takes its place. */
  async change({ chatId, id: messageId, seq }: Message, change: Change): Promise<void> {
    const same = (await this.all()).filter(
      (one) => isTask(one) && one.messageId === messageId && keyOf(one.change) === keyOf(change),
    );
    await this.#keep<Task>(chatId, [], () => ({ chatId, messageId, seq, change }));
    // It may be on its way: what comes behind it says how it is to be.
    for (const { clientMessageId } of same) await this.discard(clientMessageId);
  }

  /** In the order in which they were written. */
  all(): Promise<(Pending | Task)[]> {
    return this.#database.getAllFromIndex('outbox', 'at');
  }

  /** The bytes of a file that waits. */
  async blob(id: string): Promise<Blob | undefined> {
    return (await this.#database.get('files', id))?.blob;
  }

  /** Tries one that was refused again, under its id. */
  async retry(clientMessageId: string): Promise<void> {
    await this.#change(clientMessageId, ({ sentence: _, ...kept }) => ({ ...kept, problem: null }));
  }

  async discard(clientMessageId: string): Promise<void> {
    await this.#change(clientMessageId, () => null);
  }

  /** Sends what waits until `signal` aborts. One tab does it at a time. */
  async send(courier: Courier, signal: AbortSignal, wait: typeof backoff = backoff): Promise<void> {
    let wake = () => {};
    let isTold = false;
    const busy = new Map<string, Promise<void>>();
    const stop = this.changes.listen(({ outbox }) => {
      if (!outbox) return;
      isTold = true;
      wake();
    });
    const onAbort = () => wake();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        isTold = false;
        for (const { chatId, problem } of await this.all()) {
          if (problem !== null || busy.has(chatId)) continue;
          const sending = this.#sendChat(chatId, courier, signal, wait).finally(() => {
            busy.delete(chatId);
            isTold = true;
            wake();
          });
          busy.set(chatId, sending);
          // The database is closed when the tab is.
          sending.catch(() => {});
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || isTold) resolve();
        });
      }
      await Promise.allSettled(busy.values());
    } finally {
      signal.removeEventListener('abort', onAbort);
      stop();
    }
  }

  async #sendChat(chatId: string, courier: Courier, signal: AbortSignal, wait: typeof backoff) {
    for (let tries = 0; !signal.aborted; ) {
      const next = (await this.all()).find((one) => one.chatId === chatId && one.problem === null);
      if (!next) return;
      const error = await this.#deliver(next, courier, signal);
      tries = error === undefined ? 0 : tries + 1;
      if (error !== undefined) await wait(tries, error instanceof Refused ? error.retryAfter : undefined);
    }
  }

  /** One try; the error where another may succeed. */
  async #deliver(waiting: Pending | Task, courier: Courier, signal: AbortSignal): Promise<unknown> {
    const { clientMessageId, chatId } = waiting;
    let message: MessageStateFragment;
    try {
      if (isTask(waiting)) message = await courier.change(waiting);
      else message = await courier.deliver(waiting, await this.#upload(waiting, courier, signal));
    } catch (error) {
      if (error instanceof Discarded) return undefined;
      if (mayBeTriedAgain(error)) return error;
      const { code = 'INTERNAL', field = '', message } = error as Refused;
      if (!isTask(waiting) && field.startsWith('input.attachmentIds') && (await this.#isOld(clientMessageId))) {
        // It waited for so long that the server has erased what was uploaded.
        await this.#change(clientMessageId, (kept) => ({
          ...kept,
          files: (kept as Pending).files?.map(({ upload: _, ...file }) => file) ?? [],
        }));
        return undefined;
      }
      const isClear = ['BAD_USER_INPUT', 'CONFLICT', 'RATE_LIMITED'].includes(code);
      const sentence = isClear ? { sentence: message } : {};
      await this.#change(clientMessageId, (kept) => ({ ...kept, problem: code, ...sentence }));
      return undefined;
    }
    // The message comes and what was pending goes in one step: it is never shown twice, nor not at all.
    await this.replica.keepMessage(chatId, message, clientMessageId);
    return undefined;
  }

  async #isOld(clientMessageId: string): Promise<boolean> {
    const kept = await this.#database.get('outbox', clientMessageId);
    const files = kept && !isTask(kept) ? (kept.files ?? []) : [];
    return files.some(({ upload }) => upload?.doneAt && upload.doneAt < this.now() - KEPT);
  }

  /** Uploads the files that the server does not have yet, each once; the ids of them all. */
  async #upload({ clientMessageId, files = [] }: Pending, courier: Courier, signal: AbortSignal): Promise<string[]> {
    const ids: string[] = [];
    for (const file of files) {
      let { upload } = file;
      if (!upload?.doneAt) {
        if (!upload || upload.expiresAt < this.now() + 30_000) {
          upload = { ...(await courier.announce(file)), doneAt: null };
          // Kept ahead of the bytes: where this is cut off, they go to the same place.
          await this.#keepUpload(clientMessageId, file.id, upload);
        }
        await this.#put(clientMessageId, file, upload.url, courier, signal);
        upload = { ...upload, doneAt: this.now() };
        await this.#keepUpload(clientMessageId, file.id, upload);
      }
      ids.push(upload.attachmentId);
    }
    if (!(await this.#database.getKey('outbox', clientMessageId))) throw new Discarded();
    return ids;
  }

  async #put(clientMessageId: string, file: PendingFile, url: string, courier: Courier, signal: AbortSignal) {
    const blob = await this.blob(file.id);
    if (!blob) {
      if (!(await this.#database.getKey('outbox', clientMessageId))) throw new Discarded();
      throw new Refused({ message: 'Its file is lost.', extensions: { code: 'NOT_FOUND' } });
    }
    const ending = new AbortController();
    const stop = this.changes.listen(({ outbox }) => {
      if (!outbox) return;
      // The user takes it back, here or in another tab.
      void this.#database.getKey('outbox', clientMessageId).then(
        (key) => key ?? ending.abort(),
        () => ending.abort(),
      );
    });
    try {
      const tell = (done: number) => this.changes.tell({ progress: [file.id, done] });
      await courier.put(url, blob, tell, AbortSignal.any([ending.signal, signal]));
    } catch (error) {
      if (ending.signal.aborted) throw new Discarded();
      throw error;
    } finally {
      stop();
    }
  }

  async #keepUpload(clientMessageId: string, fileId: string, upload: Upload) {
    let isKept = false;
    await this.#change(clientMessageId, (kept) => {
      isKept = true;
      const files = (kept as Pending).files ?? [];
      return { ...kept, files: files.map((file) => (file.id === fileId ? { ...file, upload } : file)) };
    });
    if (!isKept) throw new Discarded();
  }

  /** Writes what `content` makes of the files that are taken from the chat's draft: nothing, null, only where none is. */
  async #keep<Kind extends Pending | Task>(
    chatId: string,
    fileIds: readonly string[],
    content: (files: readonly PendingFile[]) => Omit<Kind, 'clientMessageId' | 'at' | 'problem' | 'sentence'> | null,
  ): Promise<Kind | null> {
    const writing = this.#database.transaction(['outbox', 'drafts'], 'readwrite');
    const taken = await takeFiles(writing.objectStore('drafts'), chatId, fileIds);
    const made = content(taken);
    if (!made) return null;
    const outbox = writing.objectStore('outbox');
    const last = await outbox.index('at').openKeyCursor(null, 'prev');
    // Two of one millisecond keep their order.
    const at = Math.max(this.now(), (last?.key ?? 0) + 1);
    const waiting = { ...made, clientMessageId: crypto.randomUUID(), at, problem: null } as unknown as Kind;
    await outbox.add(waiting);
    await writing.done;
    this.changes.tell(taken.length > 0 ? { outbox: true, drafts: [chatId] } : { outbox: true });
    return waiting;
  }

  async #change(clientMessageId: string, change: (waiting: Pending | Task) => Pending | Task | null) {
    const writing = this.#database.transaction(['outbox', 'files'], 'readwrite');
    const outbox = writing.objectStore('outbox');
    const kept = await outbox.get(clientMessageId);
    if (kept) {
      const changed = change(kept);
      if (changed) await outbox.put(changed);
      else {
        await outbox.delete(clientMessageId);
        for (const { id } of isTask(kept) ? [] : (kept.files ?? [])) await writing.objectStore('files').delete(id);
      }
    }
    await writing.done;
    this.changes.tell({ outbox: true });
  }
}

/** Of two changes with one key the later says how it is to be. */
const keyOf = (change: Change): string =>
  change.kind === 'react' ? `react ${change.emoji}` : change.kind;

/** What is pending in a chat, without what its thread shows already. */
export function pendingIn(
  chatId: string,
  outbox: readonly (Pending | Task)[],
  thread: readonly { readonly clientMessageId: string | null }[],
): Pending[] {
  const arrived = new Set(thread.map(({ clientMessageId }) => clientMessageId));
  return outbox.filter(
    (one): one is Pending => !isTask(one) && one.chatId === chatId && !arrived.has(one.clientMessageId),
  );
}

/** The messages as they are when the changes that wait have been made. */
export function changed(messages: readonly Message[], tasks: readonly Task[]): readonly Message[] {
  if (tasks.length === 0) return messages;
  const bySeq = new Map<number, Task[]>();
  for (const task of tasks) {
    if (task.problem === null) bySeq.set(task.seq, [...(bySeq.get(task.seq) ?? []), task]);
  }
  return messages.map((message) => (bySeq.get(message.seq) ?? []).reduce(applied, message));
}

function applied(message: Message, { change, at }: Task): Message {
  const now = new Date(at).toISOString();
  // Nothing is done to what is deleted.
  if (message.deletedAt) return message;
  switch (change.kind) {
    case 'edit':
      return { ...message, text: change.text, editedAt: now };
    case 'delete':
      return { ...message, text: null, attachments: [], reactions: [], isPinned: false, deletedAt: now };
    case 'pin':
      return { ...message, isPinned: change.isOn };
    case 'react': {
      const { emoji, isOn } = change;
      const known = message.reactions.find((group) => group.emoji === emoji);
      if (isOn === (known?.viewerHasReacted ?? false)) return message;
      const fresh = { id: `${message.id} ${emoji}`, emoji, count: 0 };
      const group = { ...(known ?? fresh), viewerHasReacted: isOn };
      const counted = { ...group, count: group.count + (isOn ? 1 : -1) };
      const reactions = known
        ? message.reactions.map((one) => (one === known ? counted : one))
        : [...message.reactions, counted];
      return { ...message, reactions: reactions.filter(({ count }) => count > 0) };
    }
  }
}
