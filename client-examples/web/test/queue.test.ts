import 'fake-indexeddb/auto';

import { expect, test } from 'vitest';

import { Queue, pendingIn } from '../src/outbox/queue.js';
import { Changes } from '../src/replica/changes.js';
import { openDatabase } from '../src/replica/database.js';
import { follow } from '../src/replica/follow.js';
import { Replica } from '../src/replica/replica.js';
import { Thread } from '../src/replica/thread.js';
import { Refused } from '../src/talksy/refused.js';
import { Model, randomOf, sourceOf } from './model.js';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
let users = 0;

async function openTab(userId: string, model: Model, deliver = model.deliver.bind(model)) {
  const database = await openDatabase(userId);
  const changes = new Changes();
  const replica = new Replica(database, changes);
  const queue = new Queue(replica, changes);
  const closing = new AbortController();
  const ended = Promise.all([
    follow(replica, sourceOf(model), closing.signal, tick),
    queue.send(deliver, closing.signal, tick),
  ]);
  return {
    replica,
    changes,
    queue,
    close: async () => {
      closing.abort();
      await ended;
      database.close();
    },
  };
}

async function eventually(check: () => Promise<void>) {
  for (const deadline = Date.now() + 20_000; ; await tick()) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

test('what is queued is sent once and in order, through lost answers and reloads', async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = randomOf(seed);
    const model = new Model(random, 0.3);
    model.start('cht_a');
    const user = `usr_queue_${(users += 1)}`;
    let tab = await openTab(user, model);
    const written: string[] = [];
    for (let at = 0; at < 20; at += 1) {
      const text = `mine ${at}`;
      await tab.queue.add('cht_a', text);
      written.push(text);
      if (random() < 0.3) model.add('cht_a', `theirs ${at}`);
      if (random() < 0.2) model.cut();
      if (random() < 0.2) {
        await tab.close();
        tab = await openTab(user, model);
      }
      for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) await tick();
    }
    model.calm();
    await eventually(async () => expect(await tab.queue.all()).toEqual([]));
    const texts = model.chats.get('cht_a')!.messages.map(({ text }) => text ?? '');
    expect(texts.filter((text) => text.startsWith('mine'))).toEqual(written);
    await tab.close();
  }
}, 60_000);

test('a message is shown once at every moment, as pending or as sent', async () => {
  const random = randomOf(7);
  const model = new Model(random, 0.2);
  model.start('cht_a');
  const tab = await openTab(`usr_queue_${(users += 1)}`, model);
  await eventually(async () => expect(await tab.replica.isLoaded()).toBe(true));
  const { replica, changes, queue } = tab;
  const away = { page: () => Promise.resolve(null) };
  const thread = new Thread('cht_a', replica, away, changes);
  for (let at = 0; at < 10; at += 1) {
    const { clientMessageId } = await queue.add('cht_a', `mine ${at}`);
    for (let turns = 0; turns < 60; turns += 1) {
      if (random() < 0.1) model.cut();
      // The page reads the thread at each change, and the outbox behind it.
      const reading = replica.database.transaction(['messages', 'outbox']);
      const [messages, outbox] = await Promise.all([
        reading.objectStore('messages').getAll(),
        reading.objectStore('outbox').getAll(),
      ]);
      const sent = messages.filter((message) => message.clientMessageId === clientMessageId);
      const pending = pendingIn('cht_a', outbox, messages);
      const waiting = pending.filter((one) => one.clientMessageId === clientMessageId);
      expect(sent.length + waiting.length).toBe(1);
      await tick();
    }
  }
  thread.close();
  model.calm();
  await eventually(async () => expect(await queue.all()).toEqual([]));
  await tab.close();
});

test('what the server refuses is kept with its reason, and holds up nothing', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  let isStrict = true;
  const tab = await openTab(`usr_queue_${(users += 1)}`, model, async (pending) => {
    if (isStrict && pending.text === 'bad') {
      throw new Refused({ message: 'No.', extensions: { code: 'BAD_USER_INPUT' } });
    }
    return model.deliver(pending);
  });
  const { clientMessageId } = await tab.queue.add('cht_a', 'bad');
  await tab.queue.add('cht_a', 'good');
  await eventually(async () => {
    const kept = await tab.queue.all();
    expect(kept.map(({ text, problem }) => [text, problem])).toEqual([['bad', 'BAD_USER_INPUT']]);
  });
  isStrict = false;
  await tab.queue.retry(clientMessageId);
  await eventually(async () => expect(await tab.queue.all()).toEqual([]));
  expect(model.chats.get('cht_a')!.messages.map(({ text }) => text)).toEqual(['good', 'bad']);
  await tab.close();
});

test('an ended session leaves what waits in the queue', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  let tries = 0;
  const tab = await openTab(`usr_queue_${(users += 1)}`, model, async (pending) => {
    tries += 1;
    if (tries < 5) {
      throw new Refused({ message: 'Sign in.', extensions: { code: 'UNAUTHENTICATED' } });
    }
    return model.deliver(pending);
  });
  await tab.queue.add('cht_a', 'typed before');
  await eventually(async () => expect(await tab.queue.all()).toEqual([]));
  expect(tries).toBe(5);
  await tab.close();
});
