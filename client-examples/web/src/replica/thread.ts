// The part of one chat that is shown: messages without a hole. It ends with the newest message, or lies
// anywhere in the chat, where a jump has led; then newer ones are added behind it until it reaches the end.
import type { Changes } from './changes.js';
import { rangeOf, type Message } from './database.js';
import { loadNewer, loadPage, type Source } from './follow.js';
import type { Replica } from './replica.js';

export interface ThreadState {
  readonly messages: readonly Message[];
  /** Whether there are messages ahead of the first. */
  readonly hasOlder: boolean;
  /** Whether there are messages behind the last. */
  readonly hasNewer: boolean;
  /** Nothing of the chat is kept, and the server has not answered. */
  readonly isLoading: boolean;
  /** Goes up where another part is shown, of which nothing stands where it stood before. */
  readonly part: number;
  /** The message for which the part was opened; null for the newest. */
  readonly focus: number | null;
}

/** A message to jump to: its number, and its own cursor or one just ahead of it. */
export interface Target {
  readonly seq: number;
  readonly cursor: string;
}

const PAGE = 50;
/** So many messages on each side are shown where a jump leads. */
const SIDE = 25;

/** `subscribe` and `snapshot` are what React's `useSyncExternalStore` takes. */
export class Thread {
  #state: ThreadState = {
    messages: [],
    hasOlder: true,
    hasNewer: false,
    isLoading: true,
    part: 0,
    focus: null,
  };
  /** A message of the part while it does not end with the newest one. */
  #anchor: number | null = null;
  /** From which number on to which one messages are wanted; null for a page of the newest, and for all. */
  #low: number | null = null;
  #high = 0;
  #listeners = new Set<() => void>();
  #lastTurn: Promise<unknown> = Promise.resolve();
  #older: Promise<void> | undefined;
  #newer: Promise<void> | undefined;
  #stop: () => void;

  constructor(
    readonly chatId: string,
    readonly replica: Replica,
    readonly source: Pick<Source, 'page' | 'newer'>,
    changes: Changes,
  ) {
    this.#stop = changes.listen(({ isAll, messages = [], dropped = [], chats = [] }) => {
      // The database may be closed meanwhile, where the user signs out in another tab.
      if (isAll || dropped.includes(chatId)) {
        this.#turn(() => this.#restart()).catch(() => {});
        return;
      }
      const told = messages.find(([id]) => id === chatId)?.[1];
      if (told || chats.includes(chatId)) this.#turn(() => this.#merge(told ?? [])).catch(() => {});
    });
    this.#turn(() => this.#read()).catch(() => {});
  }

  readonly snapshot = (): ThreadState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Loads the newest page where the newest message is not kept. Throws where the server is away. */
  async open(): Promise<void> {
    await this.#lastTurn;
    const chat = await this.replica.database.get('chats', this.chatId);
    const { messages } = this.#state;
    const from = Math.max(1, chat?.viewerMember?.visibleFromSeq ?? 1);
    const isWhole =
      chat && !chat.isStale && messages.length >= Math.min(PAGE, chat.headSeq - from + 1);
    if (!isWhole && this.#anchor === null) {
      await loadPage(this.replica, this.source, this.chatId, null);
      this.#low = null;
    }
    await this.#turn(() => this.#read());
    this.#change({ isLoading: false });
  }

  /** Adds the messages ahead of the first, from the device or the server. */
  older(): Promise<void> {
    this.#older ??= this.#loadOlder().finally(() => (this.#older = undefined));
    return this.#older;
  }

  /** Adds the messages behind the last, where it is not the newest. */
  newer(): Promise<void> {
    this.#newer ??= this.#loadNewer().finally(() => (this.#newer = undefined));
    return this.#newer;
  }

  /**
   * Shows the part of the chat around a message. False where the message is not there (any more); throws
   * where the server is away.
   */
  async jump({ seq, cursor }: Target): Promise<boolean> {
    await this.#lastTurn;
    if (this.#state.messages.some((message) => message.seq === seq)) return true;
    const { database } = this.replica;
    const chat = await database.get('chats', this.chatId);
    const from = Math.max(1, chat?.viewerMember?.visibleFromSeq ?? 1, seq - 12);
    const to = Math.min(chat?.headSeq ?? 0, seq + 12);
    const around = from <= to ? await database.count('messages', rangeOf(this.chatId, from, to)) : 0;
    if (around === 0 || around < to - from + 1) {
      await loadNewer(this.replica, this.source, this.chatId, cursor, true);
    }
    if (!(await database.getKey('messages', [this.chatId, seq]))) return false;
    await this.#turn(async () => {
      this.#anchor = seq;
      this.#low = seq - SIDE;
      this.#high = seq + SIDE;
      await this.#read({ part: this.#state.part + 1, focus: seq, isLoading: false });
    });
    return true;
  }

  /** Shows the newest messages, after a jump. They are loaded first, so that nothing is shown that grows. */
  async newest(): Promise<void> {
    await this.#lastTurn;
    if (this.#anchor !== null) {
      const { database } = this.replica;
      const head = (await database.get('chats', this.chatId))?.headSeq ?? 0;
      const kept = await database.count('messages', rangeOf(this.chatId, Math.max(0, head - SIDE), head));
      // Without a network what is kept is shown.
      if (kept < SIDE) await loadPage(this.replica, this.source, this.chatId, null).catch(() => null);
    }
    await this.#turn(async () => {
      if (this.#anchor !== null) await this.#restart();
    });
    await this.open();
  }

  close(): void {
    this.#stop();
    this.#listeners.clear();
  }

  async #loadOlder() {
    await this.#lastTurn;
    const [first] = this.#state.messages;
    if (!this.#state.hasOlder) return;
    // All was dropped meanwhile.
    if (!first) return this.open();
    const isKept = await this.replica.database.getKey('messages', [this.chatId, first.seq - 1]);
    if (!isKept) await loadPage(this.replica, this.source, this.chatId, first.cursor);
    await this.#turn(async () => {
      this.#low = Math.min(this.#low ?? first.seq, first.seq - PAGE);
      await this.#read();
    });
  }

  async #loadNewer() {
    await this.#lastTurn;
    const last = this.#state.messages.at(-1);
    if (!last || this.#anchor === null) return;
    const isKept = await this.replica.database.getKey('messages', [this.chatId, last.seq + 1]);
    if (!isKept) await loadNewer(this.replica, this.source, this.chatId, last.cursor);
    await this.#turn(async () => {
      this.#high = Math.max(this.#high, last.seq + PAGE);
      await this.#read();
    });
  }

  #turn(run: () => Promise<void>): Promise<void> {
    const turn = this.#lastTurn.then(run);
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  /** Shows the newest messages that are kept. */
  async #restart() {
    const isElsewhere = this.#anchor !== null;
    this.#anchor = null;
    this.#low = null;
    const part = this.#state.part + (isElsewhere ? 1 : 0);
    await this.#read({ part, focus: isElsewhere ? null : this.#state.focus });
  }

  /** Reads what is wanted, as far as there is no hole. */
  async #read(change: Partial<ThreadState> = {}) {
    const reading = this.replica.database.transaction(['chats', 'messages']);
    const store = reading.objectStore('messages');
    const chat = await reading.objectStore('chats').get(this.chatId);
    const head = chat?.headSeq ?? 0;
    const low = this.#low ?? head - PAGE + 1;
    const messages: Message[] = [];
    const collect = async (from: number, to: number, direction: 'prev' | 'next') => {
      const step = direction === 'prev' ? -1 : 1;
      let next = direction === 'prev' ? to : from;
      for (
        let cursor = await store.openCursor(rangeOf(this.chatId, Math.max(0, from), to), direction);
        cursor && cursor.value.seq === next;
        cursor = await cursor.continue()
      ) {
        messages.push(cursor.value);
        next += step;
      }
    };
    await collect(low, this.#anchor ?? head, 'prev');
    messages.reverse();
    // It was dropped.
    if (this.#anchor !== null && messages.length === 0) return this.#restart();
    if (this.#anchor !== null) {
      await collect(this.#anchor + 1, this.#high, 'next');
      if ((messages.at(-1)?.seq ?? 0) >= head) this.#anchor = null;
    }
    if (this.#anchor === null) {
      // Answers to what the user has sent, ahead of the messages of others before them.
      const last = messages.at(-1)?.seq ?? head;
      messages.push(...(await store.getAll(rangeOf(this.chatId, Math.max(head, last) + 1))));
      if (messages.length > 0) this.#low = Math.min(low, messages[0]!.seq);
    }
    const start = Math.max(1, chat?.viewerMember?.visibleFromSeq ?? 1);
    const hasOlder = (messages[0]?.seq ?? chat?.lastSeq ?? 0) > start;
    const isEmpty = messages.length === 0 && (chat?.lastSeq ?? 0) > 0;
    const hasNewer = this.#anchor !== null;
    this.#change({ messages: this.#same(messages), hasOlder, hasNewer, isLoading: isEmpty, ...change });
  }

  /** Takes over messages that were written, without reading the others. */
  async #merge(seqs: readonly number[]) {
    const { messages } = this.#state;
    const first = messages[0]?.seq;
    if (first === undefined) return this.#read();
    const reading = this.replica.database.transaction(['chats', 'messages']);
    const store = reading.objectStore('messages');
    const chat = await reading.objectStore('chats').get(this.chatId);
    const head = chat?.headSeq ?? 0;
    const isWanted = (seq: number) =>
      seq >= first && (this.#anchor === null || seq <= (messages.at(-1)?.seq ?? 0));
    const wanted = seqs.filter(isWanted).sort((one, other) => one - other);
    const told = await Promise.all(wanted.map((seq) => store.get([this.chatId, seq])));
    const merged = [...messages];
    for (const message of told) {
      if (!message) return this.#read();
      let at = message.seq - first;
      if (merged[at]?.seq !== message.seq) {
        at = merged.findIndex(({ seq }) => seq >= message.seq);
        if (at < 0) at = merged.length;
      }
      const known = merged[at];
      if (known?.seq !== message.seq) merged.splice(at, 0, message);
      else if (JSON.stringify(known) !== JSON.stringify(message)) merged[at] = message;
    }
    // What another tab has written may be told later than it is read.
    if (this.#anchor === null && merged[head - first]?.seq !== head) return this.#read();
    const isSame = merged.length === messages.length && merged.every((one, at) => one === messages[at]);
    if (!isSame) this.#change({ messages: merged });
  }

  /** Messages that are as they were stay the same objects, so that they are not drawn anew. */
  #same(messages: readonly Message[]): readonly Message[] {
    const known = new Map(this.#state.messages.map((message) => [message.seq, message]));
    return messages.map((message) => {
      const old = known.get(message.seq);
      return old && JSON.stringify(old) === JSON.stringify(message) ? old : message;
    });
  }

  #change(change: Partial<ThreadState>) {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}
