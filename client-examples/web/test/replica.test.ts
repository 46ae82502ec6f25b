import 'fake-indexeddb/auto';

import { afterEach, expect, test } from 'vitest';

import { Changes } from '../src/replica/changes.js';
import { openDatabase, type Database } from '../src/replica/database.js';
import { follow } from '../src/replica/follow.js';
import { Replica } from '../src/replica/replica.js';
import { Thread } from '../src/replica/thread.js';
import { Model, randomOf, sourceOf } from './model.js';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
const opened: Database[] = [];
let users = 0;

afterEach(() => {
  for (const database of opened.splice(0)) database.close();
});

/** A tab: the replica on a user's database, and the account followed until it is closed. */
async function openTab(userId: string, model: Model) {
  const database = await openDatabase(userId);
  opened.push(database);
  const changes = new Changes();
  const replica = new Replica(database, changes);
  const closing = new AbortController();
  const source = sourceOf(model);
  const ended = follow(replica, source, closing.signal, tick);
  ended.catch(() => {});
  return {
    replica,
    changes,
    source,
    /** As a reload does: what is being written is written or not at all. */
    close: async () => {
      closing.abort();
      await ended;
      changes.close();
      database.close();
    },
  };
}

type Tab = Awaited<ReturnType<typeof openTab>>;

/** Waits until a check passes. */
async function eventually(check: () => Promise<void>) {
  for (const deadline = Date.now() + 20_000; ; await tick()) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** The texts of a chat in its thread, loaded to its start. */
async function textsOf({ replica, changes, source }: Tab, chatId: string) {
  const thread = new Thread(chatId, replica, source, changes);
  await thread.open();
  while (thread.snapshot().hasOlder) await thread.older();
  const texts = thread.snapshot().messages.map(({ seq, text }) => `${seq} ${text}`);
  thread.close();
  return texts;
}

const stored = (model: Model, chatId: string) =>
  model.chats.get(chatId)!.messages.map(({ seq, text }) => `${seq} ${text}`);

const newUser = () => `usr_${(users += 1)}`;

async function assertWhole(tab: Tab, model: Model) {
  const chats = await tab.replica.database.getAllKeys('chats');
  expect(chats.sort()).toEqual([...model.chats.keys()].sort());
  for (const chatId of model.chats.keys()) {
    expect(await textsOf(tab, chatId)).toEqual(stored(model, chatId));
    const chat = await tab.replica.database.get('chats', chatId);
    const last = model.chats.get(chatId)!.messages.at(-1);
    expect(chat?.lastMessage?.text).toBe(last?.text);
  }
}

test('random schedules of lost, doubled and reordered connections leave what the server has', async () => {
  let connections = 0;
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = randomOf(seed);
    const model = new Model(random, 0.15);
    model.start('cht_a');
    model.start('cht_b');
    for (let at = 0; at < 12; at += 1) model.add('cht_a', `before ${at}`);
    const user = newUser();
    let tab = await openTab(user, model);
    const reading: Promise<unknown>[] = [];
    for (let step = 0; step < 80; step += 1) {
      const chatIds = [...model.chats.keys()];
      const chatId = chatIds[Math.floor(random() * chatIds.length)]!;
      const dice = random();
      if (dice < 0.45) model.add(chatId, `message ${step}`);
      else if (dice < 0.75) {
        const { length } = model.chats.get(chatId)!.messages;
        model.edit(chatId, 1 + Math.floor(random() * length), `edit ${step}`);
      } else if (dice < 0.8) model.cut();
      else if (dice < 0.84) {
        model.resets.add(chatId);
        model.cut();
      } else if (dice < 0.86) {
        model.isRestored = true;
        model.cut();
      } else if (dice < 0.88) model.start(`cht_${step}`);
      else if (dice < 0.94) {
        // Somebody opens a chat and scrolls up meanwhile: its pages may come behind later events.
        reading.push(textsOf(tab, chatId).catch(() => {}));
      } else {
        await Promise.all(reading.splice(0));
        await tab.close();
        tab = await openTab(user, model);
      }
      for (let turns = Math.floor(random() * 6); turns > 0; turns -= 1) await tick();
    }
    model.calm();
    await Promise.all(reading);
    const { replica } = tab;
    await eventually(() => assertWhole(tab, model)).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}`);
    });
    // What a reload finds on the device is whole without the network.
    expect(await replica.staleChats()).toEqual([]);
    connections += model.connections;
    await tab.close();
  }
  // The schedules were no calm ones.
  expect(connections).toBeGreaterThan(30);
}, 120_000);

test('what an event says and its place are kept together, or neither', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  const tab = await openTab(newUser(), model);
  const { replica } = tab;
  await eventually(async () => expect(await replica.isLoaded()).toBe(true));
  const before = await replica.position();
  const message = { ...model.add('cht_a', 'one'), chat: model.stateOf('cht_a') };
  await eventually(async () => expect(await replica.position()).not.toEqual(before));
  const place = await replica.position();
  const added = { __typename: 'MessageAdded' as const, cursor: 'behind it', message: { ...message, seq: 2 } };
  // The second event cannot be written: the first one is not either.
  const broken = { ...added, message: { ...message, seq: Symbol('no key') as unknown as number } };
  await expect(replica.apply([added, broken])).rejects.toThrow();
  expect(await replica.position()).toEqual(place);
  expect(await replica.database.count('messages')).toBe(1);
  await tab.close();
});

test('a page that was asked for before a reset is not kept behind it', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  model.add('cht_a', 'old');
  const tab = await openTab(newUser(), model);
  const { replica } = tab;
  await eventually(async () => expect(await replica.isLoaded()).toBe(true));
  const { epoch } = (await replica.database.get('chats', 'cht_a'))!;
  const page = await model.page('cht_a', null);
  await replica.apply([{ __typename: 'ChatReset', cursor: 'reset', chatId: 'cht_a' }]);
  expect(await replica.keepPage('cht_a', epoch, page!.chat, page!.messages, true)).toBe(false);
  expect(await replica.database.count('messages')).toBe(0);
  await tab.close();
});

test('a page that was read before an edit does not undo it', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  for (let at = 0; at < 12; at += 1) model.add('cht_a', `message ${at}`);
  const tab = await openTab(newUser(), model);
  const { replica } = tab;
  await eventually(async () => expect(await replica.isLoaded()).toBe(true));
  const { epoch } = (await replica.database.get('chats', 'cht_a'))!;
  const page = await model.page('cht_a', null);
  model.edit('cht_a', 10, 'edited');
  await eventually(async () =>
    expect((await replica.database.get('messages', ['cht_a', 10]))?.text).toBe('edited'),
  );
  await replica.keepPage('cht_a', epoch, page!.chat, page!.messages, true);
  expect((await textsOf(tab, 'cht_a'))[9]).toBe('10 edited');
  await tab.close();
});

test('a thread reads what is kept without the network', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  for (let at = 0; at < 9; at += 1) model.add('cht_a', `message ${at}`);
  const user = newUser();
  const tab = await openTab(user, model);
  await eventually(() => assertWhole(tab, model));
  await tab.close();
  const database = await openDatabase(user);
  opened.push(database);
  const noNetwork = () => Promise.reject(new TypeError('There is no network.'));
  const away = { page: noNetwork, newer: noNetwork };
  const changes = new Changes();
  const thread = new Thread('cht_a', new Replica(database, changes), away, changes);
  await thread.open();
  expect(thread.snapshot().messages).toHaveLength(9);
  expect(thread.snapshot().hasOlder).toBe(false);
  thread.close();
});
