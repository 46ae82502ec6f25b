// What is kept of the account, in memory, for who shows it.
import type { Changes } from './changes.js';
import { isTask, type Chat, type Member, type Pending, type PendingFile, type Task, type Viewer } from './database.js';
import type { Replica } from './replica.js';

export interface AccountState {
  readonly viewer: Viewer | null;
  /** Most recently active first. */
  readonly chats: readonly Chat[];
  readonly outbox: readonly Pending[];
  /** Changes of messages that are to be made. */
  readonly tasks: readonly Task[];
  /** The files that are chosen for the next message, by chat. */
  readonly drafts: ReadonlyMap<string, readonly PendingFile[]>;
  /** How much of each file has gone up, from 0 to 1. */
  readonly progress: ReadonlyMap<string, number>;
  /** By chat, where they have been loaded. */
  readonly members: ReadonlyMap<string, readonly Member[]>;
  readonly isLoaded: boolean;
}

/** `subscribe` and `snapshot` are what React's `useSyncExternalStore` takes. */
export class State {
  #state: AccountState = {
    viewer: null,
    chats: [],
    outbox: [],
    tasks: [],
    drafts: new Map(),
    progress: new Map(),
    members: new Map(),
    isLoaded: false,
  };
  #listeners = new Set<() => void>();
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(
    readonly replica: Replica,
    changes: Changes,
  ) {
    changes.listen((change) => {
      const turn = this.#lastTurn.then(async () => {
        if (change.isAll) return this.load();
        if (change.chats?.length) await this.#readChats(change.chats);
        if (change.members?.length) await this.#readMembers(change.members);
        if (change.outbox) this.#change(await this.#outbox());
        if (change.drafts) await this.#readDrafts(change.drafts);
        if (change.progress) this.#change({ progress: new Map([...this.#state.progress, change.progress]) });
        if (change.viewer) this.#change({ viewer: await this.#viewer(), isLoaded: true });
      });
      // The database is closed when the tab is.
      this.#lastTurn = turn.catch(() => {});
    });
  }

  readonly snapshot = (): AccountState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  async load(): Promise<void> {
    const { database } = this.replica;
    const [chats, outbox, viewer, kept, chosen, isLoaded] = await Promise.all([
      database.getAll('chats'),
      this.#outbox(),
      this.#viewer(),
      database.getAll('members'),
      database.getAll('drafts'),
      this.replica.isLoaded(),
    ]);
    const members = new Map(kept.map(({ chatId, members }) => [chatId, members]));
    const drafts = new Map(chosen.map(({ chatId, files }) => [chatId, files]));
    this.#change({ chats: sorted(chats), ...outbox, viewer, members, drafts, isLoaded });
  }

  async #readChats(ids: readonly string[]) {
    const { database } = this.replica;
    const fresh = await Promise.all(ids.map((id) => database.get('chats', id)));
    const others = this.#state.chats.filter(({ id }) => !ids.includes(id));
    this.#change({ chats: sorted([...others, ...fresh.filter((chat) => chat !== undefined)]) });
  }

  async #readMembers(chatIds: readonly string[]) {
    const members = new Map(this.#state.members);
    for (const chatId of chatIds) {
      const kept = await this.replica.database.get('members', chatId);
      if (kept) members.set(chatId, kept.members);
    }
    this.#change({ members });
  }

  async #readDrafts(chatIds: readonly string[]) {
    const drafts = new Map(this.#state.drafts);
    for (const chatId of chatIds) {
      const kept = await this.replica.database.get('drafts', chatId);
      if (kept) drafts.set(chatId, kept.files);
      else drafts.delete(chatId);
    }
    this.#change({ drafts });
  }

  async #outbox() {
    const waiting = await this.replica.database.getAllFromIndex('outbox', 'at');
    return { outbox: waiting.filter((one): one is Pending => !isTask(one)), tasks: waiting.filter(isTask) };
  }

  async #viewer() {
    return ((await this.replica.database.get('account', 'viewer')) ?? null) as Viewer | null;
  }

  #change(change: Partial<AccountState>) {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** When a chat was active last, by what is known of it. */
export const activeAt = ({ activeAt, lastMessage }: Chat): string =>
  lastMessage && lastMessage.createdAt > activeAt ? lastMessage.createdAt : activeAt;

const sorted = (chats: readonly Chat[]) =>
  [...chats].sort((one, other) => (activeAt(one) < activeAt(other) ? 1 : -1));
