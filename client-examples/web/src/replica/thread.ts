// The part of one chat that is shown: messages without a hole up to the newest, of which older ones are
// added in front.
import type { Changes } from './changes.js';
import { rangeOf, type Message } from './database.js';
import { loadPage, type Source } from './follow.js';
import type { Replica } from './replica.js';

export interface ThreadState {
  readonly messages: readonly Message[];
  /** Whether there are messages ahead of the first. */
  readonly hasOlder: boolean;
  /** Nothing of the chat is kept, and the server has not answered. */
  readonly isLoading: boolean;
}

const PAGE = 50;

/** `subscribe` and `snapshot` are what React's `useSyncExternalStore` takes. */
export class Thread {
  #state: ThreadState = { messages: [], hasOlder: true, isLoading: true };
  #listeners = new Set<() => void>();
  #lastTurn: Promise<unknown> = Promise.resolve();
  #older: Promise<void> | undefined;
  #stop: () => void;

  constructor(
    readonly chatId: string,
    readonly replica: Replica,
    readonly source: Pick<Source, 'page'>,
    changes: Changes,
    /** How long it was when it was shown last. */
    readonly length = PAGE,
  ) {
    this.#stop = changes.listen(({ isAll, messages = [], dropped = [], chats = [] }) => {
      const isDropped = isAll || dropped.includes(chatId);
      const isTold = messages.some(([id]) => id === chatId) || chats.includes(chatId);
      // The database may be closed meanwhile, where the user signs out in another tab.
      if (isDropped || isTold) this.#turn(() => this.#read(isDropped ? PAGE : undefined)).catch(() => {});
    });
    this.#turn(() => this.#read(length)).catch(() => {});
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
    if (!isWhole) await loadPage(this.replica, this.source, this.chatId, null);
    await this.#turn(() => this.#read(PAGE));
    this.#change({ isLoading: false });
  }

  /** Adds the messages ahead of the first, from the device or the server. */
  older(): Promise<void> {
    this.#older ??= this.#loadOlder().finally(() => (this.#older = undefined));
    return this.#older;
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
    const { database } = this.replica;
    const isKept = await database.getKey('messages', [this.chatId, first.seq - 1]);
    if (!isKept) await loadPage(this.replica, this.source, this.chatId, first.cursor);
    await this.#turn(() => this.#read(this.#state.messages.length + PAGE));
  }

  #turn(run: () => Promise<void>): Promise<void> {
    const turn = this.#lastTurn.then(run);
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  /** Reads from the newest message down, as far as there is no hole; by default as far as is shown. */
  async #read(atLeast?: number) {
    const { database } = this.replica;
    const reading = database.transaction(['chats', 'messages']);
    const chat = await reading.objectStore('chats').get(this.chatId);
    const first = this.#state.messages[0]?.seq ?? 0;
    const head = chat?.headSeq ?? 0;
    const store = reading.objectStore('messages');
    const messages: Message[] = [];
    let next = head;
    for (
      let cursor = await store.openCursor(rangeOf(this.chatId, 0, head), 'prev');
      cursor && cursor.value.seq === next;
      cursor = await cursor.continue()
    ) {
      const isWanted = atLeast === undefined ? next >= first : messages.length < atLeast;
      if (!isWanted) break;
      messages.push(cursor.value);
      next -= 1;
    }
    messages.reverse();
    // Answers to what the user has sent, ahead of the messages of others before them.
    messages.push(...(await store.getAll(rangeOf(this.chatId, head + 1))));
    const start = Math.max(1, chat?.viewerMember?.visibleFromSeq ?? 1);
    const hasOlder = (messages[0]?.seq ?? chat?.lastSeq ?? 0) > start;
    const isEmpty = messages.length === 0 && (chat?.lastSeq ?? 0) > 0;
    this.#change({ messages: this.#same(messages), hasOlder, isLoading: isEmpty });
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
