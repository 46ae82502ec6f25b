// Keeps Apollo's cache up to date by `accountEvents`: one subscription for all chats.
import {
  CombinedGraphQLErrors,
  type ApolloCache,
  type ApolloClient,
  type Reference,
} from '@apollo/client';

import { graphql } from './generated/index.js';
import type { AccountEventsSubscription } from './generated/graphql.js';

const ACCOUNT_EVENTS = graphql(`
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
`);

type AccountEvent = AccountEventsSubscription['accountEvents'];
type MessageAdded = Extract<AccountEvent, { __typename: 'MessageAdded' }>;

/** A list as `relayStylePagination` keeps it. */
interface StoredConnection {
  readonly edges: readonly { readonly cursor: string; readonly node: Reference }[];
  readonly pageInfo: { readonly hasNextPage: boolean };
}

/**
 * Follows the account. Await it before the first query: then nothing lies between the two.
 * `onEnd` is told when the server refuses to go on, as where the session has ended.
 */
export function followAccount(
  client: ApolloClient,
  onEnd: (error: unknown) => void,
): { readonly isReady: Promise<void>; readonly end: () => void } {
  let end = () => {};
  const start = (onReady: () => void) => {
    let isReady = false;
    const subscription = client.subscribe({ query: ACCOUNT_EVENTS }).subscribe({
      next: ({ data, error }) => {
        if (data) {
          apply(client, data.accountEvents);
          // The first event is a checkpoint at the present.
          if (!isReady) onReady();
          isReady = true;
          return;
        }
        const errors = CombinedGraphQLErrors.is(error) ? error.errors : [];
        if (errors[0]?.extensions?.['code'] !== 'RESYNC_REQUIRED') return onEnd(error);
        // The server does not have what came before: begin anew, then load all anew.
        start(() => void client.resetStore().catch(onEnd));
      },
      error: onEnd,
    });
    end = () => subscription.unsubscribe();
  };
  const isReady = new Promise<void>((resolve) => start(resolve));
  return { isReady, end: () => end() };
}

/**
 * Applies an event. The cache has its objects already, by their ids; what is left is the lists.
 */
function apply({ cache }: ApolloClient, event: AccountEvent): void {
  const chatOf = (id: string) => cache.identify({ __typename: 'Chat', id })!;
  switch (event.__typename) {
    case 'MessageAdded':
      append(cache, event);
      moveToTop(cache, event.message.chat.id);
      break;
    case 'ChatChanged':
      moveToTop(cache, event.chat.id);
      break;
    case 'ChatReset':
      // Queries that show it load it anew.
      cache.evict({ id: chatOf(event.chatId), fieldName: 'messages' });
      break;
    case 'ChatRemoved':
      cache.evict({ id: chatOf(event.chatId) });
      cache.gc();
      break;
    default:
    // Changed messages, receipts and the viewer are objects of the cache; a kind of a newer server
    // does no harm.
  }
}

/** Puts a message behind the last one of its thread, where the thread is loaded to its end. */
function append(cache: ApolloCache, { cursor, message }: MessageAdded): void {
  cache.modify<{ messages: StoredConnection }>({
    id: cache.identify({ __typename: 'Chat', id: message.chat.id })!,
    fields: {
      messages(existing, { readField, toReference }) {
        const { edges, pageInfo } = existing as StoredConnection;
        const last = edges.at(-1);
        const lastSeq = (last && readField<number>('seq', last.node)) ?? 0;
        // An event may come again behind a new connection.
        if (pageInfo.hasNextPage || lastSeq >= message.seq) return existing;
        const node = toReference({ __typename: 'Message', id: message.id })!;
        const edge = { __typename: 'MessageEdge', cursor, node };
        return { edges: [...edges, edge], pageInfo: { ...pageInfo, endCursor: cursor } };
      },
    },
  });
}

/** Puts a chat first in the sidebar, as the most recently active one. */
function moveToTop(cache: ApolloCache, id: string): void {
  cache.modify<{ chats: StoredConnection }>({
    fields: {
      chats(existing, { readField, toReference }) {
        const { edges, pageInfo } = existing as StoredConnection;
        const others = edges.filter(({ node }) => readField('id', node) !== id);
        const node = toReference({ __typename: 'Chat', id })!;
        // It has no cursor of the list: further pages go on behind the others.
        return { edges: [{ __typename: 'ChatEdge', cursor: '', node }, ...others], pageInfo };
      },
    },
  });
}
