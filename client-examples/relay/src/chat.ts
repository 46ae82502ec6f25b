// A chat with Relay, by its runtime alone. With React, the fragments are for `usePaginationFragment`.
import {
  commitMutation,
  createOperationDescriptor,
  fetchQuery,
  getFragment,
  getRequest,
  getSingularSelector,
  graphql,
  requestSubscription,
  type Disposable,
  type Environment,
  type GraphQLTaggedNode,
  type MutationParameters,
  type OperationType,
} from 'relay-runtime';

import type { chatEditMutation } from './__generated__/chatEditMutation.graphql';
import type { chatMessageAddedSubscription } from './__generated__/chatMessageAddedSubscription.graphql';
import type { chatSendMutation } from './__generated__/chatSendMutation.graphql';
import type { chatSidebarQuery } from './__generated__/chatSidebarQuery.graphql';
import type { chatStartMutation } from './__generated__/chatStartMutation.graphql';
import type { chatThreadQuery } from './__generated__/chatThreadQuery.graphql';
import type { chat_sidebar$data } from './__generated__/chat_sidebar.graphql';
import type { chat_thread$data } from './__generated__/chat_thread.graphql';
import { Outbox } from './talksy/outbox.js';

// Select `id` and `changeSeq` of every message: the store keeps the newest state by them.
graphql`
  fragment chat_message on Message {
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
`;

const THREAD = graphql`
  fragment chat_thread on Chat
  @refetchable(queryName: "chatOlderQuery")
  @argumentDefinitions(
    count: { type: "Int", defaultValue: 50 }
    cursor: { type: "String" }
  ) {
    id
    messages(last: $count, before: $cursor) @connection(key: "chat_messages") {
      edges {
        node {
          ...chat_message @relay(mask: false)
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
      }
    }
  }
`;

const THREAD_QUERY = graphql`
  query chatThreadQuery($chatId: ID!, $count: Int!) {
    chat(id: $chatId) {
      ...chat_thread @arguments(count: $count)
    }
  }
`;

const SIDEBAR = graphql`
  fragment chat_sidebar on Query
  @refetchable(queryName: "chatSidebarPageQuery")
  @argumentDefinitions(
    count: { type: "Int", defaultValue: 50 }
    cursor: { type: "String" }
  ) {
    chats(first: $count, after: $cursor) @connection(key: "chat_chats") {
      edges {
        node {
          id
          title
          unreadCount
        }
      }
    }
  }
`;

const SIDEBAR_QUERY = graphql`
  query chatSidebarQuery {
    ...chat_sidebar
  }
`;

const START = graphql`
  mutation chatStartMutation($userId: ID!) {
    startChat(input: { userId: $userId }) {
      chat {
        id
      }
    }
  }
`;

const SEND = graphql`
  mutation chatSendMutation($chatId: ID!, $text: String!, $clientMessageId: String!) {
    sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
      message {
        id
      }
    }
  }
`;

const EDIT = graphql`
  mutation chatEditMutation($messageId: ID!, $text: String!) {
    editMessage(input: { messageId: $messageId, text: $text }) {
      message {
        ...chat_message @relay(mask: false)
      }
    }
  }
`;

const MESSAGE_ADDED = graphql`
  subscription chatMessageAddedSubscription($chatId: ID!, $after: String) {
    messageAdded(chatId: $chatId, after: $after) {
      cursor
      node {
        ...chat_message @relay(mask: false)
      }
    }
  }
`;

/** Calls back with a fragment's data, now and whenever it changes. */
function observe<Data>(
  environment: Environment,
  fragment: GraphQLTaggedNode,
  reference: unknown,
  onData: (data: Data) => void,
): Disposable {
  const snapshot = environment.lookup(getSingularSelector(getFragment(fragment), reference)!);
  onData(snapshot.data as unknown as Data);
  return environment.subscribe(snapshot, ({ data }) => onData(data as unknown as Data));
}

/** Loads a query, and keeps its data in the store. */
async function load<Query extends OperationType>(
  environment: Environment,
  query: GraphQLTaggedNode,
  variables: Query['variables'],
): Promise<{ readonly data: Query['response']; readonly retained: Disposable }> {
  const retained = environment.retain(createOperationDescriptor(getRequest(query), variables));
  const data = await fetchQuery<Query>(environment, query, variables).toPromise();
  return { data: data!, retained };
}

/** Loads a thread's newest page again, in place of all that is there. */
export const reloadThread = (environment: Environment, chatId: string) =>
  fetchQuery<chatThreadQuery>(environment, THREAD_QUERY, { chatId, count: 50 }).toPromise();

/** A thread: its newest page, and what is told by events. */
export async function watchThread(
  environment: Environment,
  chatId: string,
  onData: (data: chat_thread$data) => void,
  count = 50,
): Promise<Disposable> {
  const variables = { chatId, count };
  const { data, retained } = await load<chatThreadQuery>(environment, THREAD_QUERY, variables);
  if (!data.chat) throw new Error('The user has no such chat.');
  const observed = observe(environment, THREAD, data.chat, onData);
  return {
    dispose: () => {
      observed.dispose();
      retained.dispose();
    },
  };
}

/** Loads the page before; the thread has it then. */
export const olderMessages = (
  environment: Environment,
  chatId: string,
  count: number,
  startCursor: string,
) =>
  fetchQuery(environment, getFragment(THREAD).metadata!.refetch!.operation as never, {
    id: chatId,
    count,
    cursor: startCursor,
  }).toPromise();

/** The sidebar: the most recently active chats first. */
export async function watchSidebar(
  environment: Environment,
  onData: (data: chat_sidebar$data) => void,
): Promise<Disposable> {
  const { data } = await load<chatSidebarQuery>(environment, SIDEBAR_QUERY, {});
  return observe(environment, SIDEBAR, data, onData);
}

function commit<Mutation extends MutationParameters>(
  environment: Environment,
  mutation: GraphQLTaggedNode,
  variables: Mutation['variables'],
): Promise<Mutation['response']> {
  return new Promise((resolve, reject) => {
    commitMutation<Mutation>(environment, {
      mutation,
      variables,
      onCompleted: resolve,
      onError: reject,
    });
  });
}

/** Starts the chat with another user, or finds the one there is. */
export async function startChat(environment: Environment, userId: string): Promise<string> {
  const { startChat } = await commit<chatStartMutation>(environment, START, { userId });
  if (!startChat) throw new Error('The answer has no chat.');
  return startChat.chat.id;
}

/** What is being sent. */
export const outbox = new Outbox();

/** Sends a message, once, however often that has to be tried. The thread has it by its event. */
export const send = (
  environment: Environment,
  chatId: string,
  text: string,
): Promise<{ readonly id: string }> =>
  outbox.send(chatId, text, async (pending) => {
    const answer = await commit<chatSendMutation>(environment, SEND, { ...pending });
    if (!answer.sendMessage) throw new Error('The answer has no message.');
    return answer.sendMessage.message;
  });

/** Gives a message of the user another text; the store has it when the answer comes. */
export async function edit(environment: Environment, messageId: string, text: string) {
  await commit<chatEditMutation>(environment, EDIT, { messageId, text });
}

/** Every message of one chat behind `after`, each once and in order. */
export const followMessages = (
  environment: Environment,
  chatId: string,
  after: string,
  onEdge: (edge: chatMessageAddedSubscription['response']['messageAdded']) => void,
  onEnd: (error: Error) => void,
): Disposable =>
  requestSubscription<chatMessageAddedSubscription>(environment, {
    subscription: MESSAGE_ADDED,
    variables: { chatId, after },
    onNext: (data) => data && onEdge(data.messageAdded),
    onError: onEnd,
  });
