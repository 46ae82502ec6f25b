// What the tests of the examples have in common: users of a server that `with-server.mjs` runs, and
// the chat that every example must come through.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { watchFor } from './outbox.mjs';

export const SERVER = (process.env.CHAT_URL ?? 'http://127.0.0.1:4000').replace(/\/+$/, '');

/** Signs a new user in, with the example's own `Session`. */
export async function signIn(Session, name) {
  // New addresses for each run: a code can be asked for once a minute for an address.
  const email = `${name}-${randomBytes(4).toString('hex')}@example.org`;
  return Session.signIn(SERVER, email, await watchFor(email));
}

/** Stops or starts the server. */
async function control(action) {
  const answer = await fetch(`${process.env.CHAT_CONTROL}${action}`, { method: 'POST' });
  if (!answer.ok) throw new Error(await answer.text());
}
export const stopServer = (signal) => control(`/stop?signal=${signal}`);
/** Settings are as in `http.graphiql=false`, for this start on. */
export const startServer = (...settings) =>
  control(`/start?${new URLSearchParams(settings.map((setting) => ['set', setting]))}`);
export const restoreServer = () => control('/restored');

/** Waits until the check passes. The last failure tells what was missing. */
export async function eventually(check) {
  for (const deadline = Date.now() + 60_000; ; await sleep(20)) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** A network that can be away: `online` is for the example's socket. */
export class Network {
  #back = Promise.resolve();
  #comeBack = () => {};
  online = () => this.#back;

  leave() {
    this.#back = new Promise((resolve) => (this.#comeBack = resolve));
  }

  comeBack() {
    this.#comeBack();
  }
}

const STORED = /* GraphQL */ `
  query Stored($chatId: ID!) {
    chat(id: $chatId) {
      headCursor
      messages(last: 100) {
        nodes {
          seq
          text
        }
      }
    }
  }
`;

/** The chat's messages as the server has them. */
export async function stored(session, chatId) {
  const { chat } = await session.request(STORED, { chatId });
  return chat.messages.nodes;
}

/** The place behind all that happened in the chat until now. */
export async function headCursor(session, chatId) {
  const { chat } = await session.request(STORED, { chatId });
  return chat.headCursor;
}

const shown = (messages) => messages.map(({ seq, text }) => ({ seq, text }));

/**
 * Two users chat while the server is stopped and killed. Both see what the server has, and each
 * event of `messageAdded` has come once and in order.
 *
 * `open(session, options)` makes the example's client; `options.online` is for its socket. It has
 * `startChat(userId)`, `show(chatId, count)`, which keeps a thread up to date, `thread()`, `send(chatId,
 * text)`, `edit(messageId, text)`, `follow(chatId, after, onEdge)` and `close()`.
 */
export async function chatThroughRestarts(Session, open) {
  const sessions = [await signIn(Session, 'ada'), await signIn(Session, 'grace')];
  const network = new Network();
  const ada = open(sessions[0], {});
  const grace = open(sessions[1], { online: network.online });
  const chatId = await ada.startChat(sessions[1].user.id);
  await Promise.all([ada.show(chatId, 50), grace.show(chatId, 50)]);
  const edges = [];
  grace.follow(chatId, await headCursor(sessions[1], chatId), (edge) => edges.push(edge));
  const agree = () =>
    eventually(async () => {
      const wanted = shown(await stored(sessions[0], chatId));
      assert.deepEqual(shown(ada.thread()), wanted, "Ada's thread");
      assert.deepEqual(shown(grace.thread()), wanted, "Grace's thread");
      const seqs = edges.map(({ node }) => node.seq);
      const last = wanted.at(-1)?.seq ?? 0;
      assert.deepEqual(seqs, Array.from({ length: last }, (_, at) => at + 1), 'messageAdded');
    });

  const first = await ada.send(chatId, 'Hello, Grace');
  await agree();
  await grace.send(chatId, 'Hello, Ada');
  await ada.edit(first.id, 'Hello, dear Grace');
  await agree();

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    network.leave();
    await stopServer(signal);
    // It is sent when the server is there again.
    const pending = ada.send(chatId, `Sent while the server was away, ${signal}`);
    await startServer();
    await pending;
    // All this happens while Grace is away.
    await ada.send(chatId, `Sent while Grace was away, ${signal}`);
    await ada.edit(first.id, `Edited while Grace was away, ${signal}`);
    // As over night: the new connection needs another token.
    sessions[1].expired();
    network.comeBack();
    await agree();
    // And live again.
    await grace.send(chatId, `Back again, ${signal}`);
    await agree();
  }
  assert.equal(ada.thread().length, 8);
  assert.equal(ada.thread()[0].text, 'Edited while Grace was away, SIGKILL');
  ada.close();
  grace.close();
}

const texts = (messages) => messages.map(({ text }) => text);

/**
 * A library's cache: it gets chats and messages by events, pages back, and shows what is being sent
 * once. Besides what `chatThroughRestarts` needs, the client has `showSidebar()`, `sidebar()`, `older()`,
 * which loads the page before, and `outbox`.
 */
export async function chatInCache(Session, open) {
  const sessions = [await signIn(Session, 'ada'), await signIn(Session, 'grace')];
  const [ada, grace] = sessions.map((session) => open(session, {}));
  await grace.showSidebar();
  assert.deepEqual(grace.sidebar(), []);
  const chatId = await ada.startChat(sessions[1].user.id);
  const all = Array.from({ length: 15 }, (_, at) => `number ${at + 1}`);
  for (const text of all) await ada.send(chatId, text);
  await eventually(() => {
    const shown = grace.sidebar().map(({ id, unreadCount }) => ({ id, unreadCount }));
    assert.deepEqual(shown, [{ id: chatId, unreadCount: 15 }]);
  });

  await grace.show(chatId, 10);
  assert.deepEqual(texts(grace.thread()), all.slice(5));
  await grace.older();
  await eventually(() => assert.deepEqual(texts(grace.thread()), all));

  const shownOnce = () => {
    const shown = texts([...grace.thread(), ...grace.outbox.of(chatId, grace.thread())]);
    assert.equal(shown.filter((text) => text === 'and one more').length, 1);
  };
  const sent = grace.send(chatId, 'and one more');
  shownOnce();
  await sent;
  await eventually(() => assert.deepEqual(texts(grace.thread()), [...all, 'and one more']));
  shownOnce();
  assert.deepEqual(grace.outbox.snapshot(), []);
  ada.close();
  grace.close();
}

const SEND = /* GraphQL */ `
  mutation Send($chatId: ID!, $text: String!) {
    sendMessage(input: { chatId: $chatId, text: $text }) {
      message {
        id
      }
    }
  }
`;

/**
 * The server was restored from a backup: `RESYNC_REQUIRED`. The thread is loaded anew and goes on. A
 * library whose cache cannot be emptied tells it by `options.onEnd`, and the client is made again.
 */
export async function chatThroughRestore(Session, open) {
  const sessions = [await signIn(Session, 'ada'), await signIn(Session, 'grace')];
  const network = new Network();
  let grace;
  const start = () => {
    grace = open(sessions[1], { online: network.online, onEnd });
  };
  const onEnd = async (error) => {
    const code = error.code ?? error.graphQLErrors?.[0]?.extensions.code;
    assert.equal(code, 'RESYNC_REQUIRED', String(error));
    grace.close();
    start();
    await grace.show(chatId, 50);
  };
  start();
  const chatId = await grace.startChat(sessions[0].user.id);
  const agree = () =>
    eventually(async () =>
      assert.deepEqual(shown(grace.thread()), shown(await stored(sessions[0], chatId))),
    );
  await sessions[0].request(SEND, { chatId, text: 'Before' });
  await grace.show(chatId, 50);
  await agree();
  network.leave();
  await stopServer('SIGTERM');
  await restoreServer();
  await startServer();
  await sessions[0].request(SEND, { chatId, text: 'While Grace was away' });
  network.comeBack();
  await agree();
  await sessions[0].request(SEND, { chatId, text: 'And live' });
  await agree();
  assert.equal(grace.thread().length, 3);
  grace.close();
}

/**
 * A message comes while its thread is being loaded: after the server has read the page, and before the
 * page is here. `options.watch` is called with each result of a subscription, before the example has it.
 */
export async function chatWhileLoading(Session, open) {
  const sessions = [await signIn(Session, 'ada'), await signIn(Session, 'grace')];
  let told = 0;
  // Answers are held back from when `held` is set.
  let held;
  let answered = 0;
  const { retryingFetch } = sessions[1];
  sessions[1].retryingFetch = async (...request) => {
    const response = await retryingFetch(...request);
    if (held) answered += 1;
    await held;
    return response;
  };
  const grace = open(sessions[1], {
    watch: ({ data }) => (told += data?.accountEvents?.__typename === 'MessageAdded'),
  });
  const chatId = await grace.startChat(sessions[0].user.id);
  await grace.showSidebar();
  await sessions[0].request(SEND, { chatId, text: 'Before' });
  await eventually(() => assert.equal(told, 1));

  let release;
  held = new Promise((resolve) => (release = resolve));
  const loading = grace.show(chatId, 50);
  await eventually(() => assert.equal(answered, 1));
  await sessions[0].request(SEND, { chatId, text: 'Meanwhile' });
  await eventually(() => assert.equal(told, 2));
  release();
  await loading;
  await eventually(() => assert.deepEqual(texts(grace.thread()), ['Before', 'Meanwhile']));
  assert.equal(grace.sidebar()[0].unreadCount, 2);
  grace.close();
}

/** A client of graphql-ws whose results can be watched. */
export const watched = (client, watch = () => {}) => ({
  ...client,
  subscribe: (payload, sink) =>
    client.subscribe(payload, {
      ...sink,
      next: (result) => {
        sink.next(result);
        watch(result);
      },
    }),
});
