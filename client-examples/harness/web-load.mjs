// How the web chat bears a very long chat and a very busy one. `web.test.mjs` runs it; what takes time is
// told and not judged: machines differ.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  bothTalk,
  chatOf,
  say,
  send,
  shows,
  signIn,
  startChat,
  testAlone,
  testBeside,
} from './web.mjs';

testBeside('a chat of 100,000 messages has few of them in the page, wherever it is opened', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  const { page } = ada;
  await startChat(page, grace);
  await send(page, 'the first');
  await page.locator('.message:not(.is-pending)').waitFor();
  const chatId = chatOf(page);
  const most = 100_000;
  await page.goto(`${new URL(page.url()).origin}/#/`);
  // The device has all of them: what is measured is what is shown.
  await page.evaluate(
    async ([chatId, most]) => {
      const { user } = JSON.parse(localStorage.getItem('talksy.session'));
      const opened = indexedDB.open(`talksy-${user.id}`);
      await new Promise((resolve) => (opened.onsuccess = resolve));
      const read = (store, key) =>
        new Promise((resolve) => {
          const asked = opened.result.transaction(store).objectStore(store).get(key);
          asked.onsuccess = () => resolve(asked.result);
        });
      const like = await read('messages', [chatId, 1]);
      const chat = await read('chats', chatId);
      for (let from = 2; from <= most; from += 5_000) {
        const writing = opened.result.transaction(['messages', 'chats'], 'readwrite');
        const messages = writing.objectStore('messages');
        for (let seq = from; seq < from + 5_000 && seq <= most; seq += 1) {
          const text = `message ${seq} ${'and some words '.repeat(seq % 7)}`;
          const replyTo = seq === most ? { ...like, attachments: [] } : null;
          messages.put({ ...like, id: `msg_${seq}`, seq, text, replyTo, clientMessageId: null });
        }
        writing.objectStore('chats').put({ ...chat, headSeq: most, lastSeq: most });
        await new Promise((resolve) => (writing.oncomplete = resolve));
      }
      opened.result.close();
    },
    [chatId, most],
  );
  await page.reload();
  await page.locator('.chat-row').click();
  await page.locator(`[data-seq="${most}"]`).waitFor();
  const counts = [];
  const count = async () => {
    const [messages, nodes] = await page.evaluate(() => [
      document.querySelectorAll('.message').length,
      document.querySelectorAll('*').length,
    ]);
    counts.push(nodes);
    assert.ok(messages < 60, `${messages} messages are drawn`);
    assert.ok(nodes < 3_000, `${nodes} elements are in the page`);
  };
  await count();
  const scroller = page.locator('.scroller');
  for (let turns = 0; turns < 40; turns += 1) {
    await scroller.hover();
    await page.mouse.wheel(0, -3_000);
    await count();
  }
  await page.locator('.to-end').click();
  await page.locator('.quote').click();
  await page.locator('[data-seq="1"]').waitFor();
  await count();
  for (let turns = 0; turns < 40; turns += 1) {
    await page.mouse.wheel(0, 3_000);
    await count();
  }
  await page.locator('.to-end').click();
  await page.locator(`[data-seq="${most}"]`).waitFor();
  await count();
  console.log(`100,000 messages: ${Math.min(...counts)} to ${Math.max(...counts)} elements in the page`);
  for (const { page } of [ada, grace]) await page.context().close();
});

/** The values at which parts of all lie below. */
function told(values, unit = 'ms') {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  if (sorted.length === 0) return 'none';
  return `${[0.5, 0.9, 0.99].map((part) => `p${100 * part} ${Math.round(at(part))} ${unit}`).join(', ')}, most ${Math.round(at(1))} ${unit}, of ${sorted.length}`;
}

testAlone('how long the page is busy under 50 messages a second, and a key takes to the other screen', async () => {
  const [ada, grace] = await bothTalk();
  const chatId = chatOf(ada.page);
  await grace.page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      entryTypes: ['longtask'],
    });
    globalThis.seen = {};
    new MutationObserver(() => {
      for (const { innerText } of [...document.querySelectorAll('.message .text')].slice(-5)) {
        globalThis.seen[innerText] ??= performance.timeOrigin + performance.now();
      }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  const keys = {};
  for (let at = 0; at < 30; at += 1) {
    await ada.page.getByLabel('Message', { exact: true }).fill(`key ${at}`);
    keys[`key ${at}`] = await ada.page.evaluate(
      () =>
        new Promise((resolve) => {
          addEventListener('keydown', () => resolve(performance.timeOrigin + performance.now()), { once: true, capture: true });
          document.querySelector('textarea').dispatchEvent(
            new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }),
          );
        }),
    );
    await shows(grace.page, `key ${at}`);
  }
  const seen = await grace.page.evaluate(() => globalThis.seen);
  const waits = Object.entries(keys).map(([text, at]) => seen[text] - at);
  assert.ok(waits.every((wait) => wait > 0));
  console.log(`a key to the other screen: ${told(waits)}`);

  await grace.page.evaluate(() => (globalThis.tasks.length = 0));
  const began = Date.now();
  const sending = [];
  for (let at = 0; at < 500; at += 1) {
    sending.push(say(ada.page, chatId, `busy ${at}`));
    await sleep(Math.max(0, began + 20 * (at + 1) - Date.now()));
  }
  await Promise.all(sending);
  const lasted = (Date.now() - began) / 1_000;
  await grace.page.locator('[data-seq="532"]').or(grace.page.locator('[data-seq="531"]')).first().waitFor();
  const tasks = await grace.page.evaluate(() => globalThis.tasks);
  console.log(`${Math.round(500 / lasted)} messages a second for ${lasted.toFixed(1)} s: long tasks ${told(tasks)}`);
  for (const { page } of [ada, grace]) await page.context().close();
});
