// urql for Talksy: its exchanges, and how graphcache keeps what `accountEvents` tells.
import {
  Client,
  fetchExchange,
  mapExchange,
  subscriptionExchange,
  type Exchange,
} from '@urql/core';
import { cacheExchange, type Cache, type FieldArgs } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import type { Client as Socket } from 'graphql-ws';

import { CHATS, MESSAGES, type AccountEvent } from './chat.js';
import { introspection } from './generated/introspection.js';
import { keepNewest } from './talksy/newest.js';
import { Order } from './talksy/order.js';
import { resuming } from './talksy/resuming.js';
import type { Session } from './talksy/session.js';

/**
 * The exchange for subscriptions that go on behind what they last had. A `subscriptionExchange` over
 * the plain client of graphql-ws LOSES MESSAGES when the connection breaks, and says nothing.
 */
export function resumingExchange(socket: Socket): Exchange {
  const client = resuming(socket);
  return subscriptionExchange({
    forwardSubscription: ({ query = '', variables }) => ({
      subscribe: (sink) => ({ unsubscribe: client.subscribe({ query, variables }, sink) }),
    }),
  });
}

/** Puts answers and events into the cache in an order in which none undoes what another has told. */
export function orderExchange(): Exchange {
  const order = new Order();
  const newest = keepNewest();
  const underWay = new Map<number, () => void>();
  const ends = (key: number) => {
    underWay.get(key)?.();
    underWay.delete(key);
  };
  return mapExchange({
    onOperation: ({ key, kind }) => {
      ends(key);
      if (kind === 'query') underWay.set(key, order.asks());
    },
    onResult: async (result) => {
      const { key, kind } = result.operation;
      if (kind === 'subscription') await order.turn();
      else ends(key);
      return { ...result, data: newest(result.data) };
    },
  });
}

export function createUrqlClient(session: Session, socket: Socket): Client {
  return new Client({
    url: `${session.url}/graphql`,
    preferGetMethod: false,
    fetch: session.retryingFetch,
    exchanges: [createCache(), orderExchange(), resumingExchange(socket), fetchExchange],
  });
}

const embedded = () => null;

function createCache(): Exchange {
  return cacheExchange({
    schema: introspection,
    keys: Object.fromEntries(
      [
        ...['AccountCheckpoint', 'ChatChanged', 'ChatRemoved', 'ChatReset', 'MessageAdded'],
        ...['MessageChange', 'ReceiptChanged', 'ViewerChanged'],
        ...['StartChatPayload', 'SendMessagePayload', 'EditMessagePayload'],
      ].map((name) => [name, embedded]),
    ),
    resolvers: {
      Query: {
        chats: relayPagination(),
        chat: (_, { id }) => ({ __typename: 'Chat', id: id as string }),
      },
      Chat: { messages: relayPagination() },
    },
    updates: {
      Subscription: {
        accountEvents: ({ accountEvents }, _, cache) =>
          apply(cache, accountEvents as unknown as AccountEvent),
      },
    },
  });
}

/** Applies an event. The cache has its objects already, by their ids; what is left is the lists. */
function apply(cache: Cache, event: AccountEvent): void {
  switch (event.__typename) {
    case 'MessageAdded':
      append(cache, event);
      moveToTop(cache, event.message.chat);
      break;
    case 'ChatChanged':
      moveToTop(cache, event.chat);
      break;
    case 'ChatReset':
      // Queries that show it load it anew.
      for (const args of pagesOf(cache, event.chatId)) {
        cache.invalidate({ __typename: 'Chat', id: event.chatId }, 'messages', args);
      }
      break;
    case 'ChatRemoved':
      cache.invalidate({ __typename: 'Chat', id: event.chatId });
      break;
    default:
    // Changed messages, receipts and the viewer are objects of the cache; a kind of a newer server
    // does no harm.
  }
}

/** The arguments of the pages of a chat's messages that are in the cache. */
function pagesOf(cache: Cache, chatId: string): FieldArgs[] {
  const fields = cache.inspectFields({ __typename: 'Chat', id: chatId });
  return fields.filter(({ fieldName }) => fieldName === 'messages').map((field) => field.arguments);
}

/** Puts a message behind the last one of its thread, where the thread is loaded to its end. */
function append(cache: Cache, { cursor, message }: Extract<AccountEvent, { __typename: 'MessageAdded' }>) {
  const chatId = message.chat.id;
  const newest = pagesOf(cache, chatId).find((args) => !args?.['before']);
  if (!newest) return;
  const variables = { chatId, last: newest['last'] as number };
  cache.updateQuery({ query: MESSAGES, variables }, (data) => {
    if (!data?.chat) return data;
    const { edges, pageInfo } = data.chat.messages;
    // An event may come again behind a new connection.
    if (pageInfo.hasNextPage || (edges.at(-1)?.node.seq ?? 0) >= message.seq) return data;
    const edge = { __typename: 'MessageEdge' as const, cursor, node: message };
    const messages = {
      ...data.chat.messages,
      edges: [...edges, edge],
      pageInfo: { ...pageInfo, endCursor: cursor },
    };
    return { ...data, chat: { ...data.chat, messages } };
  });
}

/** Puts a chat first in the sidebar, as the most recently active one. */
function moveToTop(cache: Cache, chat: Extract<AccountEvent, { __typename: 'ChatChanged' }>['chat']) {
  cache.updateQuery({ query: CHATS, variables: {} }, (data) => {
    if (!data?.chats) return data;
    const others = data.chats.edges.filter(({ node }) => node.id !== chat.id);
    // It has no cursor of the list: further pages go on behind the others.
    const edge = { __typename: 'ChatEdge' as const, cursor: '', node: chat };
    return { ...data, chats: { ...data.chats, edges: [edge, ...others] } };
  });
}
