import assert from 'node:assert/strict';
import test from 'node:test';

import WebSocket from 'ws';

import { chatThroughRestarts, eventually, signIn } from '../../harness/chat.mjs';
import * as chat from '../dist/chat.js';
import { createUrqlClient } from '../dist/client.js';
import { Session } from '../dist/talksy/session.js';
import { createSocket } from '../dist/talksy/socket.js';

const fail = (problem) => assert.fail(`a feed ended: ${problem?.message ?? problem}`);
const nodes = (result) => result?.data?.chat?.messages.edges.map(({ node }) => node) ?? [];

function open(session, options) {
  const socket = createSocket(session, { ...options, webSocketImpl: WebSocket });
  const client = createUrqlClient(session, socket);
  const account = chat.followAccount(client, fail);
  const ends = [account.end];
  const watch = (source, onResult) => ends.push(source.subscribe(onResult).unsubscribe);
  let thread = [];
  return {
    client,
    isReady: account.isReady,
    watch,
    startChat: (userId) => chat.startChat(client, userId),
    show: async (chatId) => {
      await account.isReady;
      await new Promise((resolve) =>
        watch(chat.watchMessages(client, chatId), (result) => {
          if (result.error) fail(result.error);
          thread = nodes(result);
          resolve();
        }),
      );
    },
    thread: () => thread,
    send: (chatId, text) => chat.send(client, chatId, text),
    edit: (messageId, text) => chat.edit(client, messageId, text),
    follow: (chatId, after, onEdge) =>
      watch(chat.followMessages(client, chatId, after), ({ data, error }) => {
        if (error) fail(error);
        onEdge(data.messageAdded);
      }),
    close: () => {
      for (const end of ends) end();
      return socket.dispose();
    },
  };
}

test('a chat goes on when the server is stopped and killed', () =>
  chatThroughRestarts(Session, open));

test('the cache pages back, and gets new chats and messages by events', async () => {
  const sessions = [await signIn(Session, 'ada'), await signIn(Session, 'grace')];
  const [ada, grace] = sessions.map((session) => open(session, {}));
  await grace.isReady;
  let sidebar;
  grace.watch(chat.watchChats(grace.client), (result) => {
    if (result.error) fail(result.error);
    sidebar = result.data.chats.edges.map(({ node }) => node);
  });
  await eventually(() => assert.deepEqual(sidebar, []));
  const chatId = await ada.startChat(sessions[1].user.id);
  for (let number = 1; number <= 15; number += 1) await ada.send(chatId, `number ${number}`);
  await eventually(() => {
    assert.deepEqual(sidebar.map(({ id }) => id), [chatId]);
    assert.equal(sidebar[0].unreadCount, 15);
  });

  let result;
  const texts = (nodes) => nodes.map(({ text }) => text);
  grace.watch(chat.watchMessages(grace.client, chatId, 10), (next) => (result = next));
  await eventually(() => assert.equal(nodes(result).length, 10));
  const { startCursor } = result.data.chat.messages.pageInfo;
  await chat.olderMessages(grace.client, chatId, 10, startCursor);
  const all = Array.from({ length: 15 }, (_, at) => `number ${at + 1}`);
  await eventually(() => assert.deepEqual(texts(nodes(result)), all));

  // What is being sent is shown at once, and only once when it has come.
  const shownOnce = () => {
    const thread = nodes(result);
    const shown = texts([...thread, ...chat.outbox.of(chatId, thread)]);
    assert.equal(shown.filter((text) => text === 'and one more').length, 1);
  };
  const sent = grace.send(chatId, 'and one more');
  shownOnce();
  await sent;
  await eventually(() => assert.deepEqual(texts(nodes(result)), [...all, 'and one more']));
  shownOnce();
  ada.close();
  grace.close();
});
