// The files that are chosen for the next message of a chat. They lie in the user's database beside what is to be
// sent: a reload, a crash or the end of a session loses none, and nobody else who signs in here can send them.
import type { IDBPObjectStore, StoreNames } from 'idb';

import type { Changes } from '../replica/changes.js';
import type { Database, PendingFile, Position, Schema } from '../replica/database.js';

/** A file that was chosen, with what is known of it. */
export interface Chosen extends Omit<PendingFile, 'upload'> {
  readonly blob: Blob;
}

/** So many files go with one message. */
export const MOST_FILES = 10;

type Store = IDBPObjectStore<Schema, StoreNames<Schema>[], 'drafts', 'readwrite'>;

/** Takes files out of what is chosen in a chat, in the caller's transaction; those of them that were chosen. */
export async function takeFiles(drafts: Store, chatId: string, ids: readonly string[]): Promise<readonly PendingFile[]> {
  const files = (await drafts.get(chatId))?.files ?? [];
  const taken = files.filter(({ id }) => ids.includes(id));
  const left = files.filter(({ id }) => !ids.includes(id));
  if (taken.length > 0) await (left.length > 0 ? drafts.put({ chatId, files: left }) : drafts.delete(chatId));
  return taken;
}

export class Drafts {
  constructor(
    readonly database: Database,
    readonly changes: Changes,
  ) {}

  /** What is chosen in a chat, in the order in which it was. */
  async of(chatId: string): Promise<readonly PendingFile[]> {
    return (await this.database.get('drafts', chatId))?.files ?? [];
  }

  /** Keeps a file for the next message; false where no more go with one. When it resolves, nothing can lose it. */
  async add(chatId: string, { blob, ...file }: Chosen): Promise<boolean> {
    const writing = this.database.transaction(['drafts', 'files'], 'readwrite');
    const drafts = writing.objectStore('drafts');
    const files = (await drafts.get(chatId))?.files ?? [];
    const isTaken = files.length < MOST_FILES;
    if (isTaken) {
      await writing.objectStore('files').put({ id: file.id, blob });
      await drafts.put({ chatId, files: [...files, file] });
    }
    await writing.done;
    if (isTaken) this.changes.tell({ drafts: [chatId] });
    return isTaken;
  }

  /** Takes one back; its bytes go with it. */
  async remove(chatId: string, fileId: string): Promise<void> {
    const writing = this.database.transaction(['drafts', 'files'], 'readwrite');
    // One that is sent meanwhile keeps its bytes.
    for (const { id } of await takeFiles(writing.objectStore('drafts'), chatId, [fileId])) {
      await writing.objectStore('files').delete(id);
    }
    await writing.done;
    this.changes.tell({ drafts: [chatId] });
  }

  /**
   * Forgets what is chosen in chats that are not kept any more, which the user has left. The chats that are; null where
   * they have not been loaded.
   */
  async sweep(): Promise<ReadonlySet<string> | null> {
    const writing = this.database.transaction(['account', 'chats', 'drafts', 'files'], 'readwrite');
    const position = (await writing.objectStore('account').get('position')) as Position | undefined;
    if (!position?.isLoaded) return null;
    const chatIds = new Set(await writing.objectStore('chats').getAllKeys());
    const lost = (await writing.objectStore('drafts').getAll()).filter(({ chatId }) => !chatIds.has(chatId));
    for (const { chatId, files } of lost) {
      await writing.objectStore('drafts').delete(chatId);
      for (const { id } of files) await writing.objectStore('files').delete(id);
    }
    await writing.done;
    if (lost.length > 0) this.changes.tell({ drafts: lost.map(({ chatId }) => chatId) });
    return chatIds;
  }
}
