// What graphql-sse's own tests check of handlers, in both modes, by plain requests and with its client. Its tests of
// hooks in code have no counterpart; the names of the others are kept.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { createClient } from 'graphql-sse';

import { GRAPHQL, MESSAGES, added, authorization, pair, send, signIn } from './people.mjs';

const STREAM = 'text/event-stream';
const TOKEN = 'x-graphql-event-stream-token';
const typename = { data: { __typename: 'Query' } };

/** A request as this user: `search` are parameters of the URL, `body` is sent as JSON. */
function request(method, user, { headers, search, body } = {}) {
  const url = `${GRAPHQL}?${new URLSearchParams(search)}`;
  return fetch(url, {
    method,
    headers: {
      ...authorization(user?.token),
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
}

/** The errors of a refusal, which is JSON whatever was accepted. */
async function refused(response, status, code) {
  const answer = await response.text();
  assert.equal(response.status, status, answer);
  assert.match(response.headers.get('content-type'), /^application\/(graphql-response\+)?json; charset=utf-8$/);
  const { errors, data } = JSON.parse(answer);
  assert.equal(data, undefined);
  assert.ok(errors[0].message.length > 0);
  assert.equal(errors[0].extensions.code, code);
}

/** The events of a stream, one after the other. Comments are left out. */
async function* eventsOf(response) {
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^text\/event-stream(; charset=utf-8)?$/);
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const lines = text.slice(0, end).split('\n');
      const field = (name) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
      if (field('event') === undefined) continue;
      const data = field('data');
      yield { event: field('event'), data: data ? JSON.parse(data) : data };
    }
  }
  assert.equal(text, '', 'half an event');
}
const all = async (response) => {
  const found = [];
  for await (const event of eventsOf(response)) found.push(event);
  return found;
};
const next = async (events) => (await events.next()).value;

const events = { accept: STREAM };
const withId = (id, of) => ({ ...of, extensions: { operationId: id } });
const follow = ({ chat, after }) => ({ query: MESSAGES, variables: { chat, after } });

let people;
before(async () => (people = await pair()));

/** A reservation. */
async function reserve(user) {
  const response = await request('PUT', user);
  assert.equal(response.status, 201);
  assert.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8');
  const token = await response.text();
  assert.match(token, /^\S+$/);
  return token;
}

/** A reservation with its open stream. */
async function open(user) {
  const token = await reserve(user);
  const stream = eventsOf(await request('GET', user, { headers: { ...events, [TOKEN]: token } }));
  const start = (body) => request('POST', user, { headers: { [TOKEN]: token }, body });
  const stop = (operationId) => request('DELETE', user, { headers: { [TOKEN]: token }, search: { operationId } });
  return { token, stream, start, stop };
}

async function accepted(response) {
  assert.deepEqual([response.status, await response.text()], [202, '']);
}

describe('single connection mode', { concurrency: true }, () => {
  it('should only accept valid accept headers', async () => {
    // With a token it is the stream that is asked for, whatever the query. graphql-sse answers JSON with 400.
    const token = await reserve(people.ada);
    for (const accept of ['gibberish', 'application/json']) {
      const response = await request('GET', people.ada, { headers: { accept, [TOKEN]: token } });
      assert.equal(response.status, 406);
    }
    await refused(await request('GET', people.ada, { headers: events }), 400, 'BAD_USER_INPUT');
  });

  it('should respond with 404s when token was not previously registered', async () => {
    const headers = { [TOKEN]: '0' };
    const search = { token: '0' };
    const body = { query: '{ __typename }' };
    await refused(await request('POST', people.ada, { headers, body }), 404, 'NOT_FOUND');
    await refused(await request('GET', people.ada, { search, headers: events }), 404, 'NOT_FOUND');
    // graphql-sse takes this one for a request without a token, and misses its query.
    await refused(await request('GET', people.ada, { headers: { ...headers, ...events } }), 404, 'NOT_FOUND');
    const stop = { ...search, operationId: '1' };
    await refused(await request('DELETE', people.ada, { search: stop }), 404, 'NOT_FOUND');
  });

  it('should get a token with PUT request, another each time', async () => {
    assert.notEqual(await reserve(people.ada), await reserve(people.ada));
  });

  it('should allow event streams on reservations, by header and by search parameter', async () => {
    const byHeader = (token) => ({ headers: { ...events, [TOKEN]: token } });
    const bySearch = (token) => ({ headers: events, search: { token } });
    for (const how of [byHeader, bySearch]) {
      const token = await reserve(people.ada);
      const response = await request('GET', people.ada, how(token));
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('content-type').split(';')[0], STREAM);
      // Only one at a time.
      await refused(await request('GET', people.ada, how(token)), 409, 'CONFLICT');
      await response.body.cancel();
    }
  });

  it('should not allow operations without providing an operation id', async () => {
    const { start } = await open(people.ada);
    await refused(await start({ query: '{ __typename }' }), 400, 'BAD_USER_INPUT');
  });

  it('should stream query operations to connected event stream', async () => {
    const { stream, start } = await open(people.ada);
    await accepted(await start(withId('1', { query: '{ __typename }' })));
    assert.deepEqual(await next(stream), { event: 'next', data: { id: '1', payload: typename } });
    assert.deepEqual(await next(stream), { event: 'complete', data: { id: '1' } });
  });

  it('should stream subscription operations to connected event stream, and stop them', async () => {
    const own = await pair();
    const { stream, start, stop } = await open(own.bob);
    await accepted(await start(withId('1', follow(own))));
    for (const text of ['Hi', 'Bonjour', 'Hola']) {
      await send(own.ada, own.chat, text);
      assert.deepEqual(await next(stream), { event: 'next', data: { id: '1', payload: added(text) } });
    }
    assert.equal((await stop('1')).status, 200);
    await send(own.ada, own.chat, 'not to be told');
    await accepted(await start(withId('2', { query: '{ __typename }' })));
    assert.deepEqual(await next(stream), { event: 'next', data: { id: '2', payload: typename } });
    assert.deepEqual(await next(stream), { event: 'complete', data: { id: '2' } });
  });

  it('should stream operations even if event stream connects late', async () => {
    const token = await reserve(people.ada);
    const headers = { [TOKEN]: token };
    const body = withId('1', { query: '{ __typename }' });
    await accepted(await request('POST', people.ada, { headers, body }));
    const stream = eventsOf(await request('GET', people.ada, { headers: { ...headers, ...events } }));
    assert.deepEqual(await next(stream), { event: 'next', data: { id: '1', payload: typename } });
  });

  it('should report parse and validation issues to operation request', async () => {
    const { stream, start } = await open(people.ada);
    for (const [query, code] of [
      ['{', 'GRAPHQL_PARSE_FAILED'],
      ['{ notExists }', 'GRAPHQL_VALIDATION_FAILED'],
      ['subscription { notExists }', 'GRAPHQL_VALIDATION_FAILED'],
    ]) {
      await refused(await start(withId('1', { query })), 400, code);
    }
    // The stream remains open, has nothing of it, and the id is free.
    await accepted(await start(withId('1', { query: '{ __typename }' })));
    assert.deepEqual(await next(stream), { event: 'next', data: { id: '1', payload: typename } });
  });

  it('should report subscription errors to the stream', async () => {
    const stranger = await signIn('eve');
    const { stream, start } = await open(stranger);
    await accepted(await start(withId('1', follow(people))));
    const { event, data } = await next(stream);
    assert.deepEqual([event, data.id, data.payload.errors[0].extensions.code], ['next', '1', 'FORBIDDEN']);
    assert.deepEqual(await next(stream), { event: 'complete', data: { id: '1' } });
  });

  it('should work with the client', async () => {
    const own = await pair();
    const client = createClient({
      url: GRAPHQL,
      singleConnection: true,
      headers: authorization(own.bob.token),
      retryAttempts: 0,
    });
    const first = async (payload) => {
      for await (const result of client.iterate(payload)) return result;
    };
    assert.deepEqual(await first({ query: '{ me { name } }' }), { data: { me: { name: own.bob.name } } });
    await send(own.ada, own.chat, 'Hello');
    assert.deepEqual(await first(follow(own)), added('Hello'));
    await assert.rejects(first({ query: '{ notExists }' }), ({ response }) => response.status === 400);
    client.dispose();
  });
});

describe('distinct connections mode', { concurrency: true }, () => {
  const methods = {
    GET: ({ query, variables }) => ({
      headers: events,
      search: { query, ...(variables && { variables: JSON.stringify(variables) }) },
    }),
    POST: (body) => ({ headers: events, body }),
  };

  for (const [method, of] of Object.entries(methods)) {
    it(`should stream query operations and then disconnect, by ${method}`, async () => {
      const found = await all(await request(method, people.ada, of({ query: '{ __typename }' })));
      assert.deepEqual(found, [
        { event: 'next', data: typename },
        { event: 'complete', data: '' },
      ]);
    });

    it(`should stream subscription operations to connected event stream, by ${method}`, async () => {
      const own = await pair();
      const stream = eventsOf(await request(method, own.bob, of(follow(own))));
      for (const text of ['Hi', 'Bonjour', 'Hola']) {
        await send(own.ada, own.chat, text);
        assert.deepEqual(await next(stream), { event: 'next', data: added(text) });
      }
      await stream.return();
    });

    for (const [what, query, code] of [
      ['parse', '{', 'GRAPHQL_PARSE_FAILED'],
      ['validation', '{ notExists }', 'GRAPHQL_VALIDATION_FAILED'],
      ['subscription', 'subscription { messageAdded(chatId: "x") { cursor } }', 'BAD_USER_INPUT'],
    ]) {
      it(`should report ${what} issues by streaming them, by ${method}`, async () => {
        const [problem, ...end] = await all(await request(method, people.ada, of({ query })));
        assert.deepEqual([problem.event, problem.data.errors[0].extensions.code], ['next', code]);
        assert.equal(problem.data.data, undefined);
        assert.deepEqual(end, [{ event: 'complete', data: '' }]);
      });
    }
  }

  it('should complete subscription operations after client disconnects', async () => {
    const own = await pair();
    const query = 'subscription ($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }';
    const bobs = await request('POST', own.bob, { headers: events, body: follow(own) });
    const watched = { query, variables: { ids: [own.bob.id] } };
    const stream = eventsOf(await request('POST', own.ada, { headers: events, body: watched }));
    const status = async () => (await next(stream)).data.data.presenceChanged.status;
    assert.equal(await status(), 'ONLINE');
    await bobs.body.cancel();
    assert.equal(await status(), 'OFFLINE');
    await stream.return();
    // Nothing explodes by what comes later.
    await send(own.ada, own.chat, 'to nobody');
    assert.deepEqual(await all(await request('POST', own.bob, methods.POST({ query: '{ __typename }' }))), [
      { event: 'next', data: typename },
      { event: 'complete', data: '' },
    ]);
  });

  it('should work with the client', async () => {
    const own = await pair();
    const client = createClient({ url: GRAPHQL, headers: authorization(own.bob.token), retryAttempts: 0 });
    const first = async (payload) => {
      for await (const result of client.iterate(payload)) return result;
    };
    assert.deepEqual(await first({ query: '{ me { name } }' }), { data: { me: { name: own.bob.name } } });
    await send(own.ada, own.chat, 'Hello');
    assert.deepEqual(await first(follow(own)), added('Hello'));
    const { errors } = await first({ query: '{ notExists }' });
    assert.equal(errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
    client.dispose();
  });
});
