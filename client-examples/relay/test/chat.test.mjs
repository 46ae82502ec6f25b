import assert from 'node:assert/strict';
import test from 'node:test';

import WebSocket from 'ws';

import {
  chatInCache,
  chatThroughRestarts,
  chatThroughRestore,
  chatWhileLoading,
  watched,
} from '../../harness/chat.mjs';
import * as account from '../dist/account.js';
import * as chat from '../dist/chat.js';
import { createEnvironment } from '../dist/environment.js';
import { Session } from '../dist/talksy/session.js';
import { createSocket } from '../dist/talksy/socket.js';

const fail = (problem) => assert.fail(`a feed ended: ${problem?.message ?? problem}`);
const nodesOf = (connection) => connection?.edges.map(({ node }) => node) ?? [];

function open(session, options) {
  const plain = createSocket(session, { ...options, webSocketImpl: WebSocket });
  const socket = watched(plain, options.watch);
  const environment = createEnvironment(session, socket);
  const { isReady, end } = account.followAccount(environment, options.onEnd ?? fail);
  let thread;
  let sidebar;
  return {
    startChat: (userId) => chat.startChat(environment, userId),
    show: async (chatId, count) => {
      await isReady;
      const keep = (data) => (thread = data);
      await chat.watchThread(environment, chatId, keep, count);
    },
    thread: () => nodesOf(thread.messages),
    older: () =>
      chat.olderMessages(environment, thread.id, 10, thread.messages.pageInfo.startCursor),
    showSidebar: async () => {
      await isReady;
      await chat.watchSidebar(environment, (data) => (sidebar = data.chats));
    },
    sidebar: () => nodesOf(sidebar),
    outbox: chat.outbox,
    send: (chatId, text) => chat.send(environment, chatId, text),
    edit: (messageId, text) => chat.edit(environment, messageId, text),
    follow: (chatId, after, onEdge) =>
      chat.followMessages(environment, chatId, after, onEdge, fail),
    close: () => {
      end();
      return socket.dispose();
    },
  };
}

test('a chat goes on when the server is stopped and killed', () =>
  chatThroughRestarts(Session, open));

test('the cache pages back, and gets new chats and messages by events', () =>
  chatInCache(Session, open));

test('a restored server has the thread loaded anew', () => chatThroughRestore(Session, open));

test('a message that comes while its thread is being loaded is there', () =>
  chatWhileLoading(Session, open));
