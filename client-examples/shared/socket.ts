// One WebSocket for all of a user's subscriptions. It is opened by the first and closed after the
// last, and made again when it breaks.
import { createClient, type Client, type ClientOptions } from 'graphql-ws';

import { backoff, mayPass } from './refused.js';
import type { Session } from './session.js';

export interface SocketOptions {
  /** Resolves when there is a network; in a browser, at the `online` event. */
  readonly online?: () => Promise<void>;
  /** Node.js before version 22 has no `WebSocket` of its own: give it that of the package `ws`. */
  readonly webSocketImpl?: ClientOptions['webSocketImpl'];
}

/** A client of graphql-ws. Give it to `resuming`, or messages are lost when the connection breaks. */
export function createSocket(
  session: Pick<Session, 'url' | 'token' | 'expired'>,
  { online = async () => {}, webSocketImpl }: SocketOptions = {},
): Client {
  let token: string | undefined;
  let pongTimeout: ReturnType<typeof setTimeout> | undefined;
  const client = createClient({
    url: `${session.url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl,

    // A function: each connection gets a token that is fresh then.
    connectionParams: async () => {
      token = await session.token();
      return { authorization: `Bearer ${token}` };
    },

    retryAttempts: Infinity,
    retryWait: async (tries) => {
      await online();
      await backoff(tries);
    },
    // By default only closed sockets are retried; a server that refuses the connection for the
    // moment is an error event. What the server refused for good, such as a revoked session when
    // its tokens are refreshed, is no matter of time.
    shouldRetry: mayPass,

    // A connection can die without a sign. Ask, and give up on one that does not answer.
    keepAlive: 10_000,
    on: {
      ping: (isReceived) => {
        if (!isReceived) pongTimeout = setTimeout(() => client.terminate(), 5_000);
      },
      pong: (isReceived) => {
        if (isReceived) clearTimeout(pongTimeout);
      },
      closed: (event) => {
        clearTimeout(pongTimeout);
        // The token expired while the socket was open. The next connection brings a new one.
        if ((event as CloseEvent).code === 4403) session.expired(token);
      },
    },
  });
  return client;
}
