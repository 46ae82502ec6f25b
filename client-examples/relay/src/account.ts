// Keeps Relay's store up to date by `accountEvents`: one subscription for all chats.
import {
  ConnectionHandler,
  graphql,
  requestSubscription,
  type Disposable,
  type Environment,
  type RecordProxy,
  type RecordSourceProxy,
} from 'relay-runtime';

import type { accountEventsSubscription } from './__generated__/accountEventsSubscription.graphql';
import { reloadThread } from './chat.js';

const ACCOUNT_EVENTS = graphql`
  subscription accountEventsSubscription($after: AccountPosition) {
    accountEvents(after: $after) {
      __typename
      cursor
      ... on MessageAdded {
        message {
          ...chat_message @relay(mask: false)
          chat {
            id
            title
            unreadCount
          }
        }
      }
      ... on MessageChange {
        message {
          ...chat_message @relay(mask: false)
          chat {
            id
          }
        }
      }
      ... on ChatChanged {
        chat {
          id
          title
          unreadCount
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
`;

/**
 * Follows the account. Await it before the first query: then nothing lies between the two.
 * `onEnd` is told when the server refuses to go on: at `RESYNC_REQUIRED` make a new environment, which
 * begins with an empty store.
 */
export function followAccount(
  environment: Environment,
  onEnd: (error: Error) => void,
): { readonly isReady: Promise<void>; readonly end: () => void } {
  let subscription: Disposable | undefined;
  const isReady = new Promise<void>((resolve) => {
    subscription = requestSubscription<accountEventsSubscription>(environment, {
      subscription: ACCOUNT_EVENTS,
      variables: {},
      updater: (store) => apply(store, store.getRootField('accountEvents')),
      onNext: (data) => {
        // The first event is a checkpoint at the present.
        resolve();
        const event = data?.accountEvents;
        if (event?.__typename === 'ChatReset' && event.chatId) {
          reloadThread(environment, event.chatId).catch(onEnd);
        }
      },
      onError: onEnd,
    });
  });
  return { isReady, end: () => subscription?.dispose() };
}

/** Applies an event. The store has its objects already, by their ids; what is left is the lists. */
function apply(store: RecordSourceProxy, event: RecordProxy | null | undefined): void {
  const message = event?.getLinkedRecord('message');
  switch (event?.getType()) {
    case 'MessageAdded':
      if (!message) return;
      append(store, message, String(event.getValue('cursor')));
      moveToTop(store, message.getLinkedRecord('chat'));
      break;
    case 'ChatChanged':
      moveToTop(store, event.getLinkedRecord('chat'));
      break;
    case 'ChatRemoved': {
      const chatId = String(event.getValue('chatId'));
      const sidebar = ConnectionHandler.getConnection(store.getRoot(), 'chat_chats');
      if (sidebar) ConnectionHandler.deleteNode(sidebar, chatId);
      store.delete(chatId);
      break;
    }
    default:
    // A chat that was reset is loaded anew. Changed messages, receipts and the viewer are objects
    // of the store; a kind of a newer server does no harm.
  }
}

/** Puts a message behind the last one of its thread, where the thread is loaded to its end. */
function append(store: RecordSourceProxy, message: RecordProxy, cursor: string): void {
  const chat = message.getLinkedRecord('chat');
  const thread = chat && ConnectionHandler.getConnection(chat, 'chat_messages');
  if (!thread || thread.getLinkedRecord('pageInfo')?.getValue('hasNextPage')) return;
  const last = thread.getLinkedRecords('edges')?.at(-1)?.getLinkedRecord('node');
  // An event may come again behind a new connection.
  if (Number(last?.getValue('seq') ?? 0) >= Number(message.getValue('seq'))) return;
  const edge = ConnectionHandler.createEdge(store, thread, message, 'MessageEdge');
  edge.setValue(cursor, 'cursor');
  ConnectionHandler.insertEdgeAfter(thread, edge);
}

/** Puts a chat first in the sidebar, as the most recently active one. */
function moveToTop(store: RecordSourceProxy, chat: RecordProxy | null | undefined): void {
  const sidebar = ConnectionHandler.getConnection(store.getRoot(), 'chat_chats');
  if (!sidebar || !chat) return;
  ConnectionHandler.deleteNode(sidebar, chat.getDataID());
  const edge = ConnectionHandler.createEdge(store, sidebar, chat, 'ChatEdge');
  ConnectionHandler.insertEdgeBefore(sidebar, edge);
}
