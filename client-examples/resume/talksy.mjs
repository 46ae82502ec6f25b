// A small Talksy client: requests over HTTP, live messages over one WebSocket.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

export const SERVER = (process.env.CHAT_URL ?? 'http://127.0.0.1:4000').replace(/\/+$/, '');

/** What the server refused, by the stable `code` that programs should look at. */
export class Refused extends Error {
  constructor({ message, extensions }) {
    super(message);
    this.code = extensions?.code;
    this.retryAfter = extensions?.retryAfter;
  }
}

async function post(query, variables, token) {
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json;q=0.9',
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
    // Without a deadline a request on a dead connection waits for minutes.
    signal: AbortSignal.timeout(10_000),
  });
  const { data, errors } = await response.json().catch(() => {
    throw new Error(`${SERVER} answered ${response.status}, and not with JSON`);
  });
  if (errors) throw new Refused(errors[0]);
  return data;
}

const LOGIN = /* GraphQL */ `
  mutation Login($email: String!, $deviceToken: String) {
    login(input: { email: $email, deviceToken: $deviceToken }) {
      challenge
    }
  }
`;

const VERIFY_OTP = /* GraphQL */ `
  mutation VerifyOtp($challenge: String!, $code: String!) {
    verifyOtp(input: { challenge: $challenge, code: $code }) {
      deviceToken
      accessToken
      refreshToken
      user {
        id
        name
      }
    }
  }
`;

const REFRESH_SESSION = /* GraphQL */ `
  mutation RefreshSession($refreshToken: String!) {
    refreshSession(input: { refreshToken: $refreshToken }) {
      accessToken
      refreshToken
    }
  }
`;

/** A signed-in user. Keeps the tokens, and renews them when the server says that they expired. */
export class Session {
  #tokens;
  #isExpired = false;
  #refreshing;

  constructor({ user, deviceToken, accessToken, refreshToken }) {
    this.user = user;
    /** For `signIn` on this device, later: an application keeps it. */
    this.deviceToken = deviceToken;
    this.#tokens = { accessToken, refreshToken };
  }

  /** `readCode` brings the digits that were mailed. */
  static async signIn(email, readCode, deviceToken) {
    const { challenge } = (await post(LOGIN, { email, deviceToken })).login;
    const code = await readCode();
    return new Session((await post(VERIFY_OTP, { challenge, code })).verifyOtp);
  }

  /** A request as this user. */
  async request(query, variables) {
    const token = await this.token();
    try {
      return await post(query, variables, token);
    } catch (error) {
      if (error.code !== 'TOKEN_EXPIRED') throw error;
      this.expired(token);
      return post(query, variables, await this.token());
    }
  }

  /** An access token. The server tells when it has expired: clocks differ. */
  async token() {
    // A refresh token is good for one use, and a second use ends the session, as it may be a
    // thief's. So all who need a new token wait for the same refresh.
    if (this.#isExpired) await (this.#refreshing ??= this.#refresh());
    return this.#tokens.accessToken;
  }

  /** Call it when the server says that the token has expired. */
  expired(token = this.#tokens.accessToken) {
    // Late news of a token that has been replaced since changes nothing.
    if (token === this.#tokens.accessToken) this.#isExpired = true;
  }

  async #refresh() {
    try {
      const { refreshToken } = this.#tokens;
      this.#tokens = (await post(REFRESH_SESSION, { refreshToken })).refreshSession;
      this.#isExpired = false;
    } finally {
      this.#refreshing = undefined;
    }
  }
}

const SEND_MESSAGE = /* GraphQL */ `
  mutation SendMessage($chatId: ID!, $text: String!, $clientMessageId: String!) {
    sendMessage(input: { chatId: $chatId, text: $text, clientMessageId: $clientMessageId }) {
      message {
        id
        seq
      }
    }
  }
`;

/** Sends a message, once, however often that has to be tried. */
export async function send(session, chatId, text) {
  // One id for the message, not for the try: where the message was stored and only the answer
  // was lost, the next try gets the first message instead of a second one.
  const clientMessageId = randomUUID();
  for (let tries = 1; ; tries += 1) {
    try {
      const data = await session.request(SEND_MESSAGE, { chatId, text, clientMessageId });
      return data.sendMessage.message;
    } catch (error) {
      const passes =
        !(error instanceof Refused) || ['RATE_LIMITED', 'UNAVAILABLE'].includes(error.code);
      if (!passes || tries === 6) throw error;
      await sleep(1000 * (error.retryAfter ?? 0.1 * 2 ** tries));
    }
  }
}

/**
 * A user's live connection. It is opened by the first subscription and closed after the last;
 * when it breaks it is made again, and the subscriptions go on by themselves.
 *
 * `online` resolves when there is a network; in a browser, at the `online` event.
 */
export function connect(session, { online = async () => {} } = {}) {
  let socket;
  let token;
  let pongTimeout;
  const client = createClient({
    url: `${SERVER.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    lazy: true,

    // A function: each connection gets a token that is fresh then.
    connectionParams: async () => {
      token = await session.token();
      return { authorization: `Bearer ${token}` };
    },

    retryAttempts: Infinity,
    // The random part keeps all clients from meeting a restarted server at once.
    retryWait: async (retries) => {
      await online();
      await sleep(Math.random() * Math.min(100 * 2 ** retries, 10_000));
    },
    // By default only closed sockets are retried; a server that refuses the connection for the
    // moment is an error event. What the server refused for good, such as a revoked session when
    // its tokens are refreshed, is no matter of time.
    shouldRetry: (problem) => !(problem instanceof Refused) || problem.code === 'UNAVAILABLE',

    // A connection can die without a sign. Ask, and give up on one that does not answer.
    keepAlive: 10_000,
    on: {
      opened: (opened) => (socket = opened),
      ping: (received) => {
        if (!received) pongTimeout = setTimeout(() => socket.terminate(), 5_000);
      },
      pong: (received) => received && clearTimeout(pongTimeout),
      closed: ({ code }) => {
        clearTimeout(pongTimeout);
        // The token expired while the socket was open. The next connection brings a new one.
        if (code === 4403) session.expired(token);
      },
    },
  });
  return {
    client,
    /** Cuts the TCP connection, without a good-bye, as a tunnel does. */
    cut: () => socket.terminate(),
  };
}

const MESSAGE_ADDED = /* GraphQL */ `
  subscription MessageAdded($chatId: ID!, $after: String) {
    messageAdded(chatId: $chatId, after: $after) {
      cursor
      node {
        id
        seq
        text
        sender {
          id
        }
      }
    }
  }
`;

/**
 * Every message of the chat behind the cursor `after`, each once and in order, across any number
 * of connections. Returns a function that ends it.
 */
export function follow(client, chatId, after, { onMessage, onError }) {
  let cursor = after;
  const variables = {
    chatId,
    // graphql-ws sends the operation again on each new connection, as it was given. This is
    // read when it is sent, so the server goes on behind the last message that came; a plain
    // `after: cursor` would replay all since the first subscription.
    get after() {
      return cursor;
    },
  };
  let end;
  const start = () => {
    end = client.subscribe(
      { query: MESSAGE_ADDED, variables },
      {
        next: ({ data, errors }) => {
          if (errors) return onError(new Refused(errors[0]));
          // The message first, then the cursor, with nothing awaited in between: an application
          // that stores messages stores both in one transaction.
          onMessage(data.messageAdded);
          cursor = data.messageAdded.cursor;
        },
        error: (error) => {
          const refused = Array.isArray(error) ? new Refused(error[0]) : error;
          // The server ends a feed that is read too slowly; nothing is lost by going on.
          if (refused.code === 'SLOW_CONSUMER') return start();
          // RESYNC_REQUIRED would be the one to handle here in an application: more was missed
          // than is replayed, so load the newest page of `messages` and follow from its end.
          onError(refused);
        },
        complete: () => {},
      },
    );
  };
  start();
  return () => end();
}
