// Keeps the replica up to date. Of all tabs of a user one does it at a time: the others see what it
// writes.
import type { Replica } from './replica.js';
import type { AccountEvent, ChatState, Viewer } from './database.js';
import type { ListedChat } from './replica.js';
import type { AccountPosition, MessageStateFragment } from '../generated/graphql.js';
import { Refused, backoff, mayPass } from '../talksy/refused.js';

export interface Page {
  readonly chat: ChatState;
  readonly messages: readonly MessageStateFragment[];
  readonly hasPreviousPage: boolean;
}

/** Messages behind a cursor. */
export type NewerPage = Omit<Page, 'hasPreviousPage'>;

/** What the replica needs of the server. */
export interface Source {
  /**
   * The account's events. `after` is read for each connection. Ends, by `onEnd`, with what the server
   * refuses; returns a function that ends it.
   */
  follow(
    after: () => AccountPosition | undefined,
    onEvent: (event: AccountEvent) => void,
    onEnd: (problem: unknown) => void,
  ): () => void;
  chats(after: string | null): Promise<{
    readonly viewer: Viewer;
    readonly chats: readonly ListedChat[];
    readonly next: string | null;
  }>;
  /** The newest messages, or those ahead of a cursor; null for a chat that the user is no member of. */
  page(chatId: string, before: string | null): Promise<Page | null>;
  /** The messages behind a cursor, oldest first. */
  newer(chatId: string, after: string): Promise<NewerPage | null>;
}

/** Follows the account until `signal` aborts; throws what the server refuses for good. */
export async function follow(
  replica: Replica,
  source: Source,
  signal: AbortSignal,
  wait: typeof backoff = backoff,
): Promise<void> {
  for (let tries = 0; !signal.aborted; ) {
    try {
      await followOnce(replica, source, signal, () => (tries = 0));
    } catch (error) {
      if (error instanceof Refused && error.code === 'RESYNC_REQUIRED') {
        // The server does not have what came before the place.
        await replica.clear();
      } else if (!mayPass(error)) {
        throw error;
      }
      tries += 1;
      await wait(tries, error instanceof Refused ? error.retryAfter : undefined);
    }
  }
}

/** Follows the account from where it stands, until something goes wrong. */
async function followOnce(
  replica: Replica,
  source: Source,
  signal: AbortSignal,
  onProgress: () => void,
): Promise<void> {
  let after = await replica.position();
  const waiting: AccountEvent[] = [];
  let wake = () => {};
  let problem: { readonly error: unknown } | undefined;
  const end = source.follow(
    () => after,
    (event) => {
      waiting.push(event);
      wake();
    },
    (error) => {
      problem ??= { error };
      wake();
    },
  );
  const onAbort = () => wake();
  signal.addEventListener('abort', onAbort);
  try {
    while (!signal.aborted) {
      if (waiting.length > 0) {
        // What comes while these are written is written with the next.
        await replica.apply(waiting.splice(0, 200));
        after = await replica.position();
        onProgress();
        // Behind the first checkpoint nothing is missed: what it begins with is loaded now.
        if (!(await replica.isLoaded())) await loadAll(replica, source);
        await loadStale(replica, source);
      } else if (problem) {
        throw problem.error;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || waiting.length > 0 || problem) resolve();
        });
      }
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    end();
  }
}

async function loadAll(replica: Replica, source: Source): Promise<void> {
  if (!(await replica.position())) return;
  const listed: ListedChat[] = [];
  for (let after: string | null = null; ; ) {
    const { viewer, chats, next } = await source.chats(after);
    listed.push(...chats);
    if (next === null) return replica.load(viewer, listed);
    after = next;
  }
}

/** Loads what was dropped. Where it is cut off, the note stays and it is done again. */
async function loadStale(replica: Replica, source: Source): Promise<void> {
  for (const chatId of await replica.staleChats()) {
    const isThere = await loadPage(replica, source, chatId, null);
    // It was left meanwhile; `ChatRemoved` follows.
    if (isThere === null) await replica.removeChat(chatId);
  }
}

/** Loads a page of messages; null where the chat is not there, false where there is none before it. */
export async function loadPage(
  replica: Replica,
  source: Pick<Source, 'page'>,
  chatId: string,
  before: string | null,
): Promise<boolean | null> {
  for (;;) {
    const epoch = (await replica.database.get('chats', chatId))?.epoch;
    if (epoch === undefined) return null;
    const page = await source.page(chatId, before);
    if (!page) return null;
    if (await replica.keepPage(chatId, epoch, page.chat, page.messages, before === null)) {
      return page.hasPreviousPage;
    }
    // All was dropped meanwhile: a page ahead of an older one is of no use any more.
    if (before !== null) return true;
  }
}

/** Loads the messages behind a cursor, and with `isAround` those ahead of them too. */
export async function loadNewer(
  replica: Replica,
  source: Pick<Source, 'page' | 'newer'>,
  chatId: string,
  after: string,
  isAround = false,
): Promise<void> {
  const epoch = (await replica.database.get('chats', chatId))?.epoch;
  if (epoch === undefined) return;
  const page = await source.newer(chatId, after);
  if (!page) return;
  await replica.keepPage(chatId, epoch, page.chat, page.messages, false);
  // Where nothing is behind it, the newest page has it.
  if (isAround) await loadPage(replica, source, chatId, page.messages[0]?.cursor ?? null);
}
