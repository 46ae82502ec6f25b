// Relay's environment for Talksy: how it asks and how it follows.
import type { Client } from 'graphql-ws';
import {
  Environment,
  Network,
  Observable,
  RecordSource,
  Store,
  type FetchFunction,
  type GraphQLResponse,
  type SubscribeFunction,
} from 'relay-runtime';

import { keepNewest } from './talksy/newest.js';
import { Order } from './talksy/order.js';
import { Refused } from './talksy/refused.js';
import { resuming } from './talksy/resuming.js';
import type { Session } from './talksy/session.js';

/** Puts answers and events into the store so that none undoes what another has told. */
interface Kept {
  readonly order: Order;
  readonly newest: ReturnType<typeof keepNewest>;
}

function asking(session: Session, { order, newest }: Kept): FetchFunction {
  return async ({ text, name, operationKind }, variables) => {
    const done = operationKind === 'query' ? order.asks() : () => {};
    try {
      const response = await session.retryingFetch(`${session.url}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/graphql-response+json, application/json;q=0.9',
        },
        body: JSON.stringify({ query: text, operationName: name, variables }),
      });
      const { data, ...answer } = await response.json();
      if (answer.errors?.[0]) throw new Refused(answer.errors[0]);
      return { ...answer, data: newest(data) };
    } finally {
      done();
    }
  };
}

/**
 * Subscriptions that go on behind what they last had. Over the plain client of graphql-ws they LOSE
 * MESSAGES when the connection breaks, and say nothing.
 */
function following(socket: Client, { order, newest }: Kept): SubscribeFunction {
  const client = resuming(socket);
  return ({ text, name }, variables) =>
    Observable.create<GraphQLResponse>((sink) =>
      client.subscribe(
        { query: text!, operationName: name, variables },
        {
          next: async ({ data, errors }) => {
            await order.turn();
            if (errors?.[0]) sink.error(new Refused(errors[0]));
            else sink.next({ data: newest(data) } as GraphQLResponse);
          },
          error: (problem) =>
            sink.error(
              Array.isArray(problem)
                ? new Refused(problem[0])
                : problem instanceof Error
                  ? problem
                  : new Error('The connection is closed.', { cause: problem }),
            ),
          complete: () => sink.complete(),
        },
      ),
    );
}

export function createEnvironment(session: Session, socket: Client): Environment {
  const kept = { order: new Order(), newest: keepNewest() };
  return new Environment({
    network: Network.create(asking(session, kept), following(socket, kept)),
    store: new Store(new RecordSource()),
  });
}
