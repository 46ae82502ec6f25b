import 'fake-indexeddb/auto';

import { expect, test } from 'vitest';

import { Changes } from '../src/replica/changes.js';
import { openDatabase } from '../src/replica/database.js';
import { follow } from '../src/replica/follow.js';
import { Replica } from '../src/replica/replica.js';
import { Thread } from '../src/replica/thread.js';
import { Model, randomOf, sourceOf } from './model.js';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
let users = 0;

async function eventually(check: () => Promise<void> | void) {
  for (const deadline = Date.now() + 20_000; ; await tick()) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

async function openChat(model: Model) {
  const database = await openDatabase(`usr_thread_${(users += 1)}`);
  const changes = new Changes();
  const replica = new Replica(database, changes);
  const closing = new AbortController();
  const source = sourceOf(model);
  const ended = follow(replica, source, closing.signal, tick);
  await eventually(async () => expect(await replica.isLoaded()).toBe(true));
  const thread = new Thread('cht_a', replica, source, changes);
  return {
    replica,
    thread,
    close: async () => {
      thread.close();
      closing.abort();
      await ended;
      database.close();
    },
  };
}

const seqsOf = (thread: Thread) => thread.snapshot().messages.map(({ seq }) => seq);

function assertNoHole(thread: Thread) {
  const seqs = seqsOf(thread);
  expect(seqs).toEqual(seqs.map((_, at) => (seqs[0] ?? 0) + at));
}

test('a jump shows the surroundings of a message, and loads both ways to the ends', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  for (let at = 1; at <= 100; at += 1) model.add('cht_a', `message ${at}`);
  const { thread, close } = await openChat(model);
  await thread.open();
  expect(await thread.jump({ seq: 40, cursor: '40' })).toBe(true);
  const { part, focus, hasNewer, hasOlder } = thread.snapshot();
  expect([part, focus, hasNewer, hasOlder]).toEqual([1, 40, true, true]);
  expect(seqsOf(thread)).toContain(40);
  expect(seqsOf(thread)).not.toContain(100);
  // What comes at the end does not come into the middle.
  model.add('cht_a', 'new');
  await eventually(async () => expect((await thread.replica.database.get('chats', 'cht_a'))?.headSeq).toBe(101));
  await tick();
  expect(seqsOf(thread)).not.toContain(101);
  while (thread.snapshot().hasNewer) {
    await thread.newer();
    assertNoHole(thread);
  }
  expect(seqsOf(thread).at(-1)).toBe(101);
  // From here on it follows the end again.
  model.add('cht_a', 'newer');
  await eventually(() => expect(seqsOf(thread).at(-1)).toBe(102));
  while (thread.snapshot().hasOlder) await thread.older();
  assertNoHole(thread);
  expect(seqsOf(thread)[0]).toBe(1);
  expect(thread.snapshot().part).toBe(1);
  await close();
});

test('the newest messages are shown again after a jump, and a change reaches the part that is shown', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  for (let at = 1; at <= 100; at += 1) model.add('cht_a', `message ${at}`);
  const { thread, close } = await openChat(model);
  await thread.open();
  await thread.jump({ seq: 10, cursor: '10' });
  model.edit('cht_a', 10, 'edited');
  await eventually(() =>
    expect(thread.snapshot().messages.find(({ seq }) => seq === 10)?.text).toBe('edited'),
  );
  await thread.newest();
  expect(seqsOf(thread).at(-1)).toBe(100);
  expect([thread.snapshot().hasNewer, thread.snapshot().focus]).toEqual([false, null]);
  assertNoHole(thread);
  await close();
});

test('a jump to what is kept needs no network, and one to what is not there says so', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  for (let at = 1; at <= 60; at += 1) model.add('cht_a', `message ${at}`);
  const { thread, replica, close } = await openChat(model);
  await thread.open();
  while (thread.snapshot().hasOlder) await thread.older();
  const noNetwork = () => Promise.reject(new TypeError('There is no network.'));
  const other = new Thread('cht_a', replica, { page: noNetwork, newer: noNetwork }, replica.changes);
  expect(await other.jump({ seq: 5, cursor: '5' })).toBe(true);
  expect(seqsOf(other)).toContain(5);
  expect(await thread.jump({ seq: 999, cursor: '999' })).toBe(false);
  other.close();
  await close();
});

test('jumps, pages, messages, edits and resets in random schedules leave no hole and nothing old', async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = randomOf(seed);
    const model = new Model(random, 0);
    model.start('cht_a');
    for (let at = 1; at <= 80; at += 1) model.add('cht_a', `message ${at}`);
    const { thread, close } = await openChat(model);
    model.faults = 0.1;
    const stop = thread.subscribe(() => {
      const { messages, hasNewer } = thread.snapshot();
      // Behind the head the viewer's own answers may come early: there are none here.
      if (hasNewer) expect(messages.length).toBeGreaterThan(0);
      assertNoHole(thread);
    });
    const doing: Promise<unknown>[] = [];
    for (let step = 0; step < 50; step += 1) {
      const dice = random();
      const seq = 1 + Math.floor(random() * model.chats.get('cht_a')!.messages.length);
      const run = (action: Promise<unknown>) => doing.push(action.catch(() => {}));
      if (dice < 0.25) model.add('cht_a', `message of step ${step}`);
      else if (dice < 0.4) model.edit('cht_a', seq, `edit ${step}`);
      else if (dice < 0.55) run(thread.jump({ seq, cursor: `${seq}` }));
      else if (dice < 0.7) run(thread.older());
      else if (dice < 0.85) run(thread.newer());
      else if (dice < 0.92) run(thread.newest());
      else if (dice < 0.96) {
        model.resets.add('cht_a');
        model.cut();
      } else run(thread.open());
      for (let turns = Math.floor(random() * 8); turns > 0; turns -= 1) await tick();
    }
    await Promise.all(doing);
    model.calm();
    await thread.newest();
    await eventually(async () => {
      while (thread.snapshot().hasOlder) await thread.older();
      const texts = thread.snapshot().messages.map(({ text }) => text);
      expect(texts).toEqual(model.chats.get('cht_a')!.messages.map(({ text }) => text));
    }).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}`);
    });
    stop();
    await close();
  }
}, 120_000);
