// Apollo Client for Talksy: its links, and how its cache holds pages.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { OperationTypeNode } from 'graphql';
import type { Client } from 'graphql-ws';
import { concatMap, finalize, map } from 'rxjs';

import { keepNewest } from './talksy/newest.js';
import { Order } from './talksy/order.js';
import { resuming } from './talksy/resuming.js';
import type { Session } from './talksy/session.js';

/**
 * The link for subscriptions that go on behind what they last had. A `GraphQLWsLink` over the plain
 * client of graphql-ws LOSES MESSAGES when the connection breaks, and says nothing.
 */
export const resumingLink = (socket: Client): ApolloLink => new GraphQLWsLink(resuming(socket));

/** Puts answers and events into the cache in an order in which none undoes what another has told. */
export function orderLink(): ApolloLink {
  const order = new Order();
  const newest = keepNewest();
  const keep = (result: ApolloLink.Result): ApolloLink.Result =>
    'data' in result && result.data ? { ...result, data: newest(result.data) } : result;
  return new ApolloLink((operation, forward) => {
    switch (operation.operationType) {
      case OperationTypeNode.SUBSCRIPTION:
        return forward(operation).pipe(concatMap((result) => order.turn().then(() => keep(result))));
      case OperationTypeNode.QUERY:
        return forward(operation).pipe(map(keep), finalize(order.asks()));
      default:
        return forward(operation).pipe(map(keep));
    }
  });
}

export function createApolloClient(session: Session, socket: Client): ApolloClient {
  const transport = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    resumingLink(socket),
    new HttpLink({ uri: `${session.url}/graphql`, fetch: session.retryingFetch }),
  );
  return new ApolloClient({
    link: ApolloLink.from([orderLink(), transport]),
    cache: new InMemoryCache({
      typePolicies: {
        Query: { fields: { chats: relayStylePagination(['search']) } },
        Chat: { fields: { messages: relayStylePagination() } },
      },
    }),
  });
}
