import 'fake-indexeddb/auto';

import { expect, test } from 'vitest';

import { Drafts, MOST_FILES, type Chosen } from '../src/outbox/drafts.js';
import { Queue, changed, pendingIn, type Courier } from '../src/outbox/queue.js';
import { Changes } from '../src/replica/changes.js';
import { isTask, openDatabase, type Message, type Pending, type Task } from '../src/replica/database.js';
import { follow } from '../src/replica/follow.js';
import { Replica } from '../src/replica/replica.js';
import { Thread } from '../src/replica/thread.js';
import { Refused } from '../src/talksy/refused.js';
import { Model, Uploads, courierOf, randomOf, sourceOf } from './model.js';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
let users = 0;

async function openTab(userId: string, model: Model, given: Partial<Courier> = {}) {
  const courier = { ...courierOf(model), ...given };
  const database = await openDatabase(userId);
  const changes = new Changes();
  const replica = new Replica(database, changes);
  const queue = new Queue(replica, changes);
  const drafts = new Drafts(database, changes);
  const closing = new AbortController();
  const ended = Promise.all([
    follow(replica, sourceOf(model), closing.signal, tick),
    queue.send(courier, closing.signal, tick),
  ]);
  return {
    replica,
    changes,
    queue,
    drafts,
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
  const away = { page: () => Promise.resolve(null), newer: () => Promise.resolve(null) };
  const thread = new Thread('cht_a', replica, away, changes);
  for (let at = 0; at < 10; at += 1) {
    const { clientMessageId } = (await queue.add('cht_a', `mine ${at}`))!;
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
  const deliver = async (pending: Pending) => {
    if (isStrict && pending.text === 'bad') {
      throw new Refused({ message: 'No.', extensions: { code: 'BAD_USER_INPUT' } });
    }
    return model.deliver(pending);
  };
  const tab = await openTab(`usr_queue_${(users += 1)}`, model, { deliver });
  const { clientMessageId } = (await tab.queue.add('cht_a', 'bad'))!;
  await tab.queue.add('cht_a', 'good');
  await eventually(async () => {
    const kept = await tab.queue.all();
    const told = kept.map((one) => [!isTask(one) && one.text, one.problem, one.sentence]);
    expect(told).toEqual([['bad', 'BAD_USER_INPUT', 'No.']]);
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
  const deliver = async (pending: Pending) => {
    tries += 1;
    if (tries < 5) {
      throw new Refused({ message: 'Sign in.', extensions: { code: 'UNAUTHENTICATED' } });
    }
    return model.deliver(pending);
  };
  const tab = await openTab(`usr_queue_${(users += 1)}`, model, { deliver });
  await tab.queue.add('cht_a', 'typed before');
  await eventually(async () => expect(await tab.queue.all()).toEqual([]));
  expect(tries).toBe(5);
  await tab.close();
});

const fileOf = (text: string) => ({
  id: crypto.randomUUID(),
  name: 'a.txt',
  type: 'text/plain',
  byteSize: text.length,
  width: null,
  height: null,
  blob: new Blob([text]),
});

/** Chooses files and sends them with a text. */
async function sendFiles({ queue, drafts }: { queue: Queue; drafts: Drafts }, text: string, files: Chosen[]) {
  for (const file of files) await drafts.add('cht_a', file);
  return (await queue.add('cht_a', text, { fileIds: files.map(({ id }) => id) }))!;
}

test('files go up once each, ahead of their message, through lost answers and reloads', async () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const random = randomOf(seed);
    const model = new Model(random, 0.3);
    model.start('cht_a');
    const uploads = new Uploads(model);
    const sent = new Map<string, readonly string[]>();
    const deliver: Courier['deliver'] = async (pending, attachmentIds) => {
      // What is sent again is the same.
      const before = sent.get(pending.clientMessageId);
      if (before) expect(attachmentIds).toEqual(before);
      sent.set(pending.clientMessageId, attachmentIds);
      for (const id of attachmentIds) expect(uploads.bytes.has(`/uploads/${id}`)).toBe(true);
      return model.deliver(pending);
    };
    const user = `usr_queue_${(users += 1)}`;
    const courier = { ...courierOf(model, uploads), deliver };
    let tab = await openTab(user, model, courier);
    const written: string[] = [];
    for (let at = 0; at < 8; at += 1) {
      const files = random() < 0.6 ? [fileOf(`bytes ${at}`), fileOf(`more ${at}`)] : [];
      await sendFiles(tab, `mine ${at}`, files);
      written.push(`mine ${at}`);
      for (let turns = Math.floor(random() * 6); turns > 0; turns -= 1) await tick();
      if (random() < 0.3) {
        await tab.close();
        tab = await openTab(user, model, courier);
      }
    }
    model.calm();
    await eventually(async () => expect(await tab.queue.all()).toEqual([]));
    expect(model.chats.get('cht_a')!.messages.map(({ text }) => text)).toEqual(written);
    // Nothing of them stays on the device.
    expect(await tab.replica.database.count('files')).toBe(0);
    await tab.close();
  }
}, 60_000);

test('files that are chosen outlive a reload, are sent once by two tabs, and by nobody else', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  const [user, other] = [`usr_queue_${(users += 1)}`, `usr_queue_${(users += 1)}`];
  let tab = await openTab(user, model);
  const [kept, gone] = [fileOf('kept'), fileOf('gone')];
  expect(await tab.drafts.add('cht_a', kept)).toBe(true);
  expect(await tab.drafts.add('cht_a', gone)).toBe(true);
  await tab.drafts.remove('cht_a', gone.id);
  await tab.close();

  const stranger = await openTab(other, model);
  expect(await stranger.drafts.of('cht_a')).toEqual([]);
  // Who knows its id does not have it either.
  expect(await stranger.queue.add('cht_a', '', { fileIds: [kept.id] })).toBeNull();
  expect(await stranger.queue.blob(kept.id)).toBeUndefined();
  await stranger.close();

  tab = await openTab(user, model);
  const { blob, ...file } = kept;
  expect(await tab.drafts.of('cht_a')).toEqual([file]);
  expect((await tab.queue.blob(kept.id))?.size).toBe(blob.size);
  const second = new Queue(tab.replica, tab.changes);
  const fileIds = [kept.id];
  const both = await Promise.all([tab.queue, second].map((queue) => queue.add('cht_a', '', { fileIds })));
  expect(both.filter((one) => one !== null)).toMatchObject([{ files: [file] }]);
  expect(await tab.drafts.of('cht_a')).toEqual([]);
  await eventually(async () => expect(await tab.queue.all()).toEqual([]));
  expect(model.chats.get('cht_a')!.messages).toHaveLength(1);
  expect(await tab.replica.database.count('files')).toBe(0);
  await tab.close();
});

test('no more files are chosen than go with one message, and those that are not sent stay', async () => {
  const tab = await openTab(`usr_queue_${(users += 1)}`, new Model(randomOf(1), 0));
  const files = Array.from({ length: MOST_FILES + 1 }, (_, at) => fileOf(`file ${at}`));
  const taken: boolean[] = [];
  for (const file of files) taken.push(await tab.drafts.add('cht_b', file));
  expect(taken).toEqual(files.map((_, at) => at < MOST_FILES));
  expect(await tab.replica.database.count('files')).toBe(MOST_FILES);
  await tab.queue.add('cht_b', 'two of them', { fileIds: files.slice(0, 2).map(({ id }) => id) });
  expect((await tab.drafts.of('cht_b')).map(({ id }) => id)).toEqual(files.slice(2, MOST_FILES).map(({ id }) => id));
  await tab.close();
});

test('files that are chosen in a chat go with it, and what waits to be sent in it stays', async () => {
  const model = new Model(randomOf(1), 0);
  for (const chatId of ['cht_a', 'cht_b']) model.start(chatId);
  const database = await openDatabase(`usr_queue_${(users += 1)}`);
  const changes = new Changes();
  const replica = new Replica(database, changes);
  const queue = new Queue(replica, changes);
  const drafts = new Drafts(database, changes);
  const load = async (...chatIds: string[]) => {
    await replica.apply([{ __typename: 'AccountCheckpoint', cursor: model.head(), isCaughtUp: true }]);
    await replica.load(model.viewer, chatIds.map((chatId) => model.stateOf(chatId)));
  };
  const told: string[] = [];
  changes.listen((change) => void told.push(...(change.drafts ?? [])));
  const [waits, chosen, here] = [fileOf('waits'), fileOf('chosen'), fileOf('here')];
  await load('cht_a', 'cht_b');
  await sendFiles({ queue, drafts }, 'waits', [waits]);
  await drafts.add('cht_a', chosen);
  await drafts.add('cht_b', here);
  told.length = 0;
  expect(await drafts.sweep()).toEqual(new Set(['cht_a', 'cht_b']));
  // As behind a restore of the server: which chats there are is not known until they have been loaded.
  await replica.clear();
  expect(await drafts.sweep()).toBeNull();
  await load('cht_a', 'cht_b');
  await drafts.sweep();
  expect(told).toEqual([]);
  expect(await drafts.of('cht_a')).toHaveLength(1);

  await replica.removeChat('cht_a');
  expect(await drafts.sweep()).toEqual(new Set(['cht_b']));
  expect(told).toEqual(['cht_a']);
  expect([await drafts.of('cht_a'), (await drafts.of('cht_b')).length]).toEqual([[], 1]);
  expect(await queue.blob(chosen.id)).toBeUndefined();
  expect([(await queue.blob(waits.id))?.size, (await queue.blob(here.id))?.size]).toEqual([5, 4]);
  expect(await queue.all()).toMatchObject([{ text: 'waits', files: [{ id: waits.id }] }]);
  // And where it is missing when all are loaded anew.
  await replica.clear();
  await load('cht_a');
  await drafts.sweep();
  expect(await database.getAllKeys('files')).toEqual([waits.id]);
  expect(await database.count('drafts')).toBe(0);
  database.close();
});

test('an upload that is taken back ends, and its message is not sent', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  let begun = () => {};
  const isGoing = new Promise<void>((resolve) => (begun = resolve));
  let isAborted = false;
  const put: Courier['put'] = (_url, _blob, _tell, signal) =>
    new Promise((_, reject) => {
      begun();
      signal.addEventListener('abort', () => {
        isAborted = true;
        reject(new TypeError('It was cut off.'));
      });
    });
  const tab = await openTab(`usr_queue_${(users += 1)}`, model, { put });
  const { clientMessageId } = await sendFiles(tab, 'with a file', [fileOf('x')]);
  await tab.queue.add('cht_a', 'behind it');
  await isGoing;
  await tab.queue.discard(clientMessageId);
  await eventually(async () => expect(await tab.queue.all()).toEqual([]));
  expect(isAborted).toBe(true);
  expect(model.chats.get('cht_a')!.messages.map(({ text }) => text)).toEqual(['behind it']);
  expect(await tab.replica.database.count('files')).toBe(0);
  await tab.close();
});

test('what was uploaded too long ago is uploaded again', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  const uploads = new Uploads(model);
  let clock = Date.now();
  let isAway = true;
  const erased = new Set<string>();
  const deliver: Courier['deliver'] = async (pending, ids) => {
    if (isAway) throw new TypeError('There is no network.');
    if (ids.some((id) => erased.has(id))) {
      const extensions = { code: 'NOT_FOUND', field: 'input.attachmentIds.0' };
      throw new Refused({ message: 'It is gone.', extensions });
    }
    return model.deliver(pending);
  };
  const database = await openDatabase(`usr_queue_${(users += 1)}`);
  const replica = new Replica(database, new Changes());
  const queue = new Queue(replica, replica.changes, () => clock);
  const closing = new AbortController();
  const ended = queue.send({ ...courierOf(model, uploads), deliver }, closing.signal, tick);
  await sendFiles({ queue, drafts: new Drafts(database, replica.changes) }, 'late', [fileOf('x')]);
  await eventually(async () => expect((await queue.all())[0]).toMatchObject({ files: [{ upload: { doneAt: clock } }] }));
  erased.add('att_1');
  clock += 86_400_000;
  isAway = false;
  await eventually(async () => expect(await queue.all()).toEqual([]));
  expect(uploads.announced).toBe(2);
  expect(model.chats.get('cht_a')!.messages.map(({ text }) => text)).toEqual(['late']);
  closing.abort();
  await ended;
  database.close();
});

test('a large upload in one chat holds up no other chat', async () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  model.start('cht_b');
  const put: Courier['put'] = (_url, _blob, _tell, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(new TypeError('It was cut off.'))));
  const tab = await openTab(`usr_queue_${(users += 1)}`, model, { put });
  await sendFiles(tab, 'large', [fileOf('x')]);
  await tab.queue.add('cht_b', 'small');
  await eventually(async () => expect(model.chats.get('cht_b')!.messages).toHaveLength(1));
  expect(model.chats.get('cht_a')!.messages).toHaveLength(0);
  await tab.close();
});

test('edits wait in their order with what is sent, and the last one stands', async () => {
  for (let seed = 1; seed <= 15; seed += 1) {
    const random = randomOf(seed);
    const model = new Model(random, 0);
    model.start('cht_a');
    model.add('cht_a', 'mine');
    const user = `usr_queue_${(users += 1)}`;
    let tab = await openTab(user, model);
    await eventually(async () => expect(await tab.replica.database.get('messages', ['cht_a', 1])).toBeDefined());
    const message = (await tab.replica.database.get('messages', ['cht_a', 1]))!;
    model.faults = 0.3;
    for (let at = 1; at <= 6; at += 1) {
      await tab.queue.change(message, { kind: 'edit', text: `edit ${at}`, mentionIds: [] });
      await tab.queue.add('cht_a', `message ${at}`);
      for (let turns = Math.floor(random() * 5); turns > 0; turns -= 1) await tick();
      if (random() < 0.3) {
        await tab.close();
        tab = await openTab(user, model);
      }
    }
    model.calm();
    await eventually(async () => expect(await tab.queue.all()).toEqual([]));
    expect(model.chats.get('cht_a')!.messages[0]!.text).toBe('edit 6');
    await eventually(async () =>
      expect((await tab.replica.database.get('messages', ['cht_a', 1]))?.text).toBe('edit 6'),
    );
    await tab.close();
  }
}, 60_000);

test('a message is shown as it will be, until the server has said so or refused it', () => {
  const model = new Model(randomOf(1), 0);
  model.start('cht_a');
  const message: Message = {
    ...model.add('cht_a', 'before'),
    chatId: 'cht_a',
    reactions: [{ id: 'r', emoji: '👍', count: 1, viewerHasReacted: true }],
  };
  const task = (change: Task['change'], problem: string | null = null): Task => ({
    ...{ clientMessageId: 'x', chatId: 'cht_a', messageId: message.id, seq: 1, at: 1, problem, change },
  });
  const edit = task({ kind: 'edit', text: 'after', mentionIds: [] });
  expect(changed([message], [edit])[0]?.text).toBe('after');
  expect(changed([message], [{ ...edit, problem: 'FORBIDDEN' }])).toEqual([message]);
  const off = task({ kind: 'react', emoji: '👍', isOn: false });
  expect(changed([message], [off])[0]?.reactions).toEqual([]);
  const again = task({ kind: 'react', emoji: '👍', isOn: true });
  expect(changed([message], [again])[0]).toBe(message);
  const gone = changed([message], [task({ kind: 'delete' }), edit])[0];
  expect([gone?.text, gone?.reactions]).toEqual([null, []]);
});
