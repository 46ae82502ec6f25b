// What is kept on the device, one database for each user: the account as `accountEvents` tells it, the
// place of it, and what is to be sent. What an event says and its place are written in one transaction.
import { deleteDB, openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from 'idb';

import type {
  AccountEventsSubscription,
  ChatStateFragment,
  MembersQuery,
  MessageStateFragment,
  ViewerStateFragment,
} from '../generated/graphql.js';

export type AccountEvent = AccountEventsSubscription['accountEvents'];
export type ChatState = ChatStateFragment;
export type Viewer = ViewerStateFragment;
export type Member = NonNullable<MembersQuery['chat']>['members']['nodes'][number];

/** A message as it is kept: the server's, and the chat that it belongs to. */
export interface Message extends MessageStateFragment {
  readonly chatId: string;
}

export interface Chat extends ChatState {
  readonly lastMessage: Message | null;
  /** Up to here all messages have been told; those that are kept above have come ahead of their turn. */
  readonly headSeq: number;
  /** How far others are known to have read, and when: live only. */
  readonly reads: Readonly<Record<string, { readonly seq: number; readonly at: string }>>;
  /** Goes up when the messages are dropped: pages that were asked for before are good no more. */
  readonly epoch: number;
  /** What is kept is to be loaded anew. */
  readonly isStale: boolean;
}

/** Where the account stands. */
export interface Position {
  readonly checkpoint: string;
  /** The newest cursor of each chat since the checkpoint. */
  readonly since: Readonly<Record<string, string>>;
  /** Whether the list of chats was loaded behind the first checkpoint. */
  readonly isLoaded: boolean;
}

/** A message that the server has not answered for. */
export interface Pending {
  /** One id for the message, not for the try: a retry gets the first message, not a second one. */
  readonly clientMessageId: string;
  readonly chatId: string;
  readonly text: string;
  readonly replyToId: string | null;
  readonly mentionIds: readonly string[];
  /** When it was written, in milliseconds since 1970: they are sent in this order. */
  readonly at: number;
  /** Why the server refused it; null while it waits. */
  readonly problem: string | null;
}

export interface Schema extends DBSchema {
  /** `position` and `viewer`. */
  account: { key: string; value: Position | Viewer };
  chats: { key: string; value: Chat };
  /** By chat and number. */
  messages: { key: [string, number]; value: Message };
  members: { key: string; value: { readonly chatId: string; readonly members: readonly Member[] } };
  outbox: { key: string; value: Pending; indexes: { at: number } };
}

export type Database = IDBPDatabase<Schema>;
export type StoreName = 'account' | 'chats' | 'messages' | 'members' | 'outbox';
export type Writing = IDBPTransaction<Schema, StoreName[], 'readwrite'>;

export const STORES: StoreName[] = ['account', 'chats', 'messages', 'members', 'outbox'];

const nameOf = (userId: string) => `talksy-${userId}`;

/** Opens a user's database. Another tab that deletes it, at signing out, is not held up. */
export async function openDatabase(userId: string): Promise<Database> {
  const database = await openDB<Schema>(nameOf(userId), 1, {
    upgrade(fresh) {
      fresh.createObjectStore('account');
      fresh.createObjectStore('chats', { keyPath: 'id' });
      fresh.createObjectStore('messages', { keyPath: ['chatId', 'seq'] });
      fresh.createObjectStore('members', { keyPath: 'chatId' });
      fresh.createObjectStore('outbox', { keyPath: 'clientMessageId' }).createIndex('at', 'at');
    },
    blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
  });
  return database;
}

export const deleteDatabase = (userId: string): Promise<void> => deleteDB(nameOf(userId));

/** All messages of a chat from one number to another. */
export const rangeOf = (chatId: string, from = 0, to = Number.MAX_SAFE_INTEGER): IDBKeyRange =>
  IDBKeyRange.bound([chatId, from], [chatId, to]);
