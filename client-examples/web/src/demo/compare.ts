// Compares a page's replica with the server, by queries that read all of each chat anew, page by page.
import { stringifyDocument, type TypedDocumentNode } from '@urql/core';

import { NONE, isFaultless, judge, sum, type Difference } from './judge.js';
import {
  ChatPageDocument,
  ChatsDocument,
  type ChatPageQuery,
  type ChatPageQueryVariables,
  type ChatsQuery,
  type ChatsQueryVariables,
  type MessageStateFragment,
} from '../generated/graphql.js';
import { Changes } from '../replica/changes.js';
import { openDatabase, rangeOf, type Chat, type Database } from '../replica/database.js';
import { loadPage, type Page } from '../replica/follow.js';
import { Replica } from '../replica/replica.js';
import { SERVER, WebSession } from '../session/session.js';
import { retrying } from '../talksy/refused.js';
import { post } from '../talksy/session.js';

const PAGE = 50;

export interface Report extends Difference {
  /** How long the page took to have all that the server had told of by then, in milliseconds. */
  readonly waited: number;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Runs with the session of the page, whose tokens it shares, and the database of its user. */
async function beside<Outcome>(
  run: (session: WebSession, database: Database) => Promise<Outcome>,
): Promise<Outcome> {
  const session = WebSession.open();
  if (!session) throw new Error('Nobody is signed in.');
  const database = await openDatabase(session.userId);
  try {
    return await run(session, database);
  } finally {
    database.close();
    session.close();
  }
}

const ask = <Data, Variables extends object>(
  session: WebSession,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> =>
  retrying(() => post<Data>(SERVER, stringifyDocument(document), variables, session.fetch));

async function pageOf(session: WebSession, chatId: string, before: string | null): Promise<Page | null> {
  const variables = { chatId, last: PAGE, before };
  const { chat } = await ask<ChatPageQuery, ChatPageQueryVariables>(session, ChatPageDocument, variables);
  if (!chat) return null;
  const { messages, ...state } = chat;
  const { hasPreviousPage } = messages.pageInfo;
  return { chat: state, messages: messages.nodes, hasPreviousPage };
}

/** All messages of a chat, by their number. */
async function messagesOf(session: WebSession, chatId: string): Promise<MessageStateFragment[]> {
  const all: MessageStateFragment[] = [];
  for (let before: string | null = null; ; ) {
    const page: Page | null = await pageOf(session, chatId, before);
    if (!page) return all;
    all.unshift(...page.messages);
    if (!page.hasPreviousPage) return all;
    before = page.messages[0]?.cursor ?? null;
  }
}

async function chatsOf(session: WebSession): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | null = null; ; ) {
    const { chats }: ChatsQuery = await ask<ChatsQuery, ChatsQueryVariables>(session, ChatsDocument, {
      after,
    });
    if (!chats) throw new Error('The answer has no chats.');
    ids.push(...chats.nodes.map(({ id }) => id));
    if (!chats.pageInfo.hasNextPage) return ids;
    after = chats.pageInfo.endCursor;
  }
}

/** Has the page keep all of its chats, so that all of them can be compared; answers with what is kept of them. */
export function loadHistory(): Promise<readonly Chat[]> {
  return beside(async (session, database) => {
    const changes = new Changes(`talksy-${session.userId}`);
    const replica = new Replica(database, changes);
    const source = { page: (chatId: string, before: string | null) => pageOf(session, chatId, before) };
    try {
      while (!(await replica.isLoaded())) await pause(50);
      const chats = await database.getAll('chats');
      for (const { id } of chats) {
        for (let hasOlder: boolean | null = true; hasOlder; ) {
          hasOlder = await loadPage(replica, source, id, await oldest(database, id));
        }
      }
      return chats;
    } finally {
      changes.close();
    }
  });
}

/** The cursor of the oldest message that is kept without a hole up to the newest. */
async function oldest(database: Database, chatId: string): Promise<string | null> {
  const head = (await database.get('chats', chatId))?.headSeq ?? 0;
  const kept = await database.getAll('messages', rangeOf(chatId, 0, head));
  let found: string | null = null;
  for (let next = head; kept.length > 0; next -= 1) {
    const message = kept.pop();
    if (message?.seq !== next) break;
    found = message.cursor;
  }
  return found;
}

/**
 * How the replica differs from the server. What the server has told of by now may still be on its way: it is
 * waited for, for so many milliseconds.
 */
export function compare(patience = 10_000): Promise<Report> {
  return beside(async (session, database) => {
    const chats = await chatsOf(session);
    const fresh = new Map<string, MessageStateFragment[]>();
    for (const chatId of chats) fresh.set(chatId, await messagesOf(session, chatId));
    const started = performance.now();
    for (;;) {
      const outbox = await database.getAll('outbox');
      let all = NONE;
      for (const [chatId, server] of fresh) {
        const kept = await database.getAll('messages', rangeOf(chatId));
        const pending = outbox.filter((one) => one.chatId === chatId);
        all = sum(all, judge(server, kept, pending.map(({ clientMessageId }) => clientMessageId)));
      }
      const waited = performance.now() - started;
      if (isFaultless(all) || waited > patience) return { ...all, waited };
      await pause(100);
    }
  });
}

/** A place to try things at: the newest message of a group that is there still. */
export interface Place {
  readonly chatId: string;
  readonly messageId: string;
  readonly seq: number;
}

/** One that the page keeps. */
export function somePlace(): Promise<Place> {
  return beside(async (_session, database) => {
    const chats = await database.getAll('chats');
    const group = chats.find(({ kind }) => kind === 'GROUP') ?? chats[0];
    if (!group) throw new Error('There is no chat yet.');
    const kept = await database.getAll('messages', rangeOf(group.id));
    const message = kept.findLast(({ deletedAt, kind }) => deletedAt === null && kind !== 'SYSTEM');
    if (!message) throw new Error('There is no message yet.');
    return { chatId: group.id, messageId: message.id, seq: message.seq };
  });
}
