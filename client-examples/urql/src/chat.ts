// A chat with urql: queries read the cache, and `client.ts` keeps the cache up to date.
import type { Client, CombinedError, OperationResult } from '@urql/core';
import type { ResultOf } from 'gql.tada';

import { graphql } from './graphql.js';
import { Outbox } from './talksy/outbox.js';

// Select `id` and `changeSeq` of every message: the cache keeps the newest state by them.
const MESSAGE_FIELDS = graphql(`
  fragment MessageFields on Message @_unmask {
    id
    seq
    changeSeq
    text
    clientMessageId
    createdAt
    editedAt
    deletedAt
    sender {
      id
      name
    }
  }
`);
export type Message = ResultOf<typeof MESSAGE_FIELDS>;

const CHAT_FIELDS = graphql(`
  fragment ChatFields on Chat @_unmask {
    id
    title
    unreadCount
    activeAt
  }
`);

export const CHATS = graphql(
  `
    query Chats($after: String) {
      chats(first: 50, after: $after) {
        edges {
          cursor
          node {
            ...ChatFields
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  [CHAT_FIELDS],
);

export const MESSAGES = graphql(
  `
    query Messages($chatId: ID!, $last: Int!, $before: String) {
      chat(id: $chatId) {
        id
        messages(last: $last, before: $before) {
          edges {
            cursor
            node {
              ...MessageFields
            }
          }
          pageInfo {
            hasNextPage
            hasPreviousPage
            startCursor
            endCursor
          }
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const START_CHAT = graphql(
  `
    mutation StartChat($userId: ID!) {
      startChat(input: { userId: $userId }) {
        chat {
          ...ChatFields
        }
      }
    }
  `,
  [CHAT_FIELDS],
);

const SEND_MESSAGE = graphql(
  `
    mutation SendMessage($chatId: ID!, $text: String!, $clientMessageId: String!) {
      sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
        message {
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const EDIT_MESSAGE = graphql(
  `
    mutation EditMessage($messageId: ID!, $text: String!) {
      editMessage(input: { messageId: $messageId, text: $text }) {
        message {
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const MESSAGE_ADDED = graphql(
  `
    subscription MessageAdded($chatId: ID!, $after: String) {
      messageAdded(chatId: $chatId, after: $after) {
        cursor
        node {
          ...MessageFields
        }
      }
    }
  `,
  [MESSAGE_FIELDS],
);

const ACCOUNT_EVENTS = graphql(
  `
    subscription AccountEvents($after: AccountPosition) {
      accountEvents(after: $after) {
        __typename
        cursor
        ... on MessageAdded {
          message {
            ...MessageFields
            chat {
              ...ChatFields
            }
          }
        }
        ... on MessageChange {
          message {
            ...MessageFields
            chat {
              id
            }
          }
        }
        ... on ChatChanged {
          chat {
            ...ChatFields
          }
        }
        ... on ChatReset {
          chatId
        }
        ... on ChatRemoved {
          chatId
        }
        ... on ReceiptChanged {
          receipt {
            id
            lastReadSeq
            readAt
            chat {
              id
            }
          }
        }
        ... on ViewerChanged {
          viewer {
            id
            name
          }
        }
        ... on AccountCheckpoint {
          isCaughtUp
        }
      }
    }
  `,
  [MESSAGE_FIELDS, CHAT_FIELDS],
);
export type AccountEvent = ResultOf<typeof ACCOUNT_EVENTS>['accountEvents'];

/** What an answer holds; throws what it refuses. */
function dataOf<Data>({ data, error }: OperationResult<Data>): Data {
  if (error) throw error.networkError ?? error;
  if (!data) throw new Error('The answer has no data.');
  return data;
}

/** The sidebar. The same query with `after: endCursor` loads the next page into the cache. */
export const watchChats = (client: Client) => client.query(CHATS, {});

/** A thread. `olderMessages` loads the page before into it. */
export const watchMessages = (client: Client, chatId: string, last = 50) =>
  client.query(MESSAGES, { chatId, last });

export const olderMessages = (client: Client, chatId: string, last: number, before: string) =>
  client.query(MESSAGES, { chatId, last, before });

/** Starts the chat with another user, or finds the one there is. */
export async function startChat(client: Client, userId: string): Promise<string> {
  const { startChat } = dataOf(await client.mutation(START_CHAT, { userId }));
  if (!startChat) throw new Error('The answer has no chat.');
  return startChat.chat.id;
}

/** What is being sent. */
export const outbox = new Outbox();

/** Sends a message, once, however often that has to be tried. The thread has it by its event. */
export const send = (client: Client, chatId: string, text: string): Promise<Message> =>
  outbox.send(chatId, text, async (pending) => {
    const { sendMessage } = dataOf(await client.mutation(SEND_MESSAGE, { ...pending }));
    if (!sendMessage) throw new Error('The answer has no message.');
    return sendMessage.message;
  });

/** Gives a message of the user another text; the cache has it when the answer comes. */
export async function edit(client: Client, messageId: string, text: string): Promise<void> {
  dataOf(await client.mutation(EDIT_MESSAGE, { messageId, text }));
}

/** Every message of one chat behind `after`, each once and in order. */
export const followMessages = (client: Client, chatId: string, after: string) =>
  client.subscription(MESSAGE_ADDED, { chatId, after });

/**
 * Follows the account. Await it before the first query: then nothing lies between the two.
 * `onEnd` is told when the server refuses to go on: at `RESYNC_REQUIRED` make a new client, which
 * begins with an empty cache.
 */
export function followAccount(
  client: Client,
  onEnd: (error: CombinedError) => void,
): { readonly isReady: Promise<void>; readonly end: () => void } {
  let end = () => {};
  const isReady = new Promise<void>((resolve) => {
    const { unsubscribe } = client.subscription(ACCOUNT_EVENTS, {}).subscribe(({ data, error }) => {
      // Beside an error urql tells the data of the event before.
      if (error) onEnd(error);
      // The first event is a checkpoint at the present.
      else if (data) resolve();
    });
    end = unsubscribe;
  });
  return { isReady, end: () => end() };
}
