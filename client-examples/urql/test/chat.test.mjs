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
import * as chat from '../dist/chat.js';
import { createUrqlClient } from '../dist/client.js';
import { Session } from '../dist/talksy/session.js';
import { createSocket } from '../dist/talksy/socket.js';

const fail = (problem) => assert.fail(`a feed ended: ${problem?.message ?? problem}`);
const nodesOf = (connection) => connection?.edges.map(({ node }) => node) ?? [];

function open(session, options) {
  const plain = createSocket(session, { ...options, webSocketImpl: WebSocket });
  const socket = watched(plain, options.watch);
  const client = createUrqlClient(session, socket);
  const account = chat.followAccount(client, options.onEnd ?? fail);
  const ends = [account.end];
  let thread;
  let sidebar;
  /** Calls back with each result; resolves at the first. */
  const show = async (source, onData) => {
    await account.isReady;
    await new Promise((resolve) => {
      const { unsubscribe } = source.subscribe(({ data, error }) => {
        if (error) fail(error);
        onData(data);
        resolve();
      });
      ends.push(unsubscribe);
    });
  };
  return {
    startChat: (userId) => chat.startChat(client, userId),
    show: (chatId, count) =>
      show(chat.watchMessages(client, chatId, count), ({ chat: shown }) => {
        thread = { chatId, count, ...shown.messages };
      }),
    thread: () => nodesOf(thread),
    older: () =>
      chat.olderMessages(client, thread.chatId, thread.count, thread.pageInfo.startCursor),
    showSidebar: () => show(chat.watchChats(client), ({ chats }) => (sidebar = chats)),
    sidebar: () => nodesOf(sidebar),
    outbox: chat.outbox,
    send: (chatId, text) => chat.send(client, chatId, text),
    edit: (messageId, text) => chat.edit(client, messageId, text),
    follow: (chatId, after, onEdge) =>
      show(chat.followMessages(client, chatId, after), ({ messageAdded }) => onEdge(messageAdded)),
    close: () => {
      for (const end of ends) end();
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
