// `node --test`: what GraphiQL writes into the browser's storage holds no secret.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { storage, withoutSecrets } from '../src/storage.js';

test('secrets are emptied, at any depth and in texts that are JSON', () => {
  const item = {
    query: 'mutation Refresh($token: String!) { refreshSession(input: {refreshToken: $token}) { accessToken } }',
    variables: JSON.stringify({ input: { refreshToken: 's3cret', other: 1 } }),
    headers: JSON.stringify({ Authorization: 'Bearer s3cret' }),
    operationName: 'Refresh',
  };
  const kept = withoutSecrets(JSON.stringify({ queries: [item] }));
  assert.ok(!kept.includes('s3cret'), kept);
  const [read] = JSON.parse(kept).queries;
  assert.equal(read.query, item.query);
  assert.equal(read.operationName, 'Refresh');
  assert.deepEqual(JSON.parse(read.variables), { input: { refreshToken: '', other: 1 } });
});

test('all else is kept as it is', () => {
  for (const text of ['', 'dark', '{ me { id } }', '3', '{"a":[1,{"b":null}]}', '{"code":6}']) {
    assert.equal(withoutSecrets(text), text);
  }
});

test('the storage is the one behind it', () => {
  const map = new Map();
  const behind = {
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => map.set(key, value),
    removeItem: (key) => map.delete(key),
    clear: () => map.clear(),
    key: (index) => [...map.keys()][index] ?? null,
    get length() {
      return map.size;
    },
  };
  const kept = storage(behind);
  kept.setItem('graphiql:headers', '{"authorization":"Bearer x"}');
  assert.equal(kept.getItem('graphiql:headers'), '{"authorization":""}');
  assert.equal(kept.length, 1);
  kept.removeItem('graphiql:headers');
  assert.equal(kept.length, 0);
});
