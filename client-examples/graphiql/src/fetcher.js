// How GraphiQL reaches the server that it was loaded from: queries and mutations over HTTP,
// subscriptions over a WebSocket (`graphql-transport-ws`).
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { getOperationAST } from 'graphql';
import { createClient } from 'graphql-ws';

const http = new URL('/graphql', window.location.href).href;
const socket = http.replace(/^http/, 'ws');

const overHttp = createGraphiQLFetcher({
  url: http,
  // The schema has no @defer and no @stream.
  enableIncrementalDelivery: false,
});

export function fetcher(params, options) {
  const headers = sendable(options?.headers);
  const operation =
    options?.documentAST && getOperationAST(options.documentAST, params.operationName);
  return operation?.operation === 'subscription'
    ? overSocket(params, headers)
    : carryingChallenge(params, { ...options, headers });
}

/** The last challenge that `login` has answered. It is gone with the page. */
let challenge = '';

/** A request over HTTP. A variable `challenge` that is empty is filled with the last one. */
async function carryingChallenge(params, options) {
  const { variables } = params;
  const isBlank = variables?.challenge === '' && challenge !== '';
  const filled = isBlank ? { ...params, variables: { ...variables, challenge } } : params;
  const result = await overHttp(filled, options);
  challenge = result?.data?.login?.challenge ?? challenge;
  return result;
}

/** The subscription as an observable, which GraphiQL subscribes to and unsubscribes from. */
function overSocket(params, headers) {
  // A client and so a socket for each subscription, with the headers that its tab has now.
  const client = createClient({
    url: socket,
    // Browsers cannot set headers on a WebSocket: the token goes into `connection_init`.
    connectionParams: connectionParams(headers),
    // An explorer shows why a socket was closed. An application retries: see ../../shared/resuming.ts.
    retryAttempts: 0,
  });
  return {
    subscribe: (sink) => ({
      unsubscribe: client.subscribe(params, {
        next: (result) => sink.next(result),
        error: (error) => sink.error(readable(error)),
        complete: () => sink.complete(),
      }),
    }),
  };
}

/** GraphQL errors as they are; of a closed socket the code and the reason. */
function readable(error) {
  if (!(error instanceof CloseEvent)) return error;
  const reason = error.reason || 'without a reason; is the server there?';
  return [{ message: `The socket was closed: ${error.code}, ${reason}` }];
}

/** The headers without an `Authorization` that has no token yet, as in a fresh tab. */
function sendable(headers) {
  const isBlank = ([name, value]) =>
    name.toLowerCase() === 'authorization' && /^\s*(bearer)?\s*$/i.test(value ?? '');
  return Object.fromEntries(Object.entries(headers ?? {}).filter((header) => !isBlank(header)));
}

function connectionParams(headers) {
  const name = Object.keys(headers).find((name) => name.toLowerCase() === 'authorization');
  return name && { authorization: headers[name] };
}
