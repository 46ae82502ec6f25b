// Applies what the server tells to what is kept. Knows neither the network nor React: `follow.ts` brings
// the events, and who shows them listens to `Changes`.
import type { Changes } from './changes.js';
import {
  STORES,
  isTask,
  rangeOf,
  type AccountEvent,
  type Chat,
  type ChatState,
  type Database,
  type Member,
  type Message,
  type Position,
  type Viewer,
  type Writing,
} from './database.js';
import type { AccountPosition, MessageStateFragment } from '../generated/graphql.js';

/** A chat as the server's lists have it. */
export type ListedChat = ChatState & { readonly lastMessage?: MessageStateFragment | null };

/** What was written, for all who show it. */
class Written {
  readonly chats = new Set<string>();
  readonly messages = new Map<string, Set<number>>();
  readonly dropped = new Set<string>();
  readonly members = new Set<string>();
  viewer = false;
  outbox = false;

  message(chatId: string, seq: number) {
    const known = this.messages.get(chatId);
    if (known) known.add(seq);
    else this.messages.set(chatId, new Set([seq]));
  }
}

export class Replica {
  constructor(
    readonly database: Database,
    readonly changes: Changes,
  ) {}

  /** Where a subscription goes on; undefined for one from the present. */
  async position(): Promise<AccountPosition | undefined> {
    const kept = await this.#position();
    return kept && { checkpoint: kept.checkpoint, since: Object.values(kept.since) };
  }

  /** Whether the list of chats has been loaded once. */
  async isLoaded(): Promise<boolean> {
    return (await this.#position())?.isLoaded ?? false;
  }

  /** Applies events in their order, all or none, together with the place behind the last. */
  async apply(events: readonly AccountEvent[]): Promise<void> {
    await this.#write(async (writing, written) => {
      let position = (await writing.objectStore('account').get('position')) as Position | undefined;
      for (const event of events) {
        const chatId = await this.#applyOne(writing, written, event);
        if (event.__typename === 'AccountCheckpoint') {
          // All before it was applied: it stands for all cursors before it.
          const isLoaded = position?.isLoaded ?? false;
          position = { checkpoint: event.cursor, since: {}, isLoaded };
        } else if (chatId && position) {
          position = { ...position, since: { ...position.since, [chatId]: event.cursor } };
        }
      }
      if (position) await writing.objectStore('account').put(position, 'position');
    });
  }

  /** The first load of the account; where it is cut off, it is done again. */
  async load(viewer: Viewer, listed: readonly ListedChat[]): Promise<void> {
    await this.#write(async (writing, written) => {
      await writing.objectStore('account').put(viewer, 'viewer');
      written.viewer = true;
      for (const chat of listed) await this.#keepChat(writing, written, chat);
      const position = (await writing.objectStore('account').get('position')) as Position;
      await writing.objectStore('account').put({ ...position, isLoaded: true }, 'position');
    });
  }

  /** What an answer says of a chat. */
  async keepChat(listed: ListedChat): Promise<void> {
    await this.#write((writing, written) => this.#keepChat(writing, written, listed));
  }

  /** What an answer says of a message; one that was pending is so no more, nor is the change `done`. */
  async keepMessage(chatId: string, message: MessageStateFragment, done?: string): Promise<void> {
    await this.#write(async (writing, written) => {
      if (await writing.objectStore('chats').get(chatId)) {
        await this.#keepMessage(writing, written, { ...message, chatId });
      }
      await this.#settle(writing, written, message.clientMessageId);
      await this.#settle(writing, written, done ?? null);
    });
  }

  /**
   * Keeps a page that was asked for at `epoch`; false where the messages have been dropped since, and
   * the page may be older than what was missed. Only the newest page stands for a chat that is stale.
   */
  async keepPage(
    chatId: string,
    epoch: number,
    state: ChatState,
    page: readonly MessageStateFragment[],
    isNewest: boolean,
  ): Promise<boolean> {
    let isKept = false;
    await this.#write(async (writing, written) => {
      const kept = await writing.objectStore('chats').get(chatId);
      if (kept?.epoch !== epoch) return;
      isKept = true;
      for (const message of page) await this.#keepMessage(writing, written, { ...message, chatId });
      if (kept.isStale && !isNewest) return;
      const last = page.at(-1);
      const headSeq = Math.max(kept.headSeq, last?.seq ?? 0);
      const lastMessage = newer(kept.lastMessage, last ? { ...last, chatId } : null);
      const fresh = kept.isStale ? { ...kept, ...state, isStale: false } : kept;
      await writing.objectStore('chats').put({ ...fresh, headSeq, lastMessage });
      written.chats.add(chatId);
    });
    return isKept;
  }

  async keepMembers(chatId: string, members: readonly Member[]): Promise<void> {
    await this.#write(async (writing, written) => {
      await writing.objectStore('members').put({ chatId, members });
      written.members.add(chatId);
    });
  }

  /** What an answer says of the viewer. */
  async keepViewer(viewer: Viewer): Promise<void> {
    await this.#write(async (writing, written) => {
      await writing.objectStore('account').put(viewer, 'viewer');
      written.viewer = true;
    });
  }

  async removeChat(chatId: string): Promise<void> {
    await this.#write((writing, written) => this.#removeChat(writing, written, chatId));
  }

  /** Shows a chat as read before the server says so. */
  async showRead(chatId: string, seq: number): Promise<void> {
    await this.#write(async (writing, written) => {
      const kept = await writing.objectStore('chats').get(chatId);
      if (!kept?.viewerMember) return;
      const isMarked = kept.viewerUnreadFromSeq !== null;
      if (kept.viewerMember.lastReadSeq >= seq && !isMarked) return;
      const lastReadSeq = Math.max(kept.viewerMember.lastReadSeq, seq);
      const viewerMember = { ...kept.viewerMember, lastReadSeq };
      const unread = seq >= kept.lastSeq ? { unreadCount: 0, unreadMentionCount: 0 } : {};
      const read = { ...unread, viewerUnreadFromSeq: null, viewerMember };
      await writing.objectStore('chats').put({ ...kept, ...read });
      written.chats.add(chatId);
    });
  }

  /** The chats of which the messages were dropped and not loaded yet. */
  async staleChats(): Promise<string[]> {
    const chats = await this.database.getAll('chats');
    return chats.filter(({ isStale }) => isStale).map(({ id }) => id);
  }

  /** Drops the account, but nothing that is to be sent. */
  async clear(): Promise<void> {
    const writing = this.database.transaction(STORES, 'readwrite');
    await Promise.all([
      ...(['account', 'chats', 'messages', 'members'] as const).map((name) =>
        writing.objectStore(name).clear(),
      ),
      writing.done,
    ]);
    this.changes.tell({ isAll: true });
  }

  async #position(): Promise<Position | undefined> {
    return (await this.database.get('account', 'position')) as Position | undefined;
  }

  /** One transaction, and then word of it. */
  async #write(run: (writing: Writing, written: Written) => Promise<void>): Promise<void> {
    const writing = this.database.transaction(STORES, 'readwrite') as Writing;
    const written = new Written();
    try {
      await run(writing, written);
    } catch (error) {
      try {
        writing.abort();
      } catch {
        // It has ended by itself.
      }
      await writing.done.catch(() => {});
      throw error;
    }
    await writing.done;
    this.changes.tell({
      chats: [...written.chats],
      messages: [...written.messages].map(([chatId, seqs]) => [chatId, [...seqs]]),
      dropped: [...written.dropped],
      members: [...written.members],
      viewer: written.viewer,
      outbox: written.outbox,
    });
  }

  /** Applies one event; the chat of whose line it is. */
  async #applyOne(
    writing: Writing,
    written: Written,
    event: AccountEvent,
  ): Promise<string | undefined> {
    switch (event.__typename) {
      case 'MessageAdded': {
        const { chat, ...message } = event.message;
        await this.#keepChat(writing, written, { ...chat, lastMessage: message });
        await this.#keepMessage(writing, written, { ...message, chatId: chat.id });
        await this.#advance(writing, chat.id, message.seq);
        await this.#settle(writing, written, message.clientMessageId);
        return chat.id;
      }
      case 'MessageChange': {
        const { chat, ...message } = event.message;
        // Also one that is not loaded yet: its page may have been read before the change, and come later.
        if (await writing.objectStore('chats').get(chat.id)) {
          await this.#keepMessage(writing, written, { ...message, chatId: chat.id });
        }
        return chat.id;
      }
      case 'ChatChanged':
        await this.#keepChat(writing, written, event.chat);
        return event.chat.id;
      case 'ChatReset':
        await this.#reset(writing, written, event.chatId);
        return event.chatId;
      case 'ChatRemoved':
        await this.#removeChat(writing, written, event.chatId);
        return event.chatId;
      case 'ReceiptChanged': {
        const { chat, user, lastReadSeq, readAt } = event.receipt;
        const kept = await writing.objectStore('chats').get(chat.id);
        if (kept && (kept.reads[user.id]?.seq ?? 0) < lastReadSeq) {
          const reads = { ...kept.reads, [user.id]: { seq: lastReadSeq, at: readAt } };
          await writing.objectStore('chats').put({ ...kept, reads });
          written.chats.add(chat.id);
        }
        return chat.id;
      }
      case 'ViewerChanged':
        await writing.objectStore('account').put(event.viewer, 'viewer');
        written.viewer = true;
        return undefined;
      default:
        // A checkpoint, or a kind of a newer server, which comes again.
        return undefined;
    }
  }

  async #keepChat(writing: Writing, written: Written, listed: ListedChat) {
    const { lastMessage, ...state } = listed;
    const store = writing.objectStore('chats');
    const kept = await store.get(state.id);
    const told = lastMessage ? { ...lastMessage, chatId: state.id } : null;
    const fresh: Chat = {
      reads: {},
      epoch: 0,
      isStale: false,
      // What is behind this answer is told.
      headSeq: state.lastSeq,
      ...kept,
      ...state,
      // An answer may be older than an event that came before it.
      lastSeq: Math.max(state.lastSeq, kept?.lastSeq ?? 0, told?.seq ?? 0),
      lastMessage: newer(kept?.lastMessage ?? null, told),
    };
    await store.put(fresh);
    written.chats.add(state.id);
    if (told && !fresh.isStale) await this.#keepMessage(writing, written, told);
  }

  /** All messages of a chat up to this one have been told. */
  async #advance(writing: Writing, chatId: string, seq: number) {
    const kept = await writing.objectStore('chats').get(chatId);
    if (!kept || kept.headSeq >= seq) return;
    await writing.objectStore('chats').put({ ...kept, headSeq: seq });
  }

  async #keepMessage(writing: Writing, written: Written, message: Message) {
    const store = writing.objectStore('messages');
    const { chatId, seq } = message;
    const known = await store.get([chatId, seq]);
    // Of two states the one with the greater `changeSeq` is the newer, wherever each came from.
    if (known && known.changeSeq > message.changeSeq) return;
    await store.put(message);
    written.message(chatId, seq);
    const kept = await writing.objectStore('chats').get(chatId);
    if (kept && seq >= (kept.lastMessage?.seq ?? 0)) {
      const lastMessage = newer(kept.lastMessage, message);
      await writing.objectStore('chats').put({ ...kept, lastMessage });
      written.chats.add(chatId);
    }
  }

  async #settle(writing: Writing, written: Written, clientMessageId: string | null) {
    if (!clientMessageId) return;
    const store = writing.objectStore('outbox');
    const kept = await store.get(clientMessageId);
    if (!kept) return;
    await store.delete(clientMessageId);
    for (const { id } of isTask(kept) ? [] : (kept.files ?? [])) {
      await writing.objectStore('files').delete(id);
    }
    written.outbox = true;
  }

  async #reset(writing: Writing, written: Written, chatId: string) {
    await writing.objectStore('messages').delete(rangeOf(chatId));
    written.dropped.add(chatId);
    const kept = await writing.objectStore('chats').get(chatId);
    if (!kept) return;
    await writing.objectStore('chats').put({ ...kept, headSeq: 0, epoch: kept.epoch + 1, isStale: true });
    written.chats.add(chatId);
  }

  async #removeChat(writing: Writing, written: Written, chatId: string) {
    await Promise.all([
      writing.objectStore('chats').delete(chatId),
      writing.objectStore('members').delete(chatId),
      writing.objectStore('messages').delete(rangeOf(chatId)),
    ]);
    written.chats.add(chatId);
    written.dropped.add(chatId);
  }
}

/** The later message of two, and of two states of one the newer. */
function newer(known: Message | null, told: Message | null): Message | null {
  if (!known || !told) return told ?? known;
  if (known.seq !== told.seq) return known.seq > told.seq ? known : told;
  return known.changeSeq > told.changeSeq ? known : told;
}
