// Apollo Client for Talksy: its links, and how its cache holds pages.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { OperationTypeNode } from 'graphql';
import type { Client } from 'graphql-ws';
import { map } from 'rxjs';

import { keepNewest } from './talksy/newest.js';
import { resuming } from './talksy/resuming.js';
import type { Session } from './talksy/session.js';

/**
 * The link for subscriptions that go on behind what they last had. A `GraphQLWsLink` over the plain
 * client of graphql-ws LOSES MESSAGES when the connection breaks, and says nothing.
 */
export const resumingLink = (socket: Client): ApolloLink => new GraphQLWsLink(resuming(socket));

/** Gives no older state of a message to the cache than it has had. */
export function newestLink(): ApolloLink {
  const newest = keepNewest();
  return new ApolloLink((operation, forward) =>
    forward(operation).pipe(
      map((result) =>
        'data' in result && result.data ? { ...result, data: newest(result.data) } : result,
      ),
    ),
  );
}

export function createApolloClient(session: Session, socket: Client): ApolloClient {
  const transport = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    resumingLink(socket),
    new HttpLink({ uri: `${session.url}/graphql`, fetch: session.retryingFetch }),
  );
  return new ApolloClient({
    link: ApolloLink.from([newestLink(), transport]),
    cache: new InMemoryCache({
      typePolicies: {
        Query: { fields: { chats: relayStylePagination(['search']) } },
        Chat: { fields: { messages: relayStylePagination() } },
      },
    }),
  });
}
