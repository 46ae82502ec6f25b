// What is kept on the device, one database for each user: the account as `accountEvents` tells it, the
// place of it, and what is to be sent. What an event says and its place are written in one transaction.
import { deleteDB, openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from 'idb';

import type {
  AccountEventsSubscription,
  AttachmentStateFragment,
  ChatStateFragment,
  MembersQuery,
  MessageStateFragment,
  ViewerStateFragment,
} from '../generated/graphql.js';

export type AccountEvent = AccountEventsSubscription['accountEvents'];
export type ChatState = ChatStateFragment;
export type Attachment = AttachmentStateFragment;
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

/** What the server has not answered for. */
interface Waiting {
  /** One id for what is to be done, not for the try: a retry gets the first message, not a second one. */
  readonly clientMessageId: string;
  readonly chatId: string;
  /** When it was written, in milliseconds since 1970: they are sent in this order. */
  readonly at: number;
  /** The code with which the server refused it; null while it waits. */
  readonly problem: string | null;
  /** What the server said about it, where a user can do something about it. */
  readonly sentence?: string;
}

/** A message that is to be sent. */
export interface Pending extends Waiting {
  readonly text: string;
  readonly replyToId: string | null;
  readonly mentionIds: readonly string[];
  /** Sent ahead of it, one after the other. Their bytes lie apart, in `files`. */
  readonly files?: readonly PendingFile[];
}

/** A file of a message that is to be sent. */
export interface PendingFile {
  /** The key of its bytes. */
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly byteSize: number;
  /** In pixels; null where it is no image. */
  readonly width: number | null;
  readonly height: number | null;
  /** Where its bytes go, once the server has been asked. */
  readonly upload?: Upload;
}

export interface Upload {
  readonly attachmentId: string;
  readonly url: string;
  /** By the clock of this browser, in milliseconds since 1970. */
  readonly expiresAt: number;
  /** When the server had all of it; null while it has not. */
  readonly doneAt: number | null;
}

/** A change of a message that is to be made. */
export interface Task extends Waiting {
  readonly messageId: string;
  readonly seq: number;
  readonly change: Change;
}

export type Change =
  | { readonly kind: 'edit'; readonly text: string; readonly mentionIds: readonly string[] }
  | { readonly kind: 'delete' }
  | { readonly kind: 'react'; readonly emoji: string; readonly isOn: boolean }
  | { readonly kind: 'pin'; readonly isOn: boolean };

export const isTask = (waiting: Pending | Task): waiting is Task => 'change' in waiting;

export interface Schema extends DBSchema {
  /** `position` and `viewer`. */
  account: { key: string; value: Position | Viewer };
  chats: { key: string; value: Chat };
  /** By chat and number. */
  messages: { key: [string, number]; value: Message };
  members: { key: string; value: { readonly chatId: string; readonly members: readonly Member[] } };
  outbox: { key: string; value: Pending | Task; indexes: { at: number } };
  /** What is chosen for the next message of a chat, and not sent. */
  drafts: { key: string; value: { readonly chatId: string; readonly files: readonly PendingFile[] } };
  /** The bytes of what is chosen or to be sent. */
  files: { key: string; value: { readonly id: string; readonly blob: Blob } };
}

export type Database = IDBPDatabase<Schema>;
export type StoreName = 'account' | 'chats' | 'messages' | 'members' | 'outbox' | 'files';
export type Writing = IDBPTransaction<Schema, StoreName[], 'readwrite'>;

export const STORES: StoreName[] = ['account', 'chats', 'messages', 'members', 'outbox', 'files'];

const nameOf = (userId: string) => `talksy-${userId}`;

/** Opens a user's database. Another tab that deletes it, at signing out, is not held up. */
export async function openDatabase(userId: string): Promise<Database> {
  const database = await openDB<Schema>(nameOf(userId), 3, {
    async upgrade(database, version, _to, changing) {
      if (version < 1) {
        database.createObjectStore('account');
        database.createObjectStore('chats', { keyPath: 'id' });
        database.createObjectStore('messages', { keyPath: ['chatId', 'seq'] });
        database.createObjectStore('members', { keyPath: 'chatId' });
        database.createObjectStore('outbox', { keyPath: 'clientMessageId' }).createIndex('at', 'at');
      } else if (version < 2) {
        // Attachments were not kept: all but what is to be sent is loaded anew.
        for (const name of ['account', 'chats', 'messages', 'members'] as const) {
          await changing.objectStore(name).clear();
        }
      }
      if (version < 2) database.createObjectStore('files', { keyPath: 'id' });
      if (version < 3) database.createObjectStore('drafts', { keyPath: 'chatId' });
    },
    blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
  });
  return database;
}

export const deleteDatabase = (userId: string): Promise<void> => deleteDB(nameOf(userId));

/** All messages of a chat from one number to another. */
export const rangeOf = (chatId: string, from = 0, to = Number.MAX_SAFE_INTEGER): IDBKeyRange =>
  IDBKeyRange.bound([chatId, from], [chatId, to]);
