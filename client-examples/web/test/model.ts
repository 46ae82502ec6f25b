// A server for the tests, in memory: chats with their two lines, and a connection that breaks, doubles
// and answers late, by a seed.
import type { Courier } from '../src/outbox/queue.js';
import type { AccountEvent, ChatState, Task, Viewer } from '../src/replica/database.js';
import type { NewerPage, Page, Source } from '../src/replica/follow.js';
import type { AccountPosition, MessageStateFragment } from '../src/generated/graphql.js';
import { Refused } from '../src/talksy/refused.js';

/** Numbers from 0 up to 1, always the same ones for a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Line {
  readonly messages: MessageStateFragment[];
  changeSeq: number;
  title: string;
}

/** A place in a chat: behind this message and this change. */
interface Place {
  readonly chatId: string;
  readonly seq: number;
  readonly changeSeq: number;
}

const cursorOf = (place: Place) => JSON.stringify(place);

export class Model {
  readonly viewer: Viewer = { id: 'usr_me', name: 'Me', email: 'me@example.org', about: null, avatar: null };
  readonly chats = new Map<string, Line>();
  /** How many connections there were. */
  connections = 0;
  /** Chats that the next connection resets, as where too much was missed. */
  readonly resets = new Set<string>();
  /** The next connection is refused, as behind a restore. */
  isRestored = false;
  #sent = new Map<string, MessageStateFragment>();
  #connections = new Set<Connection>();

  constructor(
    readonly random: () => number,
    /** How often something breaks: 0 never, 1 always. */
    public faults: number,
  ) {}

  /** Makes a chat. */
  start(chatId: string): void {
    this.chats.set(chatId, { messages: [], changeSeq: 0, title: chatId });
    this.#wake();
  }

  /** Adds a message; with an id that was used before, none. */
  add(chatId: string, text: string, clientMessageId: string | null = null): MessageStateFragment {
    const known = clientMessageId !== null && this.#sent.get(clientMessageId);
    const line = this.#line(chatId);
    if (known) return line.messages[known.seq - 1] ?? known;
    const seq = line.messages.length + 1;
    const message: MessageStateFragment = {
      id: `msg_${chatId}_${seq}`,
      cursor: `${seq}`,
      seq,
      changeSeq: 0,
      kind: 'TEXT',
      text,
      clientMessageId,
      createdAt: new Date(seq * 1000).toISOString(),
      editedAt: null,
      deletedAt: null,
      isPinned: false,
      attachments: [],
      sender: { id: clientMessageId ? 'usr_me' : 'usr_other', name: 'Other' },
      replyTo: null,
      mentions: [],
      reactions: [],
      system: null,
    };
    line.messages.push(message);
    if (clientMessageId !== null) this.#sent.set(clientMessageId, message);
    this.#wake();
    return message;
  }

  /** Changes a message of a chat. */
  edit(chatId: string, seq: number, text: string): void {
    const line = this.#line(chatId);
    const known = line.messages[seq - 1];
    if (!known) return;
    line.changeSeq += 1;
    line.messages[seq - 1] = { ...known, text, changeSeq: line.changeSeq };
    this.#wake();
  }

  /** Breaks all connections. */
  cut(): void {
    for (const connection of this.#connections) connection.cut();
  }

  /** Behind this nothing breaks any more. */
  calm(): void {
    this.faults = 0;
    this.cut();
  }

  stateOf(chatId: string): ChatState {
    const { messages, title } = this.#line(chatId);
    return {
      id: chatId,
      kind: 'GROUP',
      title,
      memberCount: 2,
      lastSeq: messages.length,
      unreadCount: 0,
      unreadMentionCount: 0,
      readByAllSeq: 0,
      isMutedByViewer: false,
      viewerUnreadFromSeq: null,
      readCursor: '0',
      avatar: null,
      activeAt: messages.at(-1)?.createdAt ?? new Date(0).toISOString(),
      peer: null,
      viewerMember: { id: `mem_${chatId}`, role: 'MEMBER', visibleFromSeq: 1, lastReadSeq: 0 },
    };
  }

  follow(
    after: () => AccountPosition | undefined,
    onEvent: (event: AccountEvent) => void,
    onEnd: (problem: unknown) => void,
  ): () => void {
    const connection = new Connection(this, after, onEvent, onEnd);
    this.#connections.add(connection);
    return () => {
      connection.end();
      this.#connections.delete(connection);
    };
  }

  async chats_(after: string | null) {
    await this.#answer();
    const all = [...this.chats.keys()];
    const from = after === null ? 0 : Number(after);
    const read = all.slice(from, from + 2).map((chatId) => ({
      ...this.stateOf(chatId),
      lastMessage: this.#line(chatId).messages.at(-1) ?? null,
    }));
    const next = from + 2 < all.length ? `${from + 2}` : null;
    await this.#late();
    return { viewer: this.viewer, chats: read, next };
  }

  async page(chatId: string, before: string | null): Promise<Page | null> {
    await this.#answer();
    if (!this.chats.has(chatId)) return null;
    const to = before === null ? this.#line(chatId).messages.length : Number(before) - 1;
    const messages = this.#line(chatId).messages.slice(Math.max(0, to - 5), to);
    const page = { chat: this.stateOf(chatId), messages, hasPreviousPage: to > 5 };
    // It was read, and comes later: events overtake it.
    await this.#late();
    return page;
  }

  async newer(chatId: string, after: string): Promise<NewerPage | null> {
    await this.#answer();
    if (!this.chats.has(chatId)) return null;
    const from = Number(after);
    const page = { chat: this.stateOf(chatId), messages: this.#line(chatId).messages.slice(from, from + 5) };
    await this.#late();
    return page;
  }

  /** Makes a change that the queue brings; the answer may be lost though it was made. */
  async change({ chatId, seq, change }: Task) {
    await this.#answer();
    if (change.kind === 'edit') this.edit(chatId, seq, change.text);
    const message = this.#line(chatId).messages[seq - 1]!;
    await this.#late();
    if (this.random() < this.faults) throw new TypeError('The answer was lost.');
    return message;
  }

  /** Takes what the queue sends; the answer may be lost though the message was stored. */
  async deliver(pending: { chatId: string; text: string; clientMessageId: string }) {
    await this.#answer();
    const message = this.add(pending.chatId, pending.text, pending.clientMessageId);
    await this.#late();
    if (this.random() < this.faults) throw new TypeError('The answer was lost.');
    return message;
  }

  /** What a place misses, in an order that keeps each line. */
  missed(places: Map<string, Place>): { event: AccountEvent; place: Place } | undefined {
    const chatIds = [...this.chats.keys()];
    const offset = Math.floor(this.random() * chatIds.length);
    for (let at = 0; at < chatIds.length; at += 1) {
      const chatId = chatIds[(at + offset) % chatIds.length]!;
      const line = this.#line(chatId);
      const known = places.get(chatId);
      if (!known) {
        const place = { chatId, seq: 0, changeSeq: 0 };
        const chat = { ...this.stateOf(chatId), lastMessage: null };
        return { place, event: { __typename: 'ChatChanged', cursor: cursorOf(place), chat } };
      }
      if (this.resets.delete(chatId)) {
        const place = { chatId, seq: line.messages.length, changeSeq: line.changeSeq };
        return { place, event: { __typename: 'ChatReset', cursor: cursorOf(place), chatId } };
      }
      const changed = line.messages
        .filter(({ changeSeq, seq }) => changeSeq > known.changeSeq && seq <= known.seq)
        .sort((one, other) => one.changeSeq - other.changeSeq)[0];
      const added = line.messages[known.seq];
      if (changed && (!added || this.random() < 0.5)) {
        const place = { ...known, changeSeq: changed.changeSeq };
        const message = { ...changed, chat: { id: chatId } };
        return { place, event: { __typename: 'MessageChange', cursor: cursorOf(place), message } };
      }
      if (added) {
        const place = { ...known, seq: added.seq };
        const message = { ...added, chat: this.stateOf(chatId) };
        return { place, event: { __typename: 'MessageAdded', cursor: cursorOf(place), message } };
      }
    }
    return undefined;
  }

  /** The newest place of all chats. */
  head(): string {
    const places = [...this.chats].map(([chatId, { messages, changeSeq }]) => ({
      chatId,
      seq: messages.length,
      changeSeq,
    }));
    return JSON.stringify(places);
  }

  #line(chatId: string): Line {
    const line = this.chats.get(chatId);
    if (!line) throw new Error(`There is no chat ${chatId}.`);
    return line;
  }

  async #answer() {
    await tick();
    if (this.random() < this.faults) throw new TypeError('There is no network.');
  }

  async #late() {
    for (let turns = Math.floor(this.random() * 8 * Math.sign(this.faults)); turns > 0; turns -= 1) {
      await tick();
    }
  }

  #wake() {
    for (const connection of this.#connections) connection.wake();
  }
}

// The name is taken by the map of chats.
export const sourceOf = (model: Model): Source => ({
  follow: (...args) => model.follow(...args),
  chats: (after) => model.chats_(after),
  page: (...args) => model.page(...args),
  newer: (...args) => model.newer(...args),
});

/** A store of uploads that keeps each once, as a server does, and loses answers as the model does. */
export class Uploads {
  readonly bytes = new Map<string, Blob>();
  announced = 0;

  constructor(readonly model: Model) {}

  async announce() {
    await tick();
    if (this.model.random() < this.model.faults) throw new TypeError('There is no network.');
    this.announced += 1;
    const attachmentId = `att_${this.announced}`;
    return { attachmentId, url: `/uploads/${attachmentId}`, expiresAt: Date.now() + 600_000 };
  }

  async put(url: string, blob: Blob, onProgress: (done: number) => void, signal: AbortSignal) {
    onProgress(0.5);
    await tick();
    signal.throwIfAborted();
    if (this.model.random() < this.model.faults) throw new TypeError('There is no network.');
    this.bytes.set(url, blob);
    if (this.model.random() < this.model.faults) throw new TypeError('The answer was lost.');
    onProgress(1);
  }
}

/** What the queue speaks with. */
export const courierOf = (model: Model, uploads = new Uploads(model)): Courier => ({
  announce: () => uploads.announce(),
  put: (...args) => uploads.put(...args),
  deliver: (pending) => model.deliver(pending),
  change: (task) => model.change(task),
});

/** A stream of events, which makes itself anew where it breaks, as graphql-ws does. */
class Connection {
  #isEnded = false;
  #isCut = true;
  #places = new Map<string, Place>();
  #wake = () => {};

  constructor(
    readonly model: Model,
    readonly after: () => AccountPosition | undefined,
    readonly onEvent: (event: AccountEvent) => void,
    readonly onEnd: (problem: unknown) => void,
  ) {
    void this.#run();
  }

  cut() {
    this.#isCut = true;
    this.wake();
  }

  end() {
    this.#isEnded = true;
    this.wake();
  }

  wake() {
    this.#wake();
  }

  async #run() {
    const { model } = this;
    let last: AccountEvent | undefined;
    for (let since = 0; !this.#isEnded; ) {
      if (this.#isCut) {
        await tick();
        if (this.#isEnded) return;
        if (!this.#connect()) return;
        since = 0;
      }
      if (model.random() < model.faults * 0.3) this.#isCut = true;
      if (this.#isCut) continue;
      const missed = model.missed(this.#places);
      if (missed) {
        this.#places.set(missed.place.chatId, missed.place);
        last = missed.event;
        this.onEvent(last);
        since += 1;
        // It comes again, as at the border of two connections.
        if (model.random() < model.faults * 0.3) this.onEvent(last);
      } else if (since > 0) {
        since = 0;
        const places = JSON.stringify([...this.#places.values()]);
        this.onEvent({ __typename: 'AccountCheckpoint', cursor: places, isCaughtUp: true });
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      await tick();
    }
  }

  #connect(): boolean {
    const { model } = this;
    model.connections += 1;
    this.#isCut = false;
    const position = this.after();
    if (position && model.isRestored) {
      model.isRestored = false;
      const extensions = { code: 'RESYNC_REQUIRED' };
      this.onEnd(new Refused({ message: 'Too much was missed.', extensions }));
      return false;
    }
    const checkpoint = position?.checkpoint ?? model.head();
    const places = JSON.parse(checkpoint) as Place[];
    this.#places = new Map(places.map((place) => [place.chatId, place]));
    for (const cursor of position?.since ?? []) {
      const place = JSON.parse(cursor) as Place;
      this.#places.set(place.chatId, place);
    }
    if (!position) {
      this.onEvent({ __typename: 'AccountCheckpoint', cursor: checkpoint, isCaughtUp: true });
    }
    return true;
  }
}
