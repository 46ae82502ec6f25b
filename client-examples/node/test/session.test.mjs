import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'node:test';

import { Session } from '../dist/talksy/session.js';

test('a proxy that does not reach the server is tried again, and what it says otherwise is told', async (t) => {
  const answers = [502, 503, 504, 200, 404];
  const asked = [];
  const proxy = createServer((request, response) => {
    const status = answers[asked.length];
    asked.push(request.headers.authorization);
    const type = status === 200 ? 'application/json' : 'text/html';
    response.writeHead(status, { 'content-type': type });
    response.end(status === 200 ? '{"data":{"me":null}}' : '<h1>Bad Gateway</h1>');
  });
  t.after(() => proxy.close());
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${proxy.address().port}`;
  const session = new Session(url, {
    user: { id: 'usr_1', name: 'Ada' },
    deviceToken: 'device',
    accessToken: 'access',
    refreshToken: 'refresh',
  });
  const ask = () => session.retryingFetch(`${url}/graphql`, { method: 'POST', body: '{}' });

  const answer = await ask();
  assert.deepEqual([answer.status, await answer.json()], [200, { data: { me: null } }]);
  assert.deepEqual(asked, Array(4).fill('Bearer access'));

  // A page that says that there is no such thing will say so again.
  assert.equal((await ask()).status, 404);
  assert.equal(asked.length, 5);
});
