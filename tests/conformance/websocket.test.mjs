// What graphql-ws's own tests check of servers, message by message, over plain sockets. Its tests of hooks in code
// have no counterpart; the names of the others are kept.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, describe, it } from 'node:test';

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { GRAPHQL, MESSAGES, added, pair, send, signIn } from './people.mjs';

const PROTOCOL = 'graphql-transport-ws';
const URL = GRAPHQL.replace('http', 'ws');

/** A socket whose messages, and whose close, are read one after the other. */
class Socket {
  #come = [];
  #waiting = [];

  static async open(protocols = PROTOCOL, options = {}) {
    const socket = new Socket();
    socket.ws = new WebSocket(URL, protocols, options);
    socket.ws.on('message', (data) => socket.#add(JSON.parse(data)));
    socket.ws.on('close', (code, reason) => socket.#add({ code, reason: String(reason) }));
    await once(socket.ws, 'open');
    return socket;
  }

  /** One that is acknowledged, as this user or nobody. */
  static async acknowledged(user) {
    const socket = await Socket.open();
    socket.init(user);
    assert.deepEqual(await socket.next(), { type: 'connection_ack' });
    return socket;
  }

  #add(event) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(event);
    else this.#come.push(event);
  }

  /** The next message, or the close. */
  next() {
    if (this.#come.length) return Promise.resolve(this.#come.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  send(...messages) {
    for (const message of messages) this.ws.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  init(user) {
    this.send({
      type: 'connection_init',
      ...(user && { payload: { authorization: `Bearer ${user.token}` } }),
    });
  }

  /** Nothing has come of all that was sent before: the next message is the pong. */
  async quiet() {
    this.send({ type: 'ping' });
    assert.deepEqual(await this.next(), { type: 'pong' });
  }

  async closes(code, reason) {
    const end = await this.next();
    assert.equal(end.code, code, JSON.stringify(end));
    if (reason) assert.equal(end.reason, reason);
    else assert.ok(end.reason.length > 0, 'no reason');
  }

  /** The operation's one result, and its end. */
  async answers(id, payload) {
    assert.deepEqual(await this.next(), { id, type: 'next', payload });
    assert.deepEqual(await this.next(), { id, type: 'complete' });
  }
}

const subscribe = (id, payload) => ({ id, type: 'subscribe', payload });
const complete = (id) => ({ id, type: 'complete' });
const typename = { data: { __typename: 'Query' } };

let people;
before(async () => (people = await pair()));
/** Follows the chat from now on. */
const follow = (id, { chat, after } = people) =>
  subscribe(id, { query: MESSAGES, variables: { chat, after } });

describe('Subprotocol', { concurrency: true }, () => {
  for (const [offered, chosen] of [
    [[PROTOCOL], PROTOCOL],
    [['almost', 'next', PROTOCOL, 'one'], PROTOCOL],
    [['123', PROTOCOL], PROTOCOL],
    [['not', 'me'], ''],
    [['maybe', 'me', `${PROTOCOL}nah`], ''],
    [['no', 'graphql-TransPort-ws'], ''],
    [['notme'], ''],
    [['graphql', 'json'], ''],
    [[], ''],
  ]) {
    it(`should choose ${chosen || 'none'} of ${offered.join(', ') || 'none'}`, async () => {
      // Without one, the library fails: so the header is written by hand, with spaces.
      const headers = offered.length ? { 'sec-websocket-protocol': offered.join(' ,  ') } : {};
      const ws = new WebSocket(URL, chosen ? offered : [], { headers: chosen ? {} : headers });
      if (!chosen) {
        // The library takes no part in it; it only hands over what the server answered.
        const [response] = await once(ws, 'upgrade');
        assert.equal(response.headers['sec-websocket-protocol'], undefined);
        const [code, reason] = await once(ws, 'close');
        assert.deepEqual([code, String(reason)], [4406, 'Subprotocol not acceptable']);
        return;
      }
      await once(ws, 'open');
      assert.equal(ws.protocol, chosen);
      ws.terminate();
    });
  }
});

describe('Connect', { concurrency: true }, () => {
  it('should refuse connection and close socket where the token is not valid', async () => {
    const socket = await Socket.open();
    socket.init({ token: 'nonsense' });
    await socket.closes(4403);
  });

  it('should acknowledge connection without credentials', async () => {
    await (await Socket.acknowledged()).quiet();
  });

  for (const payload of [undefined, {}, null]) {
    it(`should accept a payload that is ${JSON.stringify(payload)}`, async () => {
      const socket = await Socket.open();
      socket.send({ type: 'connection_init', payload });
      assert.deepEqual(await socket.next(), { type: 'connection_ack' });
    });
  }

  it('should pass in the connectionParams', async () => {
    const socket = await Socket.acknowledged(people.ada);
    socket.send(subscribe('1', { query: '{ me { id } }' }));
    await socket.answers('1', { data: { me: { id: people.ada.id } } });
  });

  it('should close the socket after the time has passed without a ConnectionInit message', async () => {
    const socket = await Socket.open();
    await socket.closes(4408, 'Connection initialisation timeout');
  });

  it('should not close an acknowledged socket after that time', async () => {
    const socket = await Socket.acknowledged(people.ada);
    const idle = await Socket.open();
    await idle.closes(4408);
    await socket.quiet();
  });

  it('should close the socket if an additional ConnectionInit message is received while one is pending', async () => {
    const socket = await Socket.open();
    socket.init(people.ada);
    socket.init(people.ada);
    const first = await socket.next();
    if (first.type) assert.deepEqual(first, { type: 'connection_ack' });
    const end = first.type ? await socket.next() : first;
    assert.deepEqual(end, { code: 4429, reason: 'Too many initialisation requests' });
  });

  it('should close the socket if more than one ConnectionInit message is received at any given time', async () => {
    const socket = await Socket.acknowledged(people.ada);
    socket.init(people.ada);
    await socket.closes(4429, 'Too many initialisation requests');
  });
});

describe('Ping/Pong', { concurrency: true }, () => {
  it('should respond with a pong to a ping', async () => {
    await (await Socket.open()).quiet();
  });

  it("should return ping's payload through the pong", async () => {
    const socket = await Socket.open();
    socket.send({ type: 'ping', payload: { iCome: 'back' } });
    assert.deepEqual(await socket.next(), { type: 'pong', payload: { iCome: 'back' } });
  });

  for (const payload of [undefined, {}, null, { any: 1 }]) {
    it(`should not react to a pong with a payload that is ${JSON.stringify(payload)}`, async () => {
      const socket = await Socket.open();
      socket.send({ type: 'pong', payload });
      await socket.quiet();
    });
  }
});

describe('Invalid messages', { concurrency: true }, () => {
  for (const text of [
    ...['{', 'nonsense', '', 'null', '0', '9', '""', '[]', '{}'],
    ...[{ type: '' }, { type: 0 }, { type: null }, { type: 'nuxt' }, { type: 'SUBSCRIBE' }],
    ...['', 0, [], true].map((payload) => ({ type: 'ping', payload })),
    ...['', 0, [], true].map((payload) => ({ type: 'pong', payload })),
    ...[{}, { id: 0 }, { id: '' }, { id: 'id' }].map((of) => ({ ...of, type: 'subscribe' })),
    ...[
      [],
      '',
      {},
      { query: 0 },
      { query: {} },
      { query: '', operationName: 0 },
      { query: '', operationName: {} },
      { query: '', variables: '' },
      { query: '', extensions: '' },
      { query: '', extensions: 0 },
    ].map((payload) => subscribe('id', payload)),
    // No batches: a message is one operation.
    [subscribe('1', { query: '{ __typename }' })],
    subscribe('1', [{ query: '{ __typename }' }]),
    // What only servers send.
    { type: 'connection_ack' },
    { id: 'id', type: 'next', payload: {} },
    { id: 'id', type: 'error', payload: [{ message: 'I am Error' }] },
    ...[{}, { id: '' }, { id: 0 }].map((of) => ({ ...of, type: 'complete' })),
  ].map((message) => (typeof message === 'string' ? message : JSON.stringify(message)))) {
    it(`should close the socket on ${text || 'an empty message'}`, async () => {
      const socket = await Socket.acknowledged();
      socket.send(text);
      await socket.closes(4400);
    });
  }

  for (const payload of ['', 0, [], true]) {
    it(`should close the socket on a ConnectionInit with ${JSON.stringify(payload)}`, async () => {
      const socket = await Socket.open();
      socket.send({ type: 'connection_init', payload });
      await socket.closes(4400);
    });
  }

  it('should accept all that a subscribe message may have', async () => {
    const socket = await Socket.acknowledged();
    socket.send(
      subscribe('1', { query: '{ __typename }', operationName: null, variables: null, extensions: null }),
    );
    await socket.answers('1', typename);
    // An empty document is no message that is not of the protocol.
    socket.send(subscribe('2', { query: '' }));
    const { id, type, payload } = await socket.next();
    assert.deepEqual([id, type, payload[0].extensions.code], ['2', 'error', 'GRAPHQL_PARSE_FAILED']);
  });
});

describe('Subscribe', { concurrency: true }, () => {
  it('should close the socket on request if connection is not acknowledged', async () => {
    const socket = await Socket.open();
    socket.send(subscribe('1', { operationName: 'NoAck', query: 'subscription NoAck {}', variables: {} }));
    await socket.closes(4401, 'Unauthorized');
  });

  it('should execute the query, "next" the result and then "complete"', async () => {
    const socket = await Socket.acknowledged(people.ada);
    const query = 'query Other { __typename } query Test($id: ID!) { chat(id: $id) { id } }';
    socket.send(subscribe('1', { operationName: 'Test', query, variables: { id: people.chat } }));
    await socket.answers('1', { data: { chat: { id: people.chat } } });
    await socket.quiet();
  });

  it('should execute the query and "error" out because of validation errors', async () => {
    const socket = await Socket.acknowledged();
    const query = 'query TestNoField {\n  testNumber\n  testBoolean\n}';
    socket.send(subscribe('1', { operationName: 'TestNoField', query, variables: {} }));
    const { id, type, payload } = await socket.next();
    assert.deepEqual([id, type], ['1', 'error']);
    const found = payload.map(({ message, locations }) => [/test\w+/.exec(message)[0], locations]);
    assert.deepEqual(found, [
      ['testNumber', [{ line: 2, column: 3 }]],
      ['testBoolean', [{ line: 3, column: 3 }]],
    ]);
    // No complete follows, and the id is free.
    await socket.quiet();
    socket.send(subscribe('1', { query: '{ __typename }' }));
    await socket.answers('1', typename);
  });

  it('should report errors of fields beside the data', async () => {
    const socket = await Socket.acknowledged();
    socket.send(subscribe('1', { query: '{ __typename chats { nodes { id } } }' }));
    const { type, payload } = await socket.next();
    assert.equal(type, 'next');
    assert.deepEqual(payload.data, { __typename: 'Query', chats: null });
    assert.deepEqual(payload.errors[0].path, ['chats']);
    assert.deepEqual(await socket.next(), complete('1'));
  });

  it('should report an error at subscribe by an error message', async () => {
    const socket = await Socket.acknowledged();
    socket.send(follow('1'));
    const { id, type, payload } = await socket.next();
    assert.deepEqual([id, type, payload[0].extensions.code], ['1', 'error', 'UNAUTHENTICATED']);
    await socket.quiet();
  });

  it('should execute the subscription and "next" the published payload, in order', async () => {
    const own = await pair();
    const socket = await Socket.acknowledged(own.bob);
    socket.send(follow('1', own));
    const texts = ['Hi', 'Bonjour', 'Hola', 'Ciao', 'Zdravo'];
    for (const text of texts) await send(own.ada, own.chat, text);
    for (const text of texts) assert.deepEqual(await socket.next(), { id: '1', type: 'next', payload: added(text) });
  });

  it('should stop dispatching messages after completing a subscription, and not complete it again', async () => {
    const own = await pair();
    const socket = await Socket.acknowledged(own.bob);
    socket.send(follow('1', own));
    await send(own.ada, own.chat, 'heard');
    assert.deepEqual(await socket.next(), { id: '1', type: 'next', payload: added('heard') });
    socket.send(complete('1'));
    await socket.quiet();
    for (const text of ['a', 'b', 'c']) await send(own.ada, own.chat, text);
    await socket.quiet();
    // The same socket hears them by another operation, and nothing by the first.
    socket.send(follow('2', own));
    for (const text of ['heard', 'a', 'b', 'c']) {
      assert.deepEqual(await socket.next(), { id: '2', type: 'next', payload: added(text) });
    }
  });

  it('should respect completed subscriptions even if the subscribe operation has only begun', async () => {
    const own = await pair();
    await send(own.ada, own.chat, 'waits to be told');
    const socket = await Socket.acknowledged(own.bob);
    socket.send(follow('1', own), complete('1'), { type: 'ping' });
    // What is on its way may come, ahead of the pong; nothing comes behind it.
    let message;
    do message = await socket.next();
    while (message.type === 'next');
    assert.deepEqual(message, { type: 'pong' });
    await send(own.ada, own.chat, 'not to be told');
    await socket.quiet();
  });

  it('should be able to complete a query before the result becomes available', async () => {
    const socket = await Socket.acknowledged(people.ada);
    socket.send(subscribe('1', { query: '{ chats { nodes { id } } }' }), complete('1'), { type: 'ping' });
    let message;
    do message = await socket.next();
    while (message.id === '1');
    assert.deepEqual(message, { type: 'pong' });
    await socket.quiet();
  });

  it('should not mind the completion of what is not there', async () => {
    const socket = await Socket.acknowledged();
    socket.send(complete('unknown'));
    await socket.quiet();
  });

  it('should close the socket on duplicate operation requests', async () => {
    const socket = await Socket.acknowledged(people.ada);
    socket.send(follow('not-unique'));
    await socket.quiet();
    socket.send(subscribe('not-unique', { query: '{ __typename }' }));
    await socket.closes(4409, 'Subscriber for not-unique already exists');
  });

  it('should close the socket on duplicate operation requests even if one is still preparing', async () => {
    const socket = await Socket.acknowledged(people.ada);
    socket.send(follow('not-unique'), follow('not-unique'));
    await socket.closes(4409, 'Subscriber for not-unique already exists');
  });

  it('should allow an id again once its operation has completed', async () => {
    const socket = await Socket.acknowledged();
    for (let round = 0; round < 3; round += 1) {
      socket.send(subscribe('1', { query: '{ __typename }' }));
      await socket.answers('1', typename);
    }
  });

  it('should support persisted queries', async () => {
    const socket = await Socket.acknowledged();
    const sha256Hash = 'ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38';
    const extensions = { persistedQuery: { version: 1, sha256Hash } };
    socket.send(subscribe('1', { query: '{__typename}', extensions }));
    await socket.answers('1', typename);
    socket.send(subscribe('2', { extensions }));
    await socket.answers('2', typename);
  });

  it('should run operations beside one another', async () => {
    const own = await pair();
    const socket = await Socket.acknowledged(own.bob);
    socket.send(follow('live', own));
    const ids = Array.from({ length: 20 }, (_, at) => `q${at}`);
    socket.send(...ids.map((id) => subscribe(id, { query: '{ __typename }' })));
    await send(own.ada, own.chat, 'meanwhile');
    const of = new Map([['live', []], ...ids.map((id) => [id, []])]);
    for (let come = 0; come < 2 * ids.length + 1; come += 1) {
      const { id, type } = await socket.next();
      of.get(id).push(type);
    }
    assert.deepEqual(of.get('live'), ['next']);
    for (const id of ids) assert.deepEqual(of.get(id), ['next', 'complete'], id);
  });
});

describe('Disconnect/close', { concurrency: true }, () => {
  for (const acknowledged of [true, false]) {
    it(`should take a close ${acknowledged ? 'after' : 'before'} the acknowledgement, with its code`, async () => {
      const socket = await (acknowledged ? Socket.acknowledged(people.ada) : Socket.open());
      socket.ws.close(4321, 'Byebye');
      const { code } = await socket.next();
      assert.equal(code, 4321);
    });
  }

  for (const [how, end] of [
    ['close', (ws) => ws.close(4321, 'Byebye')],
    ['an abrupt end of the socket', (ws) => ws.terminate()],
  ]) {
    it(`should dispose of all subscriptions on ${how}`, async () => {
      const own = await pair();
      const query = 'subscription ($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }';
      const watching = await Socket.acknowledged(own.ada);
      const bobs = await Socket.acknowledged(own.bob);
      bobs.send(follow('1', own), follow('2', own));
      await bobs.quiet();
      watching.send(subscribe('1', { query, variables: { ids: [own.bob.id] } }));
      const status = async () => (await watching.next()).payload.data.presenceChanged.status;
      assert.equal(await status(), 'ONLINE');
      end(bobs.ws);
      assert.equal(await status(), 'OFFLINE');
    });
  }
});

describe('With the client of graphql-ws', { concurrency: true }, () => {
  it('should answer queries, report errors and end subscriptions', async () => {
    const own = await pair();
    const client = createClient({
      url: URL,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      connectionParams: { authorization: `Bearer ${own.bob.token}` },
    });
    const first = async (payload) => {
      for await (const result of client.iterate(payload)) return result;
    };
    assert.deepEqual(await first({ query: '{ me { name } }' }), { data: { me: { name: own.bob.name } } });
    await assert.rejects(first({ query: '{ nothing }' }), ([{ extensions }]) => {
      assert.equal(extensions.code, 'GRAPHQL_VALIDATION_FAILED');
      return true;
    });
    await send(own.ada, own.chat, 'Hello');
    const { chat, after } = own;
    assert.deepEqual(await first({ query: MESSAGES, variables: { chat, after } }), added('Hello'));
    await client.dispose();
  });

  it('should tell of a refused connection by its code', async () => {
    const { token } = await signIn('eve');
    const client = createClient({
      url: URL,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      connectionParams: { authorization: `Bearer ${token.slice(0, -4)}` },
    });
    const refused = client.iterate({ query: '{ __typename }' }).next();
    await assert.rejects(refused, ({ code }) => code === 4403);
    await client.dispose();
  });
});
