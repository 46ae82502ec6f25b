// The web chat in browsers: two people chat, the network goes in the middle of what they send, a group, a
// phone, the dark, and what axe says of it. $CHAT_WEB is the built example.
import assert from 'node:assert/strict';

import { assertFits } from './browser.mjs';
import { eventually, restoreServer, startServer, stopServer } from './chat.mjs';
import {
  DESK,
  PHONE,
  ask,
  assertAccessible,
  bothTalk,
  chatOf,
  enter,
  isStill,
  row,
  send,
  shot,
  shows,
  runTests,
  say,
  signIn,
  signInByHand,
  startChat,
  testAlone,
  testBeside,
  textsIn,
  topsIn,
} from './web.mjs';

/** The keyboard goes on in the list of messages. */
const isInList = (page) =>
  eventually(async () =>
    assert.ok(await page.getByRole('log', { name: 'Messages' }).evaluate((list) => list === document.activeElement)),
  );

testBeside('two people chat: typing, ticks, edits, replies, reactions and deletions', async () => {
  const ada = await signInByHand('Ada');
  const grace = await signInByHand('Grace');
  await startChat(ada.page, grace);
  await send(ada.page, 'Hello Grace, see https://example.org/a?b=1.');
  await shows(ada.page, 'Hello Grace');
  await grace.page.locator('.chat-row', { hasText: 'Ada' }).locator('.badge').waitFor();
  await shot(grace.page, 'unread');
  await grace.page.locator('.chat-row', { hasText: 'Ada' }).click();
  await shows(grace.page, 'Hello Grace');
  await ada.page.locator('.tick.is-read').waitFor();

  const link = grace.page.locator('.text a');
  assert.equal(await link.getAttribute('href'), 'https://example.org/a?b=1');
  assert.match(await link.getAttribute('rel'), /\bnoopener\b/);

  await grace.page.getByLabel('Message', { exact: true }).pressSequentially('Hi');
  await ada.page.getByText('typing …').waitFor();
  // Shift and Enter make a line, as Enter does on a phone.
  const written = grace.page.getByLabel('Message', { exact: true });
  assert.equal(await written.getAttribute('enterkeyhint'), 'send');
  await written.press('Shift+Enter');
  assert.equal(await written.inputValue(), 'Hi\n');
  await written.press('Backspace');
  // Enter that takes over what an input method offers sends nothing.
  for (const composing of [{ isComposing: true }, { keyCode: 229 }]) {
    await grace.page.getByLabel('Message', { exact: true }).dispatchEvent('keydown', { key: 'Enter', ...composing });
    assert.equal(await grace.page.getByLabel('Message', { exact: true }).inputValue(), 'Hi');
  }
  await send(grace.page, 'Hi Ada! <b>not bold</b>');
  await shows(ada.page, '<b>not bold</b>');
  await row(ada.page, 'not bold').hover();
  await row(ada.page, 'not bold').getByRole('button', { name: 'Reply' }).click();
  await send(ada.page, 'A reply');
  await grace.page.locator('.quote', { hasText: 'not bold' }).waitFor();

  await row(grace.page, 'A reply').last().hover();
  await row(grace.page, 'A reply').last().getByRole('button', { name: 'React' }).click();
  await grace.page.getByRole('button', { name: '🎉' }).click();
  await ada.page.locator('.reaction', { hasText: '🎉' }).waitFor();

  await ada.page.getByLabel('Message', { exact: true }).press('ArrowUp');
  await ada.page.getByLabel('Message', { exact: true }).fill('An edited reply');
  await ada.page.keyboard.press('Enter');
  await shows(grace.page, 'An edited reply');
  await send(ada.page, 'To be deleted');
  await shows(grace.page, 'To be deleted');
  // It is asked first, and Enter alone deletes nothing.
  const more = row(ada.page, 'To be deleted').getByRole('button', { name: 'More' });
  const question = ada.page.getByRole('dialog', { name: 'Delete this message?' });
  for (const key of ['Enter', 'Escape']) {
    await more.press('Enter');
    await ada.page.getByRole('menuitem', { name: 'Delete' }).press('Enter');
    await question.getByText('To be deleted').waitFor();
    await assertAccessible(ada.page);
    await ada.page.keyboard.press(key);
    await question.waitFor({ state: 'detached' });
    await eventually(async () => assert.ok(await more.evaluate((button) => button === document.activeElement)));
  }
  assert.deepEqual((await textsIn(grace.page)).at(-1), 'To be deleted');
  await more.press('Enter');
  await ada.page.getByRole('menuitem', { name: 'Delete' }).press('Enter');
  await question.getByRole('button', { name: 'Delete' }).press('Enter');
  await shows(grace.page, 'Message deleted');
  await isInList(ada.page);
  await grace.page.getByRole('button', { name: 'Chat menu' }).click();
  await grace.page.getByRole('menuitem', { name: 'Mute' }).click();
  await grace.page.locator('.chat-row .mark').waitFor();
  await shot(ada.page, 'chat-light');
  for (const { page } of [ada, grace]) await assertAccessible(page);
  await ada.page.emulateMedia({ colorScheme: 'dark' });
  await assertAccessible(ada.page);
  await shot(ada.page, 'chat-dark');
  await ada.page.setViewportSize(PHONE.viewport);
  await assertFits(ada.page);
  await shot(ada.page, 'chat-phone-dark');
  await ada.page.emulateMedia({ colorScheme: 'light' });
  await shot(ada.page, 'chat-phone');
  await ada.page.getByRole('button', { name: 'Back to the chats' }).click();
  await ada.page.locator('.chat-row').waitFor();
  await assertFits(ada.page);
  await shot(ada.page, 'sidebar-phone');
  for (const { page, problems } of [ada, grace]) {
    assert.deepEqual(problems, []);
    await page.context().close();
  }
});

/** Notes what moves in a page without anybody having touched it, and how much. */
function watchMoves() {
  globalThis.moved = [];
  const told = ({ node, previousRect, currentRect }) => {
    const [from, to] = [previousRect, currentRect].map(({ x, y, width, height }) => [x, y, width, height].map(Math.round));
    return `${node?.outerHTML?.slice(0, 120) ?? node?.textContent} from ${from} to ${to}`;
  };
  // A message that comes moves those above it, which is no more than scrolling.
  const isMessage = ({ currentRect: { left, top, right, bottom } }) => {
    const list = document.querySelector('.messages')?.getBoundingClientRect();
    return list && left >= list.left && top >= list.top && right <= list.right && bottom <= list.bottom;
  };
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput, sources } of list.getEntries()) {
      if (!hadRecentInput && !sources.every(isMessage)) globalThis.moved.push({ value, what: sources.map(told) });
    }
  }).observe({ type: 'layout-shift', buffered: true });
}

testBeside('nothing moves by itself, from signing in to a cut and back', async () => {
  const ada = await signInByHand('Ada', { ...DESK, script: watchMoves });
  const grace = await signInByHand('Grace', { ...PHONE, script: watchMoves });
  await startChat(ada.page, grace);
  await send(ada.page, 'Hello Grace');
  await grace.page.locator('.chat-row', { hasText: 'Hello Grace' }).tap();
  await shows(grace.page, 'Hello Grace');
  for (const [{ page }, other] of [
    [ada, grace],
    [grace, ada],
  ]) {
    const places = async () => [await page.locator('.composer').boundingBox(), Object.fromEntries(await topsIn(page))];
    await isStill(page.locator('.scroller'));
    const before = await places();
    await page.context().setOffline(true);
    await page.getByText('You are offline').waitFor();
    assert.deepEqual(await places(), before);
    await assertFits(page);
    await assertAccessible(page);
    await shot(page, `offline-${page.viewportSize().width}`);
    await send(page, 'said meanwhile');
    await page.locator('.is-pending').waitFor();
    await page.context().setOffline(false);
    await page.getByText('You are offline').waitFor({ state: 'detached' });
    await shows(other.page, 'said meanwhile');
    await page.locator('.is-pending').waitFor({ state: 'detached' });
  }
  for (const { page } of [ada, grace]) {
    const moved = await page.evaluate(() => globalThis.moved);
    const sum = moved.reduce((sum, { value }) => sum + value, 0);
    assert.ok(sum < 0.01, `${sum}: ${JSON.stringify(moved, null, 2)}`);
    await page.context().close();
  }
});

testBeside('the network is cut in the middle of what they send, and a reload loses and doubles nothing', async () => {
  const [ada, grace] = await bothTalk();
  const wanted = ['first'];
  for (let at = 0; at < 12; at += 1) {
    if (at === 4) await ada.page.context().setOffline(true);
    await send(ada.page, `mine ${at}`);
    wanted.push(`mine ${at}`);
  }
  await ada.page.getByText('You are offline').waitFor();
  // What is replied to is shown while it waits, too.
  await row(ada.page, 'first').hover();
  await row(ada.page, 'first').getByRole('button', { name: 'Reply' }).click();
  await send(ada.page, 'a reply');
  wanted.push('a reply');
  await ada.page.locator('.is-pending .quote', { hasText: 'first' }).waitFor();
  const waits = ada.page.locator('.chat-row', { hasText: 'You: a reply' });
  await waits.getByTitle('Waiting to be sent').waitFor();
  await eventually(async () => assert.deepEqual(await textsIn(ada.page), wanted));
  await shot(ada.page, 'offline');
  // The page itself comes from the network; the queue does not.
  await ada.page.context().setOffline(false);
  await ada.page.reload();
  await eventually(async () => assert.deepEqual(await textsIn(grace.page), wanted));
  await eventually(async () => assert.deepEqual(await textsIn(ada.page), wanted));
  await eventually(async () => assert.equal(await ada.page.locator('.is-pending').count(), 0));
  await eventually(async () => assert.equal(await waits.getByTitle('Waiting to be sent').count(), 0));

  // Who signs out is asked where something waits; without a network it is done at once, and what is not known is said.
  const { page } = ada;
  const account = async () => {
    await page.getByRole('button', { name: 'Your profile, Ada' }).click();
    await page.getByLabel('Name').waitFor();
  };
  const signOut = page.getByRole('button', { name: 'Sign out' });
  const question = page.getByRole('dialog', { name: 'Sign out?' });
  await account();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.context().setOffline(true);
  await page.getByText('You are offline').waitFor();
  await page.getByLabel('Message', { exact: true }).press('ArrowUp');
  await send(page, 'another reply');
  await send(page, 'never sent');
  await page.locator('.is-pending').waitFor();
  await account();
  await signOut.click();
  await question.getByText('1 message and 1 change of a message are not sent yet.').waitFor();
  await assertAccessible(page);
  await question.getByRole('button', { name: 'Stay signed in' }).click();
  await question.waitFor({ state: 'detached' });
  await signOut.click();
  await question.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Mail address').waitFor();
  const untold = page.getByText('the server may not know it');
  await untold.waitFor();
  await page.context().setOffline(false);
  await enter(page, ada.email);
  await eventually(async () => assert.deepEqual(await textsIn(page), wanted));
  await account();
  await page.getByRole('tab', { name: 'Devices' }).click();
  await eventually(async () => assert.equal(await page.locator('.members li').count(), 2));
  await page.getByRole('tab', { name: 'Profile' }).click();
  await signOut.click();
  await page.getByLabel('Mail address').waitFor();
  assert.equal(await untold.count(), 0);
  assert.deepEqual(await textsIn(grace.page), wanted);
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('a part of the page that cannot be loaded is missed alone, and comes with the network or by another try', async () => {
  const [ada, grace] = await bothTalk();
  const { page } = grace;
  const missing = page.getByText('This part of the page could not be loaded.');
  const updated = page.getByText('The server was updated.');
  await page.getByLabel('Message', { exact: true }).fill('being written');
  await page.context().setOffline(true);
  await page.getByText('You are offline').waitFor();
  await page.getByRole('button', { name: 'Your profile, Grace' }).click();
  await missing.waitFor();
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Try again' }).click();
  await missing.waitFor();
  await page.context().setOffline(false);
  await page.getByLabel('Name').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByText('You are offline').waitFor({ state: 'detached' });
  assert.equal(await updated.count(), 0);
  assert.equal(await page.getByLabel('Message', { exact: true }).inputValue(), 'being written');

  // As behind an update of the server, which has other files.
  await page.route('**/assets/report-*.js', (route) => route.abort());
  await row(page, 'first').hover();
  await row(page, 'first').getByRole('button', { name: 'More' }).click();
  await page.getByRole('menuitem', { name: 'Report' }).click();
  await missing.waitFor();
  await updated.waitFor();
  await page.unroute('**/assets/report-*.js');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByLabel('What is wrong with it?').waitFor();
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('what cannot be drawn is missed alone, and comes by another try', async () => {
  const [ada, grace] = await bothTalk();
  const { page } = grace;
  const again = page.getByRole('button', { name: 'Try again' });
  const composer = page.getByLabel('Message', { exact: true });
  await composer.fill('being written');
  await send(ada.page, 'second');
  await shows(page, 'second');

  // A message.
  const at = Date.parse(await row(page, 'first').locator('.meta time').getAttribute('datetime'));
  await page.evaluate((at) => {
    const { prototype } = Intl.DateTimeFormat;
    const { get } = Object.getOwnPropertyDescriptor(prototype, 'format');
    globalThis.mend = () => Object.defineProperty(prototype, 'format', { get, configurable: true });
    const broken = (format) => (date) => {
      if (Number(date) === at) throw new Error('This cannot be drawn.');
      return format(date);
    };
    Object.defineProperty(prototype, 'format', { get() { return broken(get.call(this)); }, configurable: true });
  }, at);
  await row(ada.page, 'first').hover();
  await row(ada.page, 'first').getByRole('button', { name: 'React' }).click();
  await ada.page.getByRole('button', { name: '🎉' }).click();
  const message = page.getByText('This message cannot be shown.');
  await message.waitFor();
  await assertAccessible(page);
  await shot(page, 'failed-message');
  await again.click();
  await message.waitFor();
  assert.deepEqual(await textsIn(page), ['second']);
  await send(ada.page, 'third');
  await shows(page, 'third');
  await page.evaluate(() => globalThis.mend());
  await again.click();
  await shows(page, 'first');

  // The open chat.
  await page.evaluate(() => {
    const { findLast } = Array.prototype;
    globalThis.mend = () => (Array.prototype.findLast = findLast);
    Array.prototype.findLast = () => {
      throw new Error('This cannot be drawn.');
    };
  });
  await send(ada.page, 'fourth');
  await page.getByText('This chat cannot be shown.').waitFor();
  await page.locator('.chat-row', { hasText: 'fourth' }).waitFor();
  await assertAccessible(page);
  await shot(page, 'failed-chat');
  await page.evaluate(() => globalThis.mend());
  await again.click();
  await shows(page, 'fourth');
  assert.equal(await composer.inputValue(), 'being written');

  // What a dialog has.
  await page.route('**/graphql', async (route) => {
    if (!/query Sessions\b/.test(route.request().postData() ?? '')) return route.continue();
    const response = await route.fetch();
    const json = await response.json();
    json.data.sessions.nodes = [null];
    return route.fulfill({ response, json });
  });
  const part = page.getByRole('dialog').getByText('This part of the page cannot be shown.');
  await page.getByRole('button', { name: 'Your profile, Grace' }).click();
  await page.getByRole('tab', { name: 'Devices' }).click();
  await part.waitFor();
  await page.unroute('**/graphql');
  await again.click();
  await page.getByRole('tab', { name: 'Devices' }).click();
  await page.getByText('this device').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();

  // All of it.
  await page.evaluate(() =>
    Object.defineProperty(document, 'title', {
      get: () => 'Talksy',
      set() {
        throw new Error('This cannot be drawn.');
      },
    }),
  );
  await page.evaluate(() => (location.hash = '#/'));
  await page.getByText('The page cannot be shown.').waitFor();
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Reload the page' }).click();
  await page.locator('.chat-row').click();
  await shows(page, 'fourth');
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('what is said is told to who does not see it, also where the clock of the device is ahead', async () => {
  const ahead = () => {
    const { now } = Date;
    Date.now = () => now() + 3_600_000;
  };
  const ada = await signIn('Ada');
  const grace = await signIn('Grace', { ...DESK, script: ahead });
  await startChat(ada.page, grace);
  await send(ada.page, 'first');
  await grace.page.locator('.chat-row', { hasText: 'first' }).click();
  await shows(grace.page, 'first');
  const heard = grace.page.locator('.messages > [aria-live=polite]');
  assert.equal(await heard.textContent(), '');
  await send(ada.page, 'second');
  await heard.getByText('Ada: second').waitFor({ state: 'attached' });
  // One's own is not.
  await send(grace.page, 'third');
  await shows(ada.page, 'third');
  await eventually(async () => assert.equal(await heard.textContent(), ''));
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('two tabs of one browser show the same', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  await startChat(ada.page, grace);
  const tab = await ada.page.context().newPage();
  await tab.goto(ada.page.url());
  await tab.getByLabel('Message', { exact: true }).waitFor();
  await send(ada.page, 'from the first');
  await shows(tab, 'from the first');
  await send(tab, 'from the second');
  await shows(ada.page, 'from the second');
  // The tab that follows the account goes; the other one takes over.
  await ada.page.close();
  await send(tab, 'alone');
  await grace.page.locator('.chat-row').click();
  await eventually(async () =>
    assert.deepEqual(await textsIn(grace.page), ['from the first', 'from the second', 'alone']),
  );
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('a long chat draws what is seen alone, and loads upward without a jump', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  await startChat(ada.page, grace);
  const most = 160;
  await send(ada.page, 'message 1');
  await ada.page.locator('.message:not(.is-pending)').waitFor();
  for (let at = 2; at <= most; at += 1) await say(ada.page, chatOf(ada.page), `message ${at}`);
  await grace.page.locator('.chat-row', { hasText: `message ${most}` }).waitFor();
  // Where much is unread, the chat opens at the first of it, and the newest is one press away.
  await grace.page.locator('.chat-row').click();
  await grace.page.locator('.new-line').waitFor();
  await grace.page.locator('[data-seq="1"]').waitFor();
  await grace.page.locator('.to-end .badge').waitFor();
  assert.ok((await grace.page.locator('.message').count()) < 60, 'all are drawn');
  await grace.page.locator('.to-end').press('Enter');
  await grace.page.locator(`[data-seq="${most}"]`).waitFor();
  await grace.page.locator('.to-end').waitFor({ state: 'detached' });
  await isInList(grace.page);
  await grace.page.locator('.chat-row .badge').waitFor({ state: 'detached' });
  // A device that knows nothing of the chat yet.
  await grace.page.evaluate(async () => {
    for (const { name } of await indexedDB.databases()) indexedDB.deleteDatabase(name);
  });
  await grace.page.reload();
  const scroller = grace.page.locator('.scroller');
  await grace.page.locator('.message').first().waitFor();
  // The newest page is there, and the newest message at its end.
  await grace.page.locator(`[data-seq="${most - 5}"]`).waitFor();
  await isStill(scroller);
  assert.ok((await grace.page.locator('.message').count()) < 60, 'all are drawn');
  for (let turns = 0; turns < 200 && !(await grace.page.locator('[data-seq="1"]').isVisible()); turns += 1) {
    await scroller.hover();
    const before = await topsIn(grace.page);
    await grace.page.mouse.wheel(0, -400);
    await isStill(scroller);
    const now = await topsIn(grace.page);
    // What was seen moves with the wheel, and no further: also where older messages came above it.
    const [seq, top] = [...before].find(([seq]) => now.has(seq)) ?? [];
    if (seq !== undefined) {
      const moved = now.get(seq) - top;
      assert.ok(moved > -60 && moved < 460, `message ${seq} jumped by ${moved} px`);
    }
    const seqs = await grace.page.locator('.message').evaluateAll((all) => all.map(({ dataset }) => Number(dataset.seq)));
    assert.deepEqual(seqs, [...seqs].sort((one, other) => one - other));
  }
  await grace.page.locator('[data-seq="1"]').waitFor();
  assert.ok((await grace.page.locator('.message').count()) < 60, 'all are drawn');
  // Who reads above is not taken away by what comes below.
  await send(ada.page, 'below');
  await grace.page.locator('.to-end .badge').waitFor();
  assert.ok(await grace.page.locator('[data-seq="1"]').isVisible());
  await grace.page.locator('.to-end').press('Enter');
  await shows(grace.page, 'below');
  await isInList(grace.page);
  for (const { page } of [ada, grace]) await page.context().close();
});

/** On a phone the arrow and the system's Back lead from the open chat to the chats, and Back from there opens none. */
async function goesBack(page, entry) {
  const arrow = page.getByRole('button', { name: 'Back to the chats' });
  const leave = async (act) => {
    await arrow.waitFor();
    await act();
    await entry.waitFor();
    await arrow.waitFor({ state: 'detached' });
  };
  await leave(() => arrow.tap());
  const length = await page.evaluate(() => history.length);
  for (const act of [() => arrow.tap(), () => page.goBack()]) {
    for (const come of [() => entry.tap(), () => page.goForward(), () => page.goForward().then(() => page.reload())]) {
      await come();
      await leave(act);
      assert.doesNotMatch(page.url(), /chat/);
      assert.equal(await page.evaluate(() => history.length), length);
    }
  }
  await page.goForward();
  await arrow.waitFor();
  const link = page.url();
  // By a link, behind another page.
  for (const act of [() => arrow.tap(), () => page.goBack()]) {
    await page.goto('about:blank');
    await page.goto(link);
    await leave(act);
    await page.goBack();
    assert.equal(page.url(), 'about:blank');
  }
  await page.goto(link);
  await arrow.waitFor();
}

testBeside('a group is made, renamed, grows and is left', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace', PHONE);
  const mary = await signIn('Mary');
  const { page } = ada;
  // Who has no chat yet, is told what to do.
  const empty = page.getByRole('heading', { name: 'No chats yet' });
  await empty.waitFor();
  await assertAccessible(page);
  // A file that is dropped where none is sent does not take the place of the page.
  for (const kind of ['dragover', 'drop']) {
    const isKept = await empty.evaluate((heading, kind) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['x'], 'x.txt', { type: 'text/plain' }));
      return !heading.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
    }, kind);
    assert.ok(isKept, kind);
  }
  await assertFits(grace.page);
  await page.getByRole('button', { name: 'Find somebody' }).click();
  assert.ok(await page.getByLabel('Search chats and people').evaluate((field) => field === document.activeElement));
  await shot(page, 'empty');
  // Who is found stands under the field, where no chat is.
  const search = page.getByLabel('Search chats and people');
  await search.fill(mary.email);
  await page.locator('.people button.row').waitFor();
  const [field, found] = [await search.boundingBox(), await page.locator('.people').boundingBox()];
  assert.ok(found.y < field.y + field.height + 20, `${found.y} px`);
  await search.fill('');
  await page.getByRole('button', { name: 'Make a group' }).click();
  await page.getByLabel('Title').fill('Engines');
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Make the group' }).click();
  await page.getByRole('button', { name: '1 member' }).click();
  await page.getByRole('button', { name: 'Add people' }).click();
  for (const [name, { email }] of Object.entries({ Grace: grace, Mary: mary })) {
    await page.getByLabel('People', { exact: true }).fill(email);
    await page.locator('.picker-list .row', { hasText: name }).click();
    await page.locator('.chip', { hasText: name }).waitFor();
  }
  await shot(page, 'add-people');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.locator('.members li', { hasText: 'Grace' }).waitFor();
  await page.getByRole('button', { name: 'What to do with Grace' }).click();
  await page.getByRole('menuitem', { name: 'Make admin' }).click();
  await page.locator('.members li', { hasText: 'admin' }).waitFor();
  await assertAccessible(page);
  await shot(page, 'group');
  await page.getByLabel('Title').fill('Difference engines');
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('button', { name: 'Close' }).click();
  const entry = grace.page.locator('.chat-row', { hasText: 'Difference engines' });
  await entry.tap();
  await goesBack(grace.page, entry);
  // What a page asked for when it was left is none.
  assert.deepEqual(grace.problems.splice(0).filter((problem) => !problem.endsWith('net::ERR_ABORTED')), []);
  await send(page, 'Look, @Grace!');
  const written = grace.page.getByLabel('Message', { exact: true });
  assert.equal(await written.getAttribute('enterkeyhint'), 'enter');
  await written.pressSequentially('One line');
  await written.press('Enter');
  await written.pressSequentially('and another');
  assert.equal(await written.inputValue(), 'One line\nand another');
  await grace.page.getByRole('button', { name: 'Send' }).tap();
  await shows(page, 'One line\nand another');
  assert.ok(await written.evaluate((field) => field === document.activeElement));
  await shows(grace.page, 'Look, @Grace!');
  await grace.page.locator('.is-mention').waitFor();
  await assertFits(grace.page);
  await assertAccessible(grace.page);
  await shot(grace.page, 'group-phone');
  // The third one is not mentioned; all have read it when she has.
  await mary.page.locator('.chat-row', { hasText: 'Difference engines' }).click();
  await shows(mary.page, 'Look, @Grace!');
  assert.equal(await mary.page.locator('.is-mention').count(), 0);
  await page.locator('.tick.is-read').waitFor();
  await send(mary.page, 'I see it');
  for (const one of [page, grace.page]) await shows(one, 'I see it');
  // Who manages the group deletes what others said.
  await row(page, 'I see it').getByRole('button', { name: 'More' }).press('Enter');
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByText('Mary: I see it').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  for (const one of [page, grace.page, mary.page]) await shows(one, 'Message deleted');
  // What is being written there goes with the group.
  await grace.page.getByLabel('Message', { exact: true }).fill('never sent');
  const notes = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('Never sent.') };
  await grace.page.locator('.composer input[type=file]').setInputFiles(notes);
  await grace.page.locator('.chosen .file').waitFor();
  const kept = () =>
    grace.page.evaluate(async () => {
      const [{ name }] = await indexedDB.databases();
      const count = await new Promise((resolve, reject) => {
        const opening = indexedDB.open(name);
        opening.onerror = reject;
        opening.onsuccess = () => {
          const counting = opening.result.transaction('files').objectStore('files').count();
          counting.onsuccess = () => resolve(counting.result);
          opening.result.close();
        };
      });
      return [count, ...Object.values(localStorage).filter((text) => text === 'never sent')];
    });
  assert.deepEqual(await kept(), [1, 'never sent']);
  await grace.page.getByRole('button', { name: '3 members' }).tap();
  await grace.page.getByRole('button', { name: 'Leave the group' }).tap();
  await grace.page.getByRole('button', { name: 'Really leave?' }).tap();
  await grace.page.locator('.chat-row').waitFor({ state: 'detached' });
  await eventually(async () => assert.deepEqual(await kept(), [0]));
  // Marks around the name keep its direction to itself.
  for (const one of [page, mary.page]) await one.getByText(/Grace\u2069 left/).first().waitFor();
  // Who is removed from a group that is open on a phone sees the chats again.
  const variables = { chatId: chatOf(page), userId: (await ask(grace.page, '{ me { id } }')).me.id };
  await ask(
    page,
    'mutation Add($chatId: ID!, $userId: ID!) { addMembers(input: { chatId: $chatId, userIds: [$userId] }) { chat { id } } }',
    variables,
  );
  await grace.page.locator('.chat-row', { hasText: 'Difference engines' }).tap();
  await grace.page.getByLabel('Message', { exact: true }).waitFor();
  await ask(
    page,
    'mutation Remove($chatId: ID!, $userId: ID!) { removeMember(input: { chatId: $chatId, userId: $userId }) { chat { id } } }',
    variables,
  );
  await grace.page.getByLabel('Search chats and people').waitFor();
  assert.equal(await grace.page.locator('.chat-row').count(), 0);
  for (const { page, problems } of [ada, grace, mary]) {
    assert.deepEqual(problems, []);
    await page.context().close();
  }
});

testBeside('names and titles without a space stay within what they stand in', async () => {
  const name = 'W'.repeat(55);
  const ada = await signIn('Ada', PHONE);
  const other = await signIn(name, PHONE);
  const { page } = ada;
  const fits = async () => {
    const wide = await page.evaluate(() =>
      [...document.querySelectorAll('.bubble, .chat-head, .chip, .composer, .dialog, .mentions, .notice, .row, .sidebar')]
        .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
        .map(({ className, scrollWidth, clientWidth }) => `${className}: ${scrollWidth} px in ${clientWidth}`),
    );
    assert.deepEqual(wide, []);
    await assertFits(page);
  };
  await page.getByRole('button', { name: 'New group' }).tap();
  await page.getByLabel('Title').fill('M'.repeat(100));
  await page.getByLabel('People', { exact: true }).fill(other.email);
  await page.locator('.picker-list .row').tap();
  await page.locator('.chip').waitFor();
  const { width, height } = await page.locator('.picker-list .box').boundingBox();
  assert.equal(width, height);
  await fits();
  await page.getByRole('button', { name: 'Make the group' }).tap();
  await page.locator('.notice').waitFor();
  await other.page.locator('.chat-row').tap();
  await send(other.page, 'short');
  await shows(page, 'short');
  await fits();
  await row(page, 'short').tap();
  await row(page, 'short').getByRole('button', { name: 'Reply' }).tap();
  await page.getByLabel('Message', { exact: true }).pressSequentially('@w');
  await page.getByRole('option').waitFor();
  await fits();
  await shot(page, 'long-names');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: '2 members' }).tap();
  await page.locator('.members li', { hasText: name }).waitFor();
  await fits();
  for (const { page } of [ada, other]) await page.context().close();
});

testBeside('tokens are renewed over the socket, which stays open, and an expired session keeps what was typed', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  const { page } = ada;
  await startChat(page, grace);
  const kept = () => page.evaluate(() => JSON.parse(localStorage.getItem('talksy.session')));
  const before = await kept();
  // The page takes the token for one that ends in a few seconds.
  const sockets = [];
  let renewals = 0;
  page.on('websocket', (socket) => {
    if (!socket.url().endsWith('/graphql')) return;
    sockets.push(socket);
    socket.on('framesent', ({ payload }) => (renewals += /RefreshSession/.test(payload) ? 1 : 0));
  });
  await page.evaluate((session) => {
    const soon = { ...session, lasts: 4_000, expiresAt: Date.now() + 6_000 };
    localStorage.setItem('talksy.session', JSON.stringify(soon));
  }, before);
  await page.reload();
  await eventually(async () => assert.notEqual((await kept()).accessToken, before.accessToken));
  await send(page, 'with a new token');
  await grace.page.locator('.chat-row', { hasText: 'with a new token' }).waitFor();
  assert.equal(renewals, 1);
  assert.equal(sockets.length, 1);
  assert.equal(sockets[0].isClosed(), false);

  const area = page.getByLabel('Message', { exact: true });
  await area.press('ArrowUp');
  await area.fill('typed into an edit');
  await area.press('Escape');
  await area.fill('typed and not sent');
  const reply = async (text) => {
    await row(page, text).hover();
    await row(page, text).getByRole('button', { name: 'Reply' }).click();
  };
  const repliesTo = page.locator('.composer .draft', { hasText: 'Reply to' });
  await reply('with a new token');
  await repliesTo.waitFor();
  await row(page, 'with a new token').hover();
  await row(page, 'with a new token').getByRole('button', { name: 'More' }).click();
  await page.getByRole('menuitem', { name: 'Edit' }).click();
  await area.fill('typed into another edit');
  await page.evaluate(() => {
    const session = JSON.parse(localStorage.getItem('talksy.session'));
    localStorage.setItem('talksy.session', JSON.stringify({ ...session, accessToken: 'x', refreshToken: 'x', expiresAt: 0 }));
  });
  await page.reload();
  await page.getByLabel('Mail address').waitFor();
  assert.equal(await kept(), null);
  await enter(page, ada.email);
  await eventually(async () => assert.equal(await area.inputValue(), 'typed into another edit'));
  await area.press('Enter');
  await grace.page.locator('.chat-row', { hasText: 'typed into another edit' }).waitFor();
  // What was written ahead of the edit goes on, and to which message.
  assert.equal(await area.inputValue(), 'typed and not sent');
  await page.reload();
  await repliesTo.getByText('typed into another edit').waitFor();
  await area.press('Enter');
  await repliesTo.waitFor({ state: 'detached' });
  await grace.page.locator('.chat-row').click();
  await row(grace.page, 'typed and not sent').locator('.quote', { hasText: 'typed into another edit' }).waitFor();
  // Another edit is left for a reply: its text does not go there.
  await area.press('ArrowUp');
  await area.fill('typed into an edit that is left');
  await send(grace.page, 'soon gone');
  await shows(page, 'soon gone');
  await reply('soon gone');
  await eventually(async () => assert.equal(await area.inputValue(), ''));
  await area.fill('no reply any more');
  // It is deleted while the page is away.
  const address = page.url();
  await page.goto('about:blank');
  const { chat } = await ask(grace.page, 'query Last($id: ID!) { chat(id: $id) { lastMessage { id } } }', {
    id: chatOf(grace.page),
  });
  await ask(grace.page, 'mutation Delete($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }', {
    id: chat.lastMessage.id,
  });
  await page.goto(address);
  await row(page, 'Message deleted').waitFor();
  await repliesTo.waitFor({ state: 'detached' });
  await area.press('Enter');
  await shows(grace.page, 'no reply any more');
  assert.equal(await row(grace.page, 'no reply any more').locator('.quote').count(), 0);
  for (const { page } of [ada, grace]) await page.context().close();
});

testAlone('the server is stopped, killed and restored under the page: nothing is lost, nothing is doubled', async () => {
  const [ada, grace] = await bothTalk();
  const wanted = ['first'];
  const bothShow = () =>
    eventually(async () => {
      for (const { page } of [ada, grace]) assert.deepEqual(await textsIn(page), wanted);
    });
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    await stopServer(signal);
    await send(ada.page, `sent behind ${signal}`);
    wanted.push(`sent behind ${signal}`);
    await eventually(async () => assert.deepEqual(await textsIn(ada.page), wanted));
    await ada.page.getByText('You are offline').waitFor();
    await startServer();
    await bothShow();
    await ada.page.getByText('You are offline').waitFor({ state: 'detached' });
  }
  await stopServer('SIGTERM');
  await restoreServer();
  await send(grace.page, 'sent behind a restore');
  wanted.push('sent behind a restore');
  await startServer();
  await bothShow();
  for (const { page } of [ada, grace]) await page.context().close();
});

// In one process: they share the browser, and the server that they stop.
await import('./web-more.mjs');
await import('./web-own.mjs');
await import('./web-load.mjs');
runTests();
