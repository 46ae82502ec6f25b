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
import { followAccount } from '../dist/account.js';
import * as chat from '../dist/chat.js';
import { createApolloClient } from '../dist/client.js';
import { Session } from '../dist/talksy/session.js';
import { createSocket } from '../dist/talksy/socket.js';

// Node.js has one since version 22; Apollo's link for errors needs it.
globalThis.WebSocket ??= WebSocket;

const fail = (problem) => assert.fail(`a feed ended: ${problem?.message ?? problem}`);
const nodesOf = (connection) => connection?.edges.map(({ node }) => node) ?? [];

function open(session, options) {
  const socket = watched(createSocket(session, options), options.watch);
  const client = createApolloClient(session, socket);
  const account = followAccount(client, options.onEnd ?? fail);
  let thread;
  let sidebar;
  /** Resolves when the query has been answered, and keeps it up to date. */
  const show = async (query) => {
    await account.isReady;
    await new Promise((resolve) =>
      query.subscribe(({ dataState, error }) => {
        if (error) fail(error);
        if (dataState === 'complete') resolve();
      }),
    );
    return query;
  };
  const messages = () => thread.getCurrentResult().data.chat?.messages;
  return {
    startChat: (userId) => chat.startChat(client, userId),
    show: async (chatId, count) =>
      (thread = await show(chat.watchMessages(client, chatId, count))),
    thread: () => nodesOf(messages()),
    older: () => thread.fetchMore({ variables: { before: messages().pageInfo.startCursor } }),
    showSidebar: async () => (sidebar = await show(chat.watchChats(client))),
    sidebar: () => nodesOf(sidebar.getCurrentResult().data.chats),
    outbox: chat.outbox,
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

test('the cache pages back, and gets new chats and messages by events', () =>
  chatInCache(Session, open));

test('a restored server has the thread loaded anew', () => chatThroughRestore(Session, open));

test('a message that comes while its thread is being loaded is there', () =>
  chatWhileLoading(Session, open));
