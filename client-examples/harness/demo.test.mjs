// `talksy demo` in a browser: from the command to a message that the other one sees, the plug, the counter where a
// replica is damaged on purpose, GraphiQL without a token to copy, and a server of another version. $CHAT_BINARY
// is the server.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import test, { after, before } from 'node:test';

import { assertFits, launch, openPage } from './browser.mjs';
import { eventually } from './chat.mjs';
import { ADA, GRACE, outcomeOf, paneOf, startDemo } from './demo.mjs';

const SHOTS = process.env.CHAT_SHOTS;
const DESK = { viewport: { width: 1600, height: 900 } };
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser;
let demo;
let url;
let started;

before(async () => {
  if (SHOTS) await mkdir(SHOTS, { recursive: true });
  browser = await launch();
  started = performance.now();
  demo = await startDemo(150);
  url = demo.url;
});
after(async () => {
  await browser?.close();
  await demo?.stop();
});

const shot = async (page, name) => SHOTS && page.screenshot({ path: `${SHOTS}/demo-${name}.png` });
const frameOf = (page, person) => page.frames().find((frame) => frame.url().includes(`as=${person}`));

/** Nothing that is serious stands in the way of somebody who cannot see or point, in the frames either. */
async function assertAccessible(page) {
  for (const frame of page.frames()) {
    await frame.evaluate(axe);
    const { violations } = await frame.evaluate(() => globalThis.axe.run({ iframes: false }));
    const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
    const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' · ')}`);
    assert.deepEqual(told, [], frame.url());
  }
}

/** The demo's page with both people signed in. What policies have forbidden is among the problems. */
async function openDemo() {
  const { page, problems } = await openPage(browser, `${url}/`, DESK);
  await page.getByRole('button', { name: 'Sign both in' }).click();
  for (const name of [ADA, GRACE]) {
    await paneOf(page, name).getByLabel('Message', { exact: true }).waitFor();
  }
  return { page, problems };
}

async function send(page, name, text) {
  const box = paneOf(page, name).getByLabel('Message', { exact: true });
  await box.fill(text);
  await box.press('Enter');
}
const shows = (page, name, text) => paneOf(page, name).locator('.message .text', { hasText: text }).waitFor();

/** How many messages a page keeps. */
const keptBy = (page, person) =>
  frameOf(page, person).evaluate(async (person) => {
    const { user } = JSON.parse(localStorage.getItem(`talksy.session.${person}`));
    const database = await new Promise((resolve, reject) => {
      const opening = indexedDB.open(`talksy-${user.id}`);
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    const counting = database.transaction('messages').objectStore('messages').count();
    await new Promise((resolve) => (counting.onsuccess = resolve));
    database.close();
    return counting.result;
  }, person);

test('a click signs both in, and one sees what the other has sent', async () => {
  const { page, problems } = await openPage(browser, `${url}/`, DESK);
  await paneOf(page, GRACE).getByRole('button', { name: `Sign in as ${GRACE}` }).waitFor();
  await shot(page, 'entrance');
  await page.getByRole('button', { name: 'Sign both in' }).click();
  await send(page, ADA, 'Hello from the demo');
  await shows(page, GRACE, 'Hello from the demo');
  const seconds = (performance.now() - started) / 1000;
  console.log(`from \`talksy demo\` to a message that the other one sees: ${seconds.toFixed(1)} s`);
  assert.ok(seconds < 60);
  await eventually(() => keptBy(page, 'ada').then((kept) => assert.ok(kept > 100, String(kept))));
  await shot(page, 'both');
  await assertAccessible(page);
  const chats = paneOf(page, ADA).locator('.chat-row');
  if (await chats.first().isVisible()) assert.equal(await chats.count(), 3);
  // Nobody's token stands in an address.
  for (const frame of page.frames()) assert.doesNotMatch(frame.url(), /eyJ|token|code/i);
  assert.deepEqual(problems, []);
  await page.context().close();
});

test('the plug is pulled, the bot goes on, and nothing is lost, doubled or out of order', async () => {
  const { page, problems } = await openDemo();
  await eventually(() => keptBy(page, 'grace').then((kept) => assert.ok(kept > 100, String(kept))));
  await page.getByRole('button', { name: 'Pull the plug' }).click();
  await page.getByText('neither page sees it').waitFor();
  const before = await keptBy(page, 'grace');
  await paneOf(page, ADA).getByText('You are offline').waitFor();
  await send(page, ADA, 'sent without a plug');
  const told = page.locator('.told b');
  await eventually(async () => {
    const [sent, edited, deleted] = (await told.innerText()).match(/\d+/g).map(Number);
    assert.ok(sent >= 10 && edited >= 5 && deleted >= 3, `${sent} ${edited} ${deleted}`);
  });
  await shot(page, 'pulled');
  assert.equal(await keptBy(page, 'grace'), before, 'a page went on without a plug');
  await page.getByRole('button', { name: 'Put the plug back in' }).click();
  for (const name of [ADA, GRACE]) {
    await outcomeOf(page, name).filter({ hasText: 'messages' }).waitFor();
    const said = await outcomeOf(page, name).innerText();
    console.log(`${name}: ${said}`);
    assert.match(said, /^0 lost, 0 doubled, 0 out of order, 0 out of date, of \d+ messages/);
    assert.ok(Number(await outcomeOf(page, name).getAttribute('data-compared')) > 100);
  }
  await shows(page, GRACE, 'sent without a plug');
  assert.ok((await keptBy(page, 'grace')) > before + 10);
  await shot(page, 'plugged');
  await assertAccessible(page);
  await page.setViewportSize({ width: 390, height: 844 });
  await assertFits(page);
  await shot(page, 'phone');
  assert.deepEqual(problems, []);
  await page.context().close();
});

test('the counter tells of a replica that was damaged on purpose', async () => {
  const { page } = await openDemo();
  const frame = frameOf(page, 'ada');
  const faults = async () => {
    const { lost, doubled, disordered, stale, strange } = await frame.evaluate(() => window.talksyPane.compare(1_000));
    return { lost, doubled, disordered, stale, strange };
  };
  await eventually(async () =>
    assert.deepEqual(await faults(), { lost: 0, doubled: 0, disordered: 0, stale: 0, strange: 0 }),
  );
  await frame.evaluate(async () => {
    const { user } = JSON.parse(localStorage.getItem('talksy.session.ada'));
    const done = (request) =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const database = await done(indexedDB.open(`talksy-${user.id}`));
    const chats = await done(database.transaction('chats').objectStore('chats').getAll());
    const { id } = chats.find(({ kind }) => kind === 'DIRECT');
    const store = database.transaction('messages', 'readwrite').objectStore('messages');
    const all = await done(store.getAll(IDBKeyRange.bound([id, 0], [id, 1_000_000])));
    const [gone, changed, twice, one, other] = all.filter(({ text }) => text !== null);
    await done(store.delete([id, gone.seq]));
    await done(store.put({ ...changed, text: 'nobody has said this' }));
    await done(store.put({ ...twice, seq: 900_000 }));
    await done(store.put({ ...one, seq: other.seq }));
    await done(store.put({ ...other, seq: one.seq }));
    database.close();
  });
  assert.deepEqual(await faults(), { lost: 1, doubled: 1, disordered: 1, stale: 1, strange: 0 });
  await page.getByRole('button', { name: 'Compare with the server' }).click();
  await outcomeOf(page, ADA).filter({ hasText: '1 lost, 1 doubled, 1 out of order, 1 out of date' }).waitFor();
  await outcomeOf(page, GRACE).filter({ hasText: '0 lost, 0 doubled, 0 out of order, 0 out of date' }).waitFor();
  await shot(page, 'damaged');
  await page.context().close();
});

test('GraphiQL is signed in, with a tour in its tabs, and keeps no token', async () => {
  const { page, problems } = await openDemo();
  const token = await frameOf(page, 'grace').evaluate(() => window.talksyPane.token());
  const [graphiql] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: 'GraphiQL as Grace' }).click(),
  ]);
  await graphiql.locator('.graphiql-tab').nth(8).waitFor();
  const run = async (name) => {
    const [answer] = await Promise.all([
      graphiql.waitForResponse(
        (response) => response.url() === `${url}/graphql` && new RegExp(`query ${name}\\b`).test(response.request().postData() ?? ''),
      ),
      graphiql.getByRole('button', { name: /^Execute query/ }).click(),
    ]);
    return answer.json();
  };
  await graphiql.locator('.graphiql-query-editor .view-lines').waitFor();
  assert.equal((await run('Me')).data.me.name, GRACE);
  await shot(graphiql, 'graphiql');
  await graphiql.locator('.graphiql-tab-button', { hasText: 'Thread' }).click();
  await eventually(async () => assert.ok((await run('Thread')).data.chat.messages.nodes.length > 20));
  const left = await graphiql.evaluate(() =>
    JSON.stringify([location.href, history.state, { ...localStorage }, { ...sessionStorage }, document.cookie]),
  );
  const outside = left.replace(/talksy\.session[^}]*}[^}]*}/g, '');
  assert.ok(!outside.includes(token), 'the token was kept');
  assert.doesNotMatch(left, /graphiql:tabState/);
  // Loaded anew, it is signed in again, by the page that has opened it.
  await graphiql.reload();
  await graphiql.locator('.graphiql-tab').nth(8).waitFor();
  assert.equal((await run('Me')).data.me.name, GRACE);
  assert.deepEqual(problems, []);
  await page.context().close();
});

test('a server of another version is noticed, and what waits is sent behind the reload', async () => {
  const { page } = await openPage(browser, `${url}/demo/pane?as=ada`, DESK);
  await page.getByRole('button', { name: `Sign in as ${ADA}` }).click();
  const box = page.getByLabel('Message', { exact: true });
  await box.waitFor();
  const notice = page.getByText('The server was updated');
  assert.equal(await notice.count(), 0);
  // From now on it says that it has another schema.
  const other = async (route) => {
    if (!/schemaHash/.test(route.request().postData() ?? '')) return route.continue();
    const server = { version: '9.0.0', schemaHash: '0123456789abcdef', features: [] };
    await route.fulfill({ json: { data: { server } } });
  };
  await page.route('**/graphql', other);
  await page.evaluate(() => window.talksyPane.pull());
  await box.fill('waits for the new version');
  await box.press('Enter');
  await page.locator('.is-pending').waitFor();
  // Ahead of the next connection the page is told, and is loaded anew.
  await page.evaluate(() => window.talksyPane.plugIn());
  await notice.waitFor();
  await shot(page, 'updated');
  await page.unroute('**/graphql', other);
  await page.getByRole('button', { name: 'Reload the page' }).click();
  await page.locator('.message .text', { hasText: 'waits for the new version' }).waitFor();
  await eventually(async () => assert.equal(await page.locator('.is-pending').count(), 0));
  assert.equal(await notice.count(), 0);
  await page.context().close();
});
