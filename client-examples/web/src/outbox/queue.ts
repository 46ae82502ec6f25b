// What the user has written and the server has not answered for. It lies in the database: a reload, a
// crash or a day without a network loses nothing, and one id for all tries doubles nothing.
import type { Changes } from '../replica/changes.js';
import type { Database, Pending } from '../replica/database.js';
import type { Replica } from '../replica/replica.js';
import type { MessageStateFragment } from '../generated/graphql.js';
import { Refused, backoff, mayPass } from '../talksy/refused.js';

/** Sends a message; throws what the server refuses, or that it did not answer. */
export type Deliver = (pending: Pending) => Promise<MessageStateFragment>;

/** Codes behind which a message waits too: for another sign-in, or as it may have been sent. */
const WAITING = ['TIMEOUT', 'UNAUTHENTICATED', 'TOKEN_EXPIRED', 'TOKEN_REUSED'];

const mayBeTriedAgain = (error: unknown) =>
  mayPass(error) || (error instanceof Refused && WAITING.includes(error.code ?? ''));

export class Queue {
  readonly #database: Database;

  constructor(
    readonly replica: Replica,
    readonly changes: Changes,
  ) {
    this.#database = replica.database;
  }

  /** Keeps a message that is to be sent. When it resolves, nothing can lose it. */
  async add(
    chatId: string,
    text: string,
    { replyToId = null, mentionIds = [] }: Partial<Pick<Pending, 'replyToId' | 'mentionIds'>> = {},
  ): Promise<Pending> {
    const clientMessageId = crypto.randomUUID();
    const writing = this.#database.transaction('outbox', 'readwrite');
    const last = await writing.store.index('at').openKeyCursor(null, 'prev');
    // Two of one millisecond keep their order.
    const at = Math.max(Date.now(), (last?.key ?? 0) + 1);
    const pending = { clientMessageId, chatId, text, replyToId, mentionIds, at, problem: null };
    await writing.store.add(pending);
    await writing.done;
    this.changes.tell({ outbox: true });
    return pending;
  }

  /** In the order in which they were written. */
  all(): Promise<Pending[]> {
    return this.#database.getAllFromIndex('outbox', 'at');
  }

  /** Tries one that was refused again, under its id. */
  async retry(clientMessageId: string): Promise<void> {
    await this.#change(clientMessageId, (pending) => ({ ...pending, problem: null }));
  }

  async discard(clientMessageId: string): Promise<void> {
    await this.#change(clientMessageId, () => null);
  }

  /** Sends what waits, one after the other, until `signal` aborts. One tab does it at a time. */
  async send(deliver: Deliver, signal: AbortSignal, wait: typeof backoff = backoff): Promise<void> {
    let wake = () => {};
    let isTold = false;
    const stop = this.changes.listen(({ outbox }) => {
      if (!outbox) return;
      isTold = true;
      wake();
    });
    const onAbort = () => wake();
    signal.addEventListener('abort', onAbort);
    try {
      for (let tries = 0; !signal.aborted; ) {
        isTold = false;
        const next = (await this.all()).find(({ problem }) => problem === null);
        if (next) {
          const error = await this.#deliver(next, deliver);
          tries = error === undefined ? 0 : tries + 1;
          if (error !== undefined) {
            await wait(tries, error instanceof Refused ? error.retryAfter : undefined);
          }
        } else if (!isTold) {
          await new Promise<void>((resolve) => {
            wake = resolve;
            if (signal.aborted || isTold) resolve();
          });
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      stop();
    }
  }

  /** One try; the error where another may succeed. */
  async #deliver(pending: Pending, deliver: Deliver): Promise<unknown> {
    let message: MessageStateFragment;
    try {
      message = await deliver(pending);
    } catch (error) {
      if (mayBeTriedAgain(error)) return error;
      const problem = error instanceof Refused ? (error.code ?? 'INTERNAL') : 'INTERNAL';
      await this.#change(pending.clientMessageId, (kept) => ({ ...kept, problem }));
      return undefined;
    }
    // The message comes and what was pending goes in one step: it is never shown twice, nor not at all.
    await this.replica.keepMessage(pending.chatId, message);
    return undefined;
  }

  async #change(clientMessageId: string, change: (pending: Pending) => Pending | null) {
    const writing = this.#database.transaction('outbox', 'readwrite');
    const kept = await writing.store.get(clientMessageId);
    if (kept) {
      const changed = change(kept);
      await (changed ? writing.store.put(changed) : writing.store.delete(clientMessageId));
    }
    await writing.done;
    this.changes.tell({ outbox: true });
  }
}

/** What is pending in a chat, without what its thread shows already. */
export function pendingIn(
  chatId: string,
  outbox: readonly Pending[],
  thread: readonly { readonly clientMessageId: string | null }[],
): Pending[] {
  const arrived = new Set(thread.map(({ clientMessageId }) => clientMessageId));
  return outbox.filter(
    (pending) => pending.chatId === chatId && !arrived.has(pending.clientMessageId),
  );
}
