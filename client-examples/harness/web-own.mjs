// What the web chat shows of features that a server may have or not: search, blocks, reports and what operators
// do about them, the export, and the end of an account. `web.test.mjs` runs it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { SERVER, eventually } from './chat.mjs';
import { watchFor } from './outbox.mjs';
import {
  DESK,
  OPERATOR,
  ask,
  assertAccessible,
  bothTalk,
  chatOf,
  row,
  say,
  send,
  shot,
  shows,
  signIn,
  startChat,
  testBeside,
} from './web.mjs';

/** Whether the server has a feature; else the test is shown as skipped. */
async function needs(t, feature) {
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ server { features } }' }),
  });
  const { data } = await response.json();
  const isThere = data.server.features.includes(feature);
  if (!isThere) t.skip(`the server has no ${feature}`);
  return isThere;
}

const close = async (...people) => {
  for (const { page, problems } of people) {
    assert.deepEqual(problems, []);
    await page.context().close();
  }
};

testBeside('messages are found by their words, and lead to where they were said', async (t) => {
  if (!(await needs(t, 'search'))) return;
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  const { page } = ada;
  await startChat(page, grace);
  await send(page, 'The analytical engine weaves patterns');
  await page.locator('.message:not(.is-pending)').waitFor();
  const chatId = chatOf(page);
  for (let at = 1; at <= 120; at += 1) await say(page, chatId, `filler ${at}`);
  await page.locator('[data-seq="121"]').waitFor();
  await page.goto(`${new URL(page.url()).origin}/#/`);
  // That nobody is found is said when the server has said so.
  let answer;
  const answered = new Promise((resolve) => (answer = resolve));
  const isPeople = (request) => /query People\b/.test(request.postData() ?? '');
  await page.route('**/graphql', async (route) => {
    if (isPeople(route.request())) await answered;
    await route.fallback();
  });
  const asked = page.waitForRequest(isPeople);
  await page.getByLabel('Search chats and people').fill('nobody is called so');
  await asked;
  assert.equal(await page.getByText('Nobody is found by this.').count(), 0);
  answer();
  await page.getByText('Nobody is found by this.').waitFor();
  await page.unroute('**/graphql');
  await page.getByLabel('Search chats and people').fill('analytical wea');
  const found = page.locator('.result', { hasText: 'engine' });
  await found.waitFor();
  assert.deepEqual(await found.locator('mark').allInnerTexts(), ['analytical', 'weaves']);
  await assertAccessible(page);
  await shot(page, 'search');
  await found.click();
  await page.locator('[data-seq="1"]').waitFor();
  await page.getByRole('button', { name: 'Chat menu' }).click();
  await page.getByRole('menuitem', { name: 'Search in this chat' }).click();
  await page.getByLabel('Words').fill('filler 90');
  await page.locator('.result', { hasText: 'filler 90' }).click();
  await page.locator('.message', { hasText: 'filler 90' }).waitFor();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await close(ada, grace);
});

testBeside('somebody is blocked, cannot write any more, and is let in again', async (t) => {
  if (!(await needs(t, 'blocking'))) return;
  const [ada, grace] = await bothTalk('hello');
  const { page } = ada;
  await page.getByRole('button', { name: 'Chat menu' }).click();
  await page.getByRole('menuitem', { name: 'Block', exact: true }).click();
  await page.getByText('You have blocked').waitFor();
  await assertAccessible(page);
  await shot(page, 'blocked');
  await send(grace.page, 'can you hear me?');
  await grace.page.getByText('Nothing can be sent here any more.').waitFor();
  await page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await page.getByRole('tab', { name: 'Blocked' }).click();
  await page.getByRole('button', { name: 'Unblock Grace' }).click();
  await page.getByText('You have blocked nobody.').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByLabel('Message', { exact: true }).waitFor();
  await grace.page.getByRole('button', { name: 'Try again' }).click();
  await shows(page, 'can you hear me?');
  await close(ada, grace);
});

testBeside('a message is reported, and an operator deletes it, suspends its sender and lifts that again', async (t) => {
  if (!(await needs(t, 'moderation'))) return;
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  const olga = await signIn('Olga', DESK, OPERATOR);
  await startChat(ada.page, grace);
  await send(ada.page, 'something bad');
  await grace.page.locator('.chat-row').click();
  await shows(grace.page, 'something bad');
  await row(grace.page, 'something bad').hover();
  await row(grace.page, 'something bad').getByRole('button', { name: 'More' }).click();
  await grace.page.getByRole('menuitem', { name: 'Report' }).click();
  await grace.page.getByLabel('What is wrong with it?').fill('It is not kind');
  await assertAccessible(grace.page);
  await grace.page.getByRole('button', { name: 'Report' }).click();
  await grace.page.getByText('Thank you.').waitFor();
  await grace.page.getByRole('button', { name: 'Done' }).click();

  const { page } = olga;
  await page.getByRole('button', { name: 'Moderation' }).click();
  const report = page.locator('.report', { hasText: 'It is not kind' });
  await report.waitFor();
  await report.getByText('something bad').waitFor();
  await assertAccessible(page);
  await shot(page, 'reports');
  await report.getByRole('button', { name: 'Suspend the sender …' }).click();
  await report.getByLabel('Why Ada is suspended').fill('Be kind');
  await report.getByRole('button', { name: 'Suspend', exact: true }).click();
  await ada.page.getByLabel('Mail address').waitFor();
  await report.getByRole('button', { name: 'Delete the message' }).click();
  await shows(grace.page, 'Message deleted');
  await report.getByLabel('What was done').fill('Deleted');
  await report.getByRole('button', { name: 'Resolve' }).click();
  await page.getByText('Nothing is reported.').waitFor();
  await page.getByRole('tab', { name: 'People' }).click();
  await page.getByRole('button', { name: 'Only who is suspended' }).click();
  await page.locator('.members li', { hasText: 'Be kind' }).waitFor();
  await assertAccessible(page);
  await shot(page, 'moderated');
  await page.getByRole('button', { name: 'Restore' }).click();
  await page.getByRole('button', { name: 'Suspend Ada' }).waitFor();
  for (const { page } of [ada, grace, olga]) await page.context().close();
});

testBeside('a copy of what is one’s own is downloaded', async (t) => {
  if (!(await needs(t, 'export'))) return;
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  const { page } = ada;
  await startChat(page, grace);
  await send(page, 'to be exported');
  await page.locator('.message:not(.is-pending)').waitFor();
  await page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await page.getByRole('tab', { name: 'Your data' }).click();
  await assertAccessible(page);
  await shot(page, 'own-data');
  const downloading = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  const download = await downloading;
  assert.match(download.suggestedFilename(), /\.tar$/);
  // Only what is looked for: an archive is long, and mostly zeros.
  const archive = await readFile(await download.path());
  for (const part of ['to be exported', 'complete.json']) assert.ok(archive.includes(part), `${part} is not in it`);
  await close(ada, grace);
});

testBeside('an account is deleted with a code of its own, and nothing of it stays on the device', async (t) => {
  if (!(await needs(t, 'accountDeletion'))) return;
  const [ada, grace] = await bothTalk('soon gone');
  const { page } = ada;
  await page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await page.getByRole('tab', { name: 'Your data' }).click();
  const code = await watchFor(ada.email);
  await page.getByRole('button', { name: 'Delete my account …' }).click();
  await page.getByLabel('Code from the mail').waitFor();
  await page.getByLabel('Code from the mail').fill(await code());
  await assertAccessible(page);
  await shot(page, 'deletion');
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await page.getByLabel('Mail address').waitFor();
  await eventually(async () => {
    const names = await page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name));
    assert.deepEqual(names, []);
  });
  assert.equal(await page.evaluate(() => localStorage.getItem('talksy.session')), null);
  await shows(grace.page, 'Message deleted');
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('without these features the page asks for none of them', async (t) => {
  const ada = await signIn('Ada');
  const { page } = ada;
  const me = await ask(page, '{ me { id } server { features } }');
  if (me.server.features.includes('search')) {
    t.skip('the server has them');
    return page.context().close();
  }
  await page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await page.getByRole('tab', { name: 'Devices' }).waitFor();
  assert.equal(await page.getByRole('tab').count(), 2);
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByLabel('Search chats and people').fill('anything');
  await page.getByText('Nobody is found by this.').waitFor();
  assert.equal(await page.getByRole('heading', { name: 'Messages' }).count(), 0);
  await close(ada);
});
