import assert from 'node:assert/strict';
import test from 'node:test';

import WebSocket from 'ws';

import {
  SERVER,
  chatThroughRestarts,
  chatThroughRestore,
  eventually,
  headCursor,
  signIn,
  stored,
} from '../../harness/chat.mjs';
import { watchFor } from '../../harness/outbox.mjs';
import { Thread, edit, follow, send, startChat } from '../dist/chat.js';
import { join } from '../dist/join.js';
import { resuming } from '../dist/talksy/resuming.js';
import { Session } from '../dist/talksy/session.js';
import { createSocket } from '../dist/talksy/socket.js';

const fail = (problem) => assert.fail(`a feed ended: ${problem.message ?? problem}`);

function open(session, options) {
  const socket = resuming(createSocket(session, { ...options, webSocketImpl: WebSocket }));
  let thread;
  return {
    startChat: (userId) => startChat(session, userId),
    show: (chatId) => (thread = new Thread(session, socket, chatId, options.onEnd ?? fail)).open(),
    thread: () => thread.messages,
    send: (chatId, text) => send(session, chatId, text),
    edit: (messageId, text) => edit(session, messageId, text),
    follow: (chatId, after, onEdge) => follow(socket, chatId, after, onEdge, fail),
    close: () => {
      thread.close();
      return socket.dispose();
    },
  };
}

test('a chat goes on when the server is stopped and killed', () =>
  chatThroughRestarts(Session, open));

test('a restored server has the thread loaded anew', () => chatThroughRestore(Session, open));

test('cuts in the middle of a burst lose nothing and double nothing', async () => {
  const ada = await signIn(Session, 'ada');
  const grace = await signIn(Session, 'grace');
  const chatId = await startChat(ada, grace.user.id);
  const socket = resuming(createSocket(grace, { webSocketImpl: WebSocket }));
  const thread = new Thread(grace, socket, chatId, fail);
  await thread.open();
  const got = [];
  const after = await headCursor(grace, chatId);
  follow(socket, chatId, after, ({ node }) => got.push(node.seq), fail);
  const burst = Array.from({ length: 15 }, (_, at) => send(ada, chatId, `Burst ${at + 1}`));
  for (const arrived of [3, 7, 11]) {
    await eventually(() => assert.ok(got.length >= arrived));
    socket.terminate();
  }
  await Promise.all(burst);
  const wanted = await stored(ada, chatId);
  await eventually(() => {
    const messages = thread.messages.map(({ seq, text }) => ({ seq, text }));
    assert.deepEqual(messages, wanted);
    assert.equal(got.at(-1), 15);
  });
  assert.deepEqual(got, Array.from({ length: 15 }, (_, at) => at + 1), 'once and in order');

  // A thread that begins with its newest page has the rest by paging back.
  const late = new Thread(grace, socket, chatId, fail, 6);
  await late.open();
  assert.equal(late.messages.length, 6);
  assert.equal(await late.older(), true);
  assert.equal(await late.older(), false);
  assert.deepEqual(late.messages, thread.messages);
  late.close();
  thread.close();
  await socket.dispose();
});

test('what an application does at least is what the README shows', async () => {
  const ada = await signIn(Session, 'ada');
  const email = `grace-${ada.user.id.toLowerCase()}@example.org`;
  const shown = [];
  const show = (text) => shown.push(text);
  const options = { readCode: await watchFor(email), show, webSocketImpl: WebSocket };
  const { chatId, say, leave } = await join(SERVER, email, ada.user.id, options);
  await say('What is said, is shown.');
  await send(ada, chatId, 'Of both.');
  await eventually(() => assert.deepEqual(shown, ['What is said, is shown.', 'Of both.']));
  leave();
});
