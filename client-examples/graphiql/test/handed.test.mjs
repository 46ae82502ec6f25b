// What another page may hand over.
import assert from 'node:assert/strict';
import test from 'node:test';

import { handed, passing } from '../src/handed.js';

const ORIGIN = 'http://127.0.0.1:4000';

/** A window that hears messages, and the page that has opened it. */
function windows() {
  const heard = new Set();
  globalThis.addEventListener = (_name, hear) => heard.add(hear);
  globalThis.removeEventListener = (_name, hear) => heard.delete(hear);
  const asked = [];
  const opener = { postMessage: (text, origin) => asked.push([text, origin]) };
  const say = (event) => [...heard].forEach((hear) => hear(event));
  return { opener, asked, say, heard };
}

test('who has opened the page, and is of its origin, hands over', async () => {
  const { opener, asked, say, heard } = windows();
  const waiting = handed(opener, ORIGIN);
  assert.deepEqual(asked, [['talksy-graphiql', ORIGIN]]);
  const talksy = { headers: '{}', tabs: [] };
  say({ source: opener, origin: 'http://example.org', data: { talksy: 'bad' } });
  say({ source: {}, origin: ORIGIN, data: { talksy: 'bad' } });
  say({ source: opener, origin: ORIGIN, data: 'something else' });
  say({ source: opener, origin: ORIGIN, data: { talksy } });
  assert.equal(await waiting, talksy);
  assert.equal(heard.size, 0);
});

test('a page that nobody has opened waits for nothing', async () => {
  assert.equal(await handed(null, ORIGIN), null);
});

test('a page that is handed nothing is the usual one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { opener, heard } = windows();
  const waiting = handed(opener, ORIGIN);
  t.mock.timers.tick(2_000);
  assert.equal(await waiting, null);
  assert.equal(heard.size, 0);
});

test('what is kept for a while is not in the browser', () => {
  const storage = passing();
  storage.setItem('tabs', '1');
  assert.equal(storage.getItem('tabs'), '1');
  assert.deepEqual([storage.length, storage.key(0)], [1, 'tabs']);
  storage.removeItem('tabs');
  assert.deepEqual([storage.length, storage.key(0), storage.getItem('tabs')], [0, null, null]);
});
