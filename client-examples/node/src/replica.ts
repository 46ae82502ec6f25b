// An offline replica of a user's account, kept in a file by `accountEvents` alone. It may be killed
// and cut off at any moment: started again, it goes on where the file stands.
//
//     REPLICA_FILE=replica.json REPLICA_TOKEN=… node dist/replica.js
//
// It prints a line for each time that it has caught up.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ResultOf } from 'gql.tada';
import { print, type GraphQLFormattedError } from 'graphql';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { graphql } from './graphql.js';

// Servers on the same backends, to which it turns at random.
const SERVERS = (process.env['CHAT_URLS'] ?? process.env['CHAT_URL'] ?? 'http://127.0.0.1:4000')
  .split(',')
  .map((url) => url.replace(/\/+$/, ''));
const FILE = process.env['REPLICA_FILE'] ?? 'replica.json';
const TOKEN = process.env['REPLICA_TOKEN'];

const ACCOUNT_EVENTS = graphql(`
  subscription AccountEvents($after: AccountPosition) {
    accountEvents(after: $after) {
      __typename
      cursor
      ... on MessageAdded {
        message {
          seq
          changeSeq
          text
          deletedAt
          chat {
            id
          }
        }
      }
      ... on MessageChange {
        message {
          seq
          changeSeq
          text
          deletedAt
          chat {
            id
          }
        }
      }
      ... on ChatChanged {
        chat {
          id
          title
          memberCount
          isMutedByViewer
        }
      }
      ... on ChatRemoved {
        chatId
      }
      ... on ChatReset {
        chatId
      }
      ... on ReceiptChanged {
        receipt {
          chat {
            id
          }
        }
      }
      ... on ViewerChanged {
        viewer {
          name
        }
      }
      ... on AccountCheckpoint {
        isCaughtUp
      }
    }
  }
`);

const CHATS = graphql(`
  query ReplicaChats($after: String) {
    me {
      name
    }
    chats(first: 100, after: $after) {
      nodes {
        id
        title
        memberCount
        isMutedByViewer
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

const MESSAGES = graphql(`
  query ReplicaMessages($chatId: ID!, $after: String) {
    chat(id: $chatId) {
      messages(first: 100, after: $after) {
        nodes {
          seq
          changeSeq
          text
          deletedAt
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

type AccountEvent = ResultOf<typeof ACCOUNT_EVENTS>['accountEvents'];
type Message = NonNullable<ResultOf<typeof MESSAGES>['chat']>['messages']['nodes'][number];

interface KeptChat {
  shown: object | null;
  messages: Record<number, Message>;
}

/** The account, as a replica keeps it. */
export interface Account {
  viewer: ResultOf<typeof CHATS>['me'];
  chats: Record<string, KeptChat>;
}

interface Replica extends Account {
  checkpoint: string | null;
  since: Record<string, string>;
}

/** Asks the server; the answer is what the operation says. */
type Ask = <Data>(query: string, variables: object) => Promise<Data>;

const anyServer = () => SERVERS[Math.floor(Math.random() * SERVERS.length)]!;

const request: Ask = async <Data>(query: string, variables: object) => {
  const response = await fetch(`${anyServer()}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(10_000),
  });
  const { data, errors } = (await response.json()) as {
    data: Data;
    errors?: GraphQLFormattedError[];
  };
  if (errors?.[0]) throw new Error(errors[0].message);
  return data;
};

/** All messages of a chat that the viewer may read; null where they are no member any more. */
export async function messagesOf(
  chatId: string,
  ask: Ask = request,
): Promise<KeptChat['messages'] | null> {
  const messages: KeptChat['messages'] = {};
  for (let after: string | null = null; ; ) {
    const variables: { chatId: string; after: string | null } = { chatId, after };
    const { chat } = await ask<ResultOf<typeof MESSAGES>>(print(MESSAGES), variables);
    if (!chat) return null;
    for (const message of chat.messages.nodes) messages[message.seq] = message;
    const { hasNextPage, endCursor } = chat.messages.pageInfo;
    if (!hasNextPage) return messages;
    after = endCursor;
  }
}

/** The whole account as the server has it now, in the form in which a replica keeps it. */
export async function fetchAll(ask: Ask = request): Promise<Account> {
  const kept: Account = { viewer: null, chats: {} };
  for (let after: string | null = null; ; ) {
    const { me, chats }: ResultOf<typeof CHATS> = await ask(print(CHATS), { after });
    if (!chats) throw new Error('The answer has no chats.');
    kept.viewer = me;
    for (const { id, ...shown } of chats.nodes) {
      const messages = await messagesOf(id, ask);
      if (messages) kept.chats[id] = { shown, messages };
    }
    if (!chats.pageInfo.hasNextPage) return kept;
    after = chats.pageInfo.endCursor;
  }
}

/** Keeps what a message says, unless what is there is newer. */
function keep(kept: KeptChat, { chat: _, ...message }: Message & { chat: object }, isAddition: boolean) {
  const known = kept.messages[message.seq];
  // The change of a message that is not kept lies ahead of what was loaded.
  if (known ? known.changeSeq <= message.changeSeq : isAddition) {
    kept.messages[message.seq] = message;
  }
}

/** Applies one event to the replica. */
async function apply(replica: Replica, event: AccountEvent) {
  const { chats } = replica;
  let chatId: string;
  switch (event.__typename) {
    case 'MessageAdded':
    case 'MessageChange':
      chatId = event.message.chat.id;
      chats[chatId] ??= { shown: null, messages: {} };
      keep(chats[chatId]!, event.message, event.__typename === 'MessageAdded');
      break;
    case 'ChatChanged': {
      const { id, ...shown } = event.chat;
      (chats[id] ??= { shown: null, messages: {} }).shown = shown;
      chatId = id;
      break;
    }
    case 'ChatReset': {
      chatId = event.chatId;
      // The cursor is kept together with what was fetched. Where the viewer has left the chat
      // meanwhile, `ChatRemoved` follows.
      const fetched = await messagesOf(chatId);
      chats[chatId] = { shown: chats[chatId]?.shown ?? null, messages: fetched ?? {} };
      break;
    }
    case 'ChatRemoved':
      delete chats[event.chatId];
      chatId = event.chatId;
      break;
    case 'ReceiptChanged':
      chatId = event.receipt.chat.id;
      break;
    case 'ViewerChanged':
      replica.viewer = event.viewer;
      return;
    case 'AccountCheckpoint':
      // All before it was applied: it stands for all cursors before it.
      replica.checkpoint = event.cursor;
      replica.since = {};
      return;
    default:
      // A kind of a newer server: its cursor is not needed, what it tells comes again.
      return;
  }
  replica.since[chatId] = event.cursor;
}

/** What is kept and where that stands go into one file, which is replaced as a whole. */
async function save(replica: Replica) {
  await writeFile(`${FILE}.new`, JSON.stringify(replica));
  await rename(`${FILE}.new`, FILE);
}

async function load(): Promise<Replica> {
  try {
    return JSON.parse(await readFile(FILE, 'utf8')) as Replica;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { checkpoint: null, since: {}, viewer: null, chats: {} };
    throw error;
  }
}

async function main() {
  const replica = await load();
  let socket: WebSocket | undefined;
  const client = createClient({
    url: () => `${anyServer().replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${TOKEN}` },
    // A new connection needs the position as it is then: each is asked for below.
    retryAttempts: 0,
    keepAlive: 10_000,
    on: { opened: (opened) => (socket = opened as WebSocket) },
  });
  // Cuts itself off, as a tunnel does.
  if (process.env['REPLICA_CUTS']) {
    setInterval(() => Math.random() < 0.3 && socket?.terminate(), 100).unref();
  }
  for (;;) {
    const { checkpoint, since } = replica;
    const after = checkpoint && { checkpoint, since: Object.values(since) };
    try {
      for await (const { data, errors } of client.iterate<ResultOf<typeof ACCOUNT_EVENTS>>({
        query: print(ACCOUNT_EVENTS),
        variables: { after },
      })) {
        if (errors || !data) throw errors;
        const event = data.accountEvents;
        // The first event of a stream without a position: all from here on follows.
        if (!replica.checkpoint) Object.assign(replica, await fetchAll());
        await apply(replica, event);
        await save(replica);
        if (event.__typename === 'AccountCheckpoint' && event.isCaughtUp) console.log('caught up');
      }
    } catch (problem) {
      const errors = [problem].flat() as (GraphQLFormattedError | undefined)[];
      const codes = errors.map((error) => error?.extensions?.['code'] as string | undefined);
      if (codes.includes('RESYNC_REQUIRED')) {
        // The file as well: else the next turn would begin with what is of no use any more.
        await save(Object.assign(replica, { checkpoint: null, since: {}, chats: {} }));
      } else if (codes.some((code) => code && !['UNAVAILABLE', 'SLOW_CONSUMER'].includes(code))) {
        throw problem;
      }
    }
    // What was applied and not saved is told again: the file is where it goes on.
    Object.assign(replica, await load());
    await sleep(50 + Math.random() * 200);
  }
}

if (process.argv[1]?.endsWith('replica.js')) {
  main().catch((error) => {
    console.error(error);
    process.exit(1);
  });
}
