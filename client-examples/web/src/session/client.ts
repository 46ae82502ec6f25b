// The connection of this tab: urql over HTTP for queries and mutations, and one socket for all that is
// followed.
import {
  Client as Urql,
  fetchExchange,
  stringifyDocument,
  subscriptionExchange,
  type AnyVariables,
  type CombinedError,
  type TypedDocumentNode,
} from '@urql/core';
import type { Client as Socket } from 'graphql-ws';

import type { WebSession } from './session.js';
import {
  AccountEventsDocument,
  ChatPageDocument,
  ChatsDocument,
  NewerPageDocument,
  RefreshSessionDocument,
  type AccountEventsSubscription,
  type RefreshSessionMutation,
} from '../generated/graphql.js';
import type { Source } from '../replica/follow.js';
import { Refused, backoff, mayPass, retrying, type ErrorEntry } from '../talksy/refused.js';
import { createSocket } from '../talksy/socket.js';

const PAGE = 50;

/** Whether there is a connection. */
export type Link = 'connecting' | 'connected' | 'broken';

export class Connection {
  readonly socket: Socket;
  readonly urql: Urql;
  #link: Link = 'connecting';
  #listeners = new Set<() => void>();

  constructor(readonly session: WebSession) {
    this.socket = createSocket(session, { online });
    this.socket.on('connected', () => this.#become('connected'));
    this.socket.on('closed', () => this.#become('broken'));
    this.urql = new Urql({
      url: `${session.url}/graphql`,
      preferGetMethod: false,
      fetch: session.fetch,
      exchanges: [
        subscriptionExchange({
          forwardSubscription: ({ query = '', variables }) => ({
            subscribe: (sink) => ({ unsubscribe: this.socket.subscribe({ query, variables }, sink) }),
          }),
        }),
        fetchExchange,
      ],
    });
    session.overSocket = (refreshToken) => {
      if (this.#link !== 'connected') throw new Error('There is no socket.');
      return this.#once<RefreshSessionMutation>(stringifyDocument(RefreshSessionDocument), {
        refreshToken,
      });
    };
  }

  readonly link = (): Link => this.#link;

  readonly onLink = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** A query; waits for a network that is away. */
  query<Data, Variables extends AnyVariables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    return retrying(async () => dataOf(await this.urql.query(document, variables).toPromise()));
  }

  /** A mutation, tried once: who asks is told at once where it fails. */
  async mutate<Data, Variables extends AnyVariables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    return dataOf(await this.urql.mutation(document, variables).toPromise());
  }

  /** Follows what needs no place: each connection tells the state anew. */
  watch<Data, Variables extends AnyVariables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    onData: (data: Data) => void,
  ): () => void {
    let isOver = false;
    let tries = 0;
    let end = () => {};
    const start = () => {
      const { unsubscribe } = this.urql.subscription(document, variables).subscribe((result) => {
        if (isOver) return;
        if (result.data) {
          tries = 0;
          onData(result.data);
        } else if (result.error && mayPass(problemOf(result.error))) {
          end();
          tries += 1;
          void backoff(tries).then(() => isOver || start());
        }
      });
      end = unsubscribe;
    };
    start();
    return () => {
      isOver = true;
      end();
    };
  }

  /** What the replica needs. */
  readonly source: Source = {
    follow: (after, onEvent, onEnd) => {
      const variables = {
        // graphql-ws sends the payload anew on each connection. This is read when it is sent.
        get after() {
          return after();
        },
      };
      const query = stringifyDocument(AccountEventsDocument);
      return this.socket.subscribe<AccountEventsSubscription>({ query, variables }, {
        next: ({ data, errors }) => {
          if (data) onEvent(data.accountEvents);
          else onEnd(refused(errors));
        },
        error: (problem) => onEnd(refused(problem)),
        complete: () => onEnd(new Error('The stream has ended.')),
      });
    },
    chats: async (after) => {
      const { me, chats } = await this.query(ChatsDocument, { after });
      if (!me || !chats) throw new Error('The answer has no chats.');
      const { hasNextPage, endCursor } = chats.pageInfo;
      return { viewer: me, chats: chats.nodes, next: hasNextPage ? endCursor : null };
    },
    page: async (chatId, before) => {
      const { chat } = await this.query(ChatPageDocument, { chatId, last: PAGE, before });
      if (!chat) return null;
      const { messages, ...state } = chat;
      const { hasPreviousPage } = messages.pageInfo;
      return { chat: state, messages: messages.nodes, hasPreviousPage };
    },
    newer: async (chatId, after) => {
      const { chat } = await this.query(NewerPageDocument, { chatId, first: PAGE, after });
      if (!chat) return null;
      const { messages, ...state } = chat;
      return { chat: state, messages: messages.nodes };
    },
  };

  close(): void {
    void this.socket.dispose();
    this.#listeners.clear();
  }

  /** One operation over the socket. */
  #once<Data>(query: string, variables: Record<string, unknown>): Promise<Data> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('There was no answer.')), 10_000);
      this.socket.subscribe<Data>({ query, variables }, {
        next: ({ data, errors }) => (data && !errors ? resolve(data) : reject(refused(errors))),
        error: (problem) => reject(refused(problem)),
        complete: () => clearTimeout(late),
      });
    });
  }

  #become(link: Link) {
    this.#link = link;
    for (const listener of this.#listeners) listener();
  }
}

/** Resolves when the browser has a network. */
function online(): Promise<void> {
  if (navigator.onLine) return Promise.resolve();
  return new Promise((resolve) => addEventListener('online', () => resolve(), { once: true }));
}

const refused = (problem: unknown): unknown =>
  Array.isArray(problem) && problem[0] ? new Refused(problem[0] as ErrorEntry) : problem;

const problemOf = (error: CombinedError): unknown => {
  const [entry] = error.graphQLErrors;
  return entry ? new Refused(entry) : (error.networkError ?? error);
};

/** What an answer holds; throws what it refuses. */
function dataOf<Data>({ data, error }: { data?: Data; error?: CombinedError }): Data {
  if (error) throw problemOf(error);
  if (!data) throw new Error('The answer has no data.');
  return data;
}
