import assert from 'node:assert/strict';
import test from 'node:test';

import WebSocket from 'ws';

import { chatThroughRestarts, eventually, signIn } from '../../harness/chat.mjs';
import { followAccount } from '../dist/account.js';
import * as chat from '../dist/chat.js';
import { createApolloClient } from '../dist/client.js';
import { Session } from '../dist/talksy/session.js';
import { createSocket } from '../dist/talksy/socket.js';

const fail = (problem) => assert.fail(`a feed ended: ${problem?.message ?? problem}`);
const nodes = (result) => result.data?.chat?.messages.edges.map(({ node }) => node) ?? [];

function open(session, options) {
  const socket = createSocket(session, { ...options, webSocketImpl: WebSocket });
  const client = createApolloClient(session, socket);
  const account = followAccount(client, fail);
  let thread = [];
  return {
    client,
    startChat: (userId) => chat.startChat(client, userId),
    show: async (chatId) => {
      await account.isReady;
      await new Promise((resolve) =>
        chat.watchMessages(client, chatId).subscribe((result) => {
          thread = nodes(result);
          if (result.dataState === 'complete') resolve();
        }),
      );
    },
    thread: () => thread,
    send: (chatId, text) => chat.send(client, chatId, text),
    edit: (messageId, text) => chat.edit(client, messageId, text),
    follow: (chatId, after, onEdge) =>
      chat.followMessages(client, chatId, after).subscribe(({ data, error }) => {
        if (error) fail(error);
        onEdge(data.messageAdded);
      }),
    close: () => {
      account.end();
      client.stop();
      return socket.dispose();
    },
  };
}

test('a chat goes on when the server is stopped and killed', () =>
  chatThroughRestarts(Session, open));

test('the cache pages back, and gets new chats and messages by events', async () => {
  const sessions = [await signIn(Session, 'ada'), await signIn(Session, 'grace')];
  const [ada, grace] = sessions.map((session) => open(session, {}));
  const sidebar = chat.watchChats(grace.client);
  await grace.show('cht_unknown');
  sidebar.subscribe(() => {});
  const chatId = await ada.startChat(sessions[1].user.id);
  for (let number = 1; number <= 15; number += 1) await ada.send(chatId, `number ${number}`);
  const inSidebar = () => sidebar.getCurrentResult().data.chats.edges.map(({ node }) => node);
  await eventually(() => {
    assert.deepEqual(inSidebar().map(({ id }) => id), [chatId]);
    assert.equal(inSidebar()[0].unreadCount, 15);
  });

  const messages = chat.watchMessages(grace.client, chatId, 10);
  messages.subscribe(() => {});
  const thread = () => nodes(messages.getCurrentResult()).map(({ text }) => text);
  await eventually(() => assert.equal(thread().length, 10));
  const { startCursor } = messages.getCurrentResult().data.chat.messages.pageInfo;
  await messages.fetchMore({ variables: { before: startCursor } });
  const all = Array.from({ length: 15 }, (_, at) => `number ${at + 1}`);
  await eventually(() => assert.deepEqual(thread(), all));

  // What is being sent is shown at once, and only once when it has come.
  const sent = grace.send(chatId, 'and one more');
  const shownOnce = () => {
    const all = nodes(messages.getCurrentResult());
    const texts = [...all, ...chat.outbox.of(chatId, all)].map(({ text }) => text);
    assert.equal(texts.filter((text) => text === 'and one more').length, 1);
  };
  shownOnce();
  const watch = messages.subscribe(shownOnce);
  await sent;
  await eventually(() => assert.equal(thread().length, 16));
  shownOnce();
  watch.unsubscribe();
  ada.close();
  grace.close();
});
