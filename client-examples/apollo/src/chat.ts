// A chat with Apollo Client: queries read the cache, and `account.ts` keeps the cache up to date.
import type { ApolloClient } from '@apollo/client';

import { graphql } from './generated/index.js';
import type { MessageFieldsFragment } from './generated/graphql.js';
import { Outbox } from './talksy/outbox.js';

// Select `id` and `changeSeq` of every message: the cache keeps the newest state by them.
export const MESSAGE_FIELDS = graphql(`
  fragment MessageFields on Message {
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

const CHATS = graphql(`
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
`);

export const CHAT_FIELDS = graphql(`
  fragment ChatFields on Chat {
    id
    title
    unreadCount
    activeAt
  }
`);

const MESSAGES = graphql(`
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
`);

const START_CHAT = graphql(`
  mutation StartChat($userId: ID!) {
    startChat(input: { userId: $userId }) {
      chat {
        ...ChatFields
      }
    }
  }
`);

const SEND_MESSAGE = graphql(`
  mutation SendMessage($chatId: ID!, $text: String!, $clientMessageId: String!) {
    sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
      message {
        ...MessageFields
      }
    }
  }
`);

const EDIT_MESSAGE = graphql(`
  mutation EditMessage($messageId: ID!, $text: String!) {
    editMessage(input: { messageId: $messageId, text: $text }) {
      message {
        ...MessageFields
      }
    }
  }
`);

const MESSAGE_ADDED = graphql(`
  subscription MessageAdded($chatId: ID!, $after: String) {
    messageAdded(chatId: $chatId, after: $after) {
      cursor
      node {
        ...MessageFields
      }
    }
  }
`);

/** The sidebar. `fetchMore({ variables: { after: endCursor } })` loads the next page. */
export const watchChats = (client: ApolloClient) => client.watchQuery({ query: CHATS });

/** A thread. `fetchMore({ variables: { before: startCursor } })` loads the page before. */
export const watchMessages = (client: ApolloClient, chatId: string, last = 50) =>
  client.watchQuery({ query: MESSAGES, variables: { chatId, last } });

/** Starts the chat with another user, or finds the one there is. */
export async function startChat(client: ApolloClient, userId: string): Promise<string> {
  const { data } = await client.mutate({ mutation: START_CHAT, variables: { userId } });
  if (!data?.startChat) throw new Error('The answer has no chat.');
  return data.startChat.chat.id;
}

/** What is being sent. */
export const outbox = new Outbox();

/** Sends a message, once, however often that has to be tried. The thread has it by its event. */
export const send = (
  client: ApolloClient,
  chatId: string,
  text: string,
): Promise<MessageFieldsFragment> =>
  outbox.send(chatId, text, async (variables) => {
    const { data } = await client.mutate({ mutation: SEND_MESSAGE, variables });
    if (!data?.sendMessage) throw new Error('The answer has no message.');
    return data.sendMessage.message;
  });

/** Gives a message of the user another text; the cache has it when the answer comes. */
export async function edit(client: ApolloClient, messageId: string, text: string): Promise<void> {
  await client.mutate({ mutation: EDIT_MESSAGE, variables: { messageId, text } });
}

/** Every message of one chat behind `after`, each once and in order, beside the cache. */
export const followMessages = (client: ApolloClient, chatId: string, after: string) =>
  client.subscribe({
    query: MESSAGE_ADDED,
    variables: { chatId, after },
    fetchPolicy: 'no-cache',
  });
