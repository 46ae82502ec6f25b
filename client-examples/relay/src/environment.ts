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
import { Refused } from './talksy/refused.js';
import { resuming } from './talksy/resuming.js';
import type { Session } from './talksy/session.js';

/** Gives no older state of a message to the store than it has had. */
type Newest = ReturnType<typeof keepNewest>;

function asking(session: Session, newest: Newest): FetchFunction {
  return async ({ text, name }, variables) => {
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
  };
}

/**
 * Subscriptions that go on behind what they last had. Over the plain client of graphql-ws they LOSE
 * MESSAGES when the connection breaks, and say nothing.
 */
function following(socket: Client, newest: Newest): SubscribeFunction {
  const client = resuming(socket);
  return ({ text, name }, variables) =>
    Observable.create<GraphQLResponse>((sink) =>
      client.subscribe(
        { query: text!, operationName: name, variables },
        {
          next: ({ data, errors }) => {
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
  const newest = keepNewest();
  return new Environment({
    network: Network.create(asking(session, newest), following(socket, newest)),
    store: new Store(new RecordSource()),
  });
}
