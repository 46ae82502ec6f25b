// How GraphiQL reaches the server it was loaded from: queries and mutations over HTTP,
// subscriptions over a WebSocket (`graphql-transport-ws`).
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';

const http = new URL('/graphql', window.location.href).href;
const socket = http.replace(/^http/, 'ws');

export function fetcher(params, options) {
  const headers = sendable(options?.headers);
  // A client is a socket only once it subscribes. One for each subscription, so that it carries
  // the headers that its own tab has at that moment.
  const wsClient = createClient({
    url: socket,
    // A browser cannot set headers on a WebSocket: the token goes into `connection_init`.
    connectionParams: connectionParams(headers),
    // An explorer should show why a socket was closed. An application retries: see ../../resume.
    retryAttempts: 0,
  });
  const send = createGraphiQLFetcher({
    url: http,
    wsClient,
    // The server has no @defer and @stream.
    enableIncrementalDelivery: false,
  });
  return send(params, { ...options, headers });
}

/** The headers without an `Authorization` that has no token yet, as in a fresh tab. */
function sendable(headers = {}) {
  const isBlank = ([name, value]) =>
    name.toLowerCase() === 'authorization' && /^\s*(bearer)?\s*$/i.test(String(value ?? ''));
  return Object.fromEntries(Object.entries(headers ?? {}).filter((header) => !isBlank(header)));
}

function connectionParams(headers) {
  const name = Object.keys(headers).find((name) => name.toLowerCase() === 'authorization');
  return name && { authorization: headers[name] };
}
