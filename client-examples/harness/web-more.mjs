// What the web chat has besides its messages: images and files, pins and jumps, mentions, pictures, devices;
// and what a cut in the middle of everything leaves. `web.test.mjs` runs it.
import assert from 'node:assert/strict';

import { assertFits } from './browser.mjs';
import { eventually, startServer, stopServer } from './chat.mjs';
import {
  PHONE,
  ask,
  assertAccessible,
  bothTalk,
  chatOf,
  enter,
  isStill,
  say,
  send,
  shot,
  shows,
  signIn,
  signInAgain,
  startChat,
  testAlone,
  testBeside,
  textsIn,
  topsIn,
} from './web.mjs';

/** A picture with a pattern, as a file that Playwright puts into the page. */
async function picture(page, name, width, height, hue) {
  const bytes = await page.evaluate(
    async ([width, height, hue]) => {
      const canvas = document.createElement('canvas');
      Object.assign(canvas, { width, height });
      const context = canvas.getContext('2d');
      const fill = context.createLinearGradient(0, 0, width, height);
      fill.addColorStop(0, `hsl(${hue} 70% 60%)`);
      fill.addColorStop(1, `hsl(${hue + 70} 70% 30%)`);
      context.fillStyle = fill;
      context.fillRect(0, 0, width, height);
      context.fillStyle = '#fff';
      context.beginPath();
      context.arc(width / 2, height / 2, Math.min(width, height) / 4, 0, 7);
      context.fill();
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.9));
      return [...new Uint8Array(await blob.arrayBuffer())];
    },
    [width, height, hue],
  );
  return { name, mimeType: 'image/jpeg', buffer: Buffer.from(bytes) };
}

/** Pastes or drops a file, as somebody does who has it elsewhere. */
const give = (page, how, { name, mimeType, buffer }) =>
  page.evaluate(
    ([how, name, type, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], name, { type }));
      const area = document.querySelector('textarea');
      if (how === 'paste') {
        area.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        return;
      }
      for (const kind of ['dragenter', 'dragover', 'drop']) {
        area.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
      }
    },
    [how, name, mimeType, [...buffer]],
  );

const attach = (page, ...files) => page.locator('.composer input[type=file]').setInputFiles(files);
const isLoaded = (image) => image.evaluate((element) => element.complete && element.naturalWidth > 0);

testBeside('images and files are attached, pasted and dropped, keep their place, and are looked at', async () => {
  const [ada, grace] = await bothTalk();

  // The image comes late: its place is there, and nothing moves when it comes.
  let release;
  const isLate = new Promise((resolve) => (release = resolve));
  await grace.page.route('**/attachments/**', async (route) => {
    await isLate;
    await route.continue();
  });
  await attach(ada.page, await picture(ada.page, 'tower.jpg', 1600, 1200, 200));
  await ada.page.locator('.chosen img').waitFor();
  await assertAccessible(ada.page);
  await ada.page.getByLabel('Message', { exact: true }).fill('The tower');
  await shot(ada.page, 'attach');
  await ada.page.keyboard.press('Enter');
  const image = grace.page.locator('.image').first();
  await image.waitFor();
  await shows(grace.page, 'The tower');
  await isStill(grace.page.locator('.scroller'));
  const before = await image.boundingBox();
  assert.ok(Math.abs(before.width / before.height - 4 / 3) < 0.02, JSON.stringify(before));
  release();
  await eventually(async () => assert.ok(await isLoaded(image.locator('img'))));
  assert.deepEqual(await image.boundingBox(), before);
  await grace.page.locator('.chat-row', { hasText: 'Photo' }).waitFor();

  await give(ada.page, 'paste', await picture(ada.page, 'image.png', 300, 500, 20));
  await ada.page.locator('.chosen img').waitFor();
  await give(ada.page, 'drop', await picture(ada.page, 'wide.jpg', 900, 300, 120));
  await eventually(async () => assert.equal(await ada.page.locator('.chosen img').count(), 2));
  await ada.page.getByRole('button', { name: 'Send' }).click();
  await grace.page.locator('.images.is-many .image').nth(1).waitFor();

  // A name that turns its direction shows its ending where it is.
  const text = Buffer.from('A few words.\n'.repeat(50));
  await attach(ada.page, { name: 'notes\u202egpj.txt', mimeType: 'text/plain', buffer: text });
  await ada.page.locator('.chosen .file').waitFor();
  await ada.page.getByRole('button', { name: 'Send' }).click();
  const file = grace.page.locator('a.file');
  await file.waitFor();
  assert.match(await file.innerText(), /notesgpj\.txt\s+650 bytes/);
  const downloading = grace.page.waitForEvent('download');
  await file.click();
  const download = await downloading;
  assert.equal(download.suggestedFilename(), 'notesgpj.txt');

  await eventually(async () => {
    for (const one of await grace.page.locator('.image img').all()) assert.ok(await isLoaded(one));
  });
  await eventually(async () => assert.equal(await ada.page.locator('.is-pending').count(), 0));
  await isStill(grace.page.locator('.scroller'));
  await shot(grace.page, 'images');
  await assertAccessible(grace.page);

  // The viewer: from image to image by the keyboard, the original size, and back.
  await image.click();
  const viewer = grace.page.getByRole('dialog', { name: 'Image 1 of 3' });
  await viewer.waitFor();
  await eventually(async () => assert.ok(await isLoaded(grace.page.locator('.stage img').last())));
  await assertAccessible(grace.page);
  await shot(grace.page, 'viewer');
  const fitted = await grace.page.locator('.stage img').last().boundingBox();
  await grace.page.keyboard.press('Enter');
  await grace.page.locator('.stage.is-zoomed').waitFor();
  const zoomed = await grace.page.locator('.stage img').last().boundingBox();
  assert.equal(Math.round(zoomed.width), 1600);
  assert.ok(fitted.width < 1281);
  await grace.page.keyboard.press('Enter');
  await grace.page.keyboard.press('ArrowRight');
  await grace.page.getByRole('dialog', { name: 'Image 2 of 3' }).waitFor();
  await grace.page.keyboard.press('ArrowRight');
  await grace.page.keyboard.press('ArrowRight');
  await grace.page.getByRole('dialog', { name: 'Image 3 of 3' }).waitFor();
  await grace.page.keyboard.press('Escape');
  await grace.page.getByRole('dialog').waitFor({ state: 'detached' });

  await grace.page.setViewportSize(PHONE.viewport);
  await assertFits(grace.page);
  await grace.page.emulateMedia({ colorScheme: 'dark' });
  await assertAccessible(grace.page);
  await shot(grace.page, 'images-phone-dark');
  for (const { page, problems } of [ada, grace]) {
    assert.deepEqual(problems, []);
    await page.context().close();
  }
});

testBeside('what is attached without a network goes out behind it, once, through lost answers and a reload', async () => {
  const [ada, grace] = await bothTalk();
  const { page } = ada;

  await page.context().setOffline(true);
  await page.getByText('You are offline').waitFor();
  await attach(page, await picture(page, 'away.jpg', 640, 480, 300));
  await page.locator('.chosen img').waitFor();
  await page.getByLabel('Message', { exact: true }).fill('from away');
  await page.keyboard.press('Enter');
  await send(page, 'behind it');
  await page.locator('.is-pending .image img').waitFor();
  await shot(page, 'offline-image');
  // The server has the bytes, and its answer is lost; then the page is loaded anew.
  let lost = 0;
  await page.route('**/uploads/**', async (route) => {
    if (lost > 0) return route.continue();
    lost += 1;
    await route.fetch();
    await route.abort();
  });
  await page.context().setOffline(false);
  await eventually(async () => assert.equal(lost, 1));
  await page.reload();
  await eventually(async () => assert.deepEqual(await textsIn(grace.page), ['first', 'from away', 'behind it']));
  await grace.page.locator('.image').waitFor();
  await eventually(async () => assert.equal(await page.locator('.is-pending').count(), 0));
  assert.equal(await grace.page.locator('.image').count(), 1);
  assert.equal(await page.locator('.image').count(), 1);

  // One that is taken back while it goes up is not sent.
  await page.unroute('**/uploads/**');
  await page.route('**/uploads/**', () => {});
  await attach(page, await picture(page, 'never.jpg', 640, 480, 10));
  await page.locator('.chosen img').waitFor();
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByRole('progressbar').waitFor();
  await page.getByRole('button', { name: 'Cancel the upload' }).click();
  await page.locator('.is-pending').waitFor({ state: 'detached' });
  await send(page, 'last');
  await shows(grace.page, 'last');
  assert.equal(await grace.page.locator('.image').count(), 1);

  // What the server does not take is told, and stays until it is dropped.
  await page.unroute('**/uploads/**');
  await attach(page, { name: 'page.html', mimeType: 'text/html', buffer: Buffer.from('<p>no</p>'.repeat(9)) });
  await attach(page, { name: 'x.bin', mimeType: 'application/x-unknown', buffer: Buffer.from('x') });
  await page.locator('.chosen .file').nth(1).waitFor();
  await page.getByRole('button', { name: 'Send' }).click();
  await page.locator('.message .problem').waitFor();
  // By the keyboard: the list still moves to its end.
  await page.getByRole('button', { name: 'Discard' }).press('Enter');
  await page.locator('.is-pending').waitFor({ state: 'detached' });
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('files that are chosen or wait outlive a reload and an expired session, and go out with nobody else', async () => {
  const [ada, grace] = await bothTalk();
  const { page } = ada;
  const address = page.url();
  await attach(page, await picture(page, 'chosen.jpg', 640, 480, 80));
  await page.locator('.chosen img').waitFor();
  await page.reload();
  assert.ok(await isLoaded(page.locator('.chosen img')));
  await page.getByRole('button', { name: 'Remove chosen.jpg' }).click();
  await page.locator('.chosen').waitFor({ state: 'detached' });

  await page.context().setOffline(true);
  await page.getByText('You are offline').waitFor();
  await attach(page, await picture(page, 'waits.jpg', 640, 480, 300));
  await page.locator('.chosen img').waitFor();
  await send(page, 'waits');
  await page.locator('.is-pending .image img').waitFor();
  await attach(page, await picture(page, 'chosen.jpg', 300, 480, 120));
  await page.locator('.chosen img').waitFor();
  // It is left without a network, and opened again when the session is over.
  await page.evaluate(() => {
    const session = JSON.parse(localStorage.getItem('talksy.session'));
    const over = { ...session, accessToken: 'x', refreshToken: 'x', expiresAt: 0 };
    localStorage.setItem('talksy.session', JSON.stringify(over));
  });
  await page.goto('about:blank');
  await page.context().setOffline(false);
  await page.goto(address);
  await page.getByText('You have been signed out on this device').waitFor();

  // Somebody else of the same chat takes the device.
  await enter(page, grace.email);
  await shows(page, 'first');
  await send(page, 'I am Grace');
  await eventually(async () => assert.deepEqual(await textsIn(grace.page), ['first', 'I am Grace']));
  await page.locator('.is-pending').waitFor({ state: 'detached' });
  assert.equal(await page.locator('.chosen').count(), 0);
  await page.getByRole('button', { name: 'Your profile, Grace' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();

  await page.getByLabel('Mail address').waitFor();
  await enter(page, ada.email);
  await eventually(async () => assert.deepEqual(await textsIn(grace.page), ['first', 'I am Grace', 'waits']));
  await eventually(async () => assert.ok(await isLoaded(page.locator('.chosen img'))));
  assert.equal(await grace.page.locator('.image').count(), 1);
  await page.getByRole('button', { name: 'Send' }).click();
  await grace.page.locator('.image').nth(1).waitFor();
  await eventually(async () => assert.equal(await page.locator('.is-pending').count(), 0));
  assert.equal(await page.locator('.chosen').count(), 0);
  assert.equal(await grace.page.locator('.image').count(), 2);
  for (const { page } of [ada, grace]) await page.context().close();
});

testBeside('pins, replies and mentions lead to where they were said, and from there both ways', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  const { page } = grace;
  await startChat(ada.page, grace);
  await send(ada.page, 'number 1');
  await page.locator('.chat-row').click();
  await shows(page, 'number 1');
  await page.goto(`${new URL(page.url()).origin}/#/`);
  const chatId = chatOf(ada.page);
  const said = [];
  for (let at = 2; at <= 300; at += 1) said.push((await say(ada.page, chatId, `number ${at}`)).sendMessage.message);
  const pinned = said[18];
  await ask(ada.page, 'mutation Pin($id: ID!) { pinMessage(input: { messageId: $id, pinned: true }) { message { id } } }', {
    id: pinned.id,
  });
  // A device that has nothing: the middle of the chat is only on the server.
  const other = await signInAgain(grace.email);
  const reader = other.page;
  await reader.locator('.chat-row').click();
  await reader.locator('.new-line').waitFor();
  await shot(reader, 'divider');
  await reader.locator('.to-end').click();
  await reader.locator('[data-seq="300"]').waitFor();
  await reader.locator('.chat-row .badge').waitFor({ state: 'detached' });
  await reader.getByRole('button', { name: '1 pinned message' }).click();
  await shot(reader, 'pins');
  await assertAccessible(reader);
  await reader.locator('.result').click();
  const target = reader.locator(`[data-seq="${pinned.seq}"]`);
  await target.waitFor();
  const scroller = reader.locator('.scroller');
  await isStill(scroller);
  const box = await target.boundingBox();
  assert.ok(box.y > 100 && box.y < 700, `it is shown at ${box.y}`);
  await shot(reader, 'jumped');
  // From there both ways, without a jump.
  const wheel = async (by, isThere) => {
    await scroller.hover();
    for (let turns = 0; turns < 300 && !(await isThere()); turns += 1) {
      const before = await topsIn(reader);
      await reader.mouse.wheel(0, by);
      await isStill(scroller);
      const now = await topsIn(reader);
      const [seq, top] = [...before].find(([seq]) => now.has(seq)) ?? [];
      if (seq === undefined) continue;
      const moved = (now.get(seq) - top) * Math.sign(-by);
      assert.ok(moved > -60 && moved < Math.abs(by) + 60, `message ${seq} jumped by ${moved} px`);
    }
    assert.ok(await isThere());
    assert.ok((await reader.locator('.message').count()) < 60, 'all are drawn');
    const seqs = await reader.locator('.message').evaluateAll((all) => all.map(({ dataset }) => Number(dataset.seq)));
    assert.deepEqual(seqs, seqs.map((_, at) => seqs[0] + at));
  };
  await wheel(-400, () => reader.locator('[data-seq="1"]').isVisible());
  await wheel(500, () => reader.locator('[data-seq="120"]').isVisible());
  // What comes meanwhile takes the reader nowhere; the button counts it.
  await send(ada.page, 'while you read above');
  await reader.locator('.to-end .badge', { hasText: '1' }).waitFor();
  await reader.locator('.to-end').click();
  await shows(reader, 'while you read above');
  await reader.locator('.chat-row .badge').waitFor({ state: 'detached' });

  // A reply leads to what it answers.
  await ask(
    ada.page,
    'mutation Answer($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }',
    { input: { chatId, text: 'an answer', replyToId: said[98].id } },
  );
  await reader.locator('.quote', { hasText: 'number 100' }).click();
  await reader.locator('[data-seq="100"].is-flashing').waitFor();
  // What is sent from the middle is shown at the end.
  await send(reader, 'sent from above');
  await shows(reader, 'sent from above');
  // It is unpinned by its menu.
  await reader.getByRole('button', { name: '1 pinned message' }).click();
  await reader.locator('.result').click();
  await target.waitFor();
  await target.hover();
  await target.getByRole('button', { name: 'More' }).click();
  await reader.getByRole('menuitem', { name: 'Unpin' }).click();
  await reader.locator('.pins-button').waitFor({ state: 'detached' });
  // Marked as unread, it stays so until it is opened again.
  await reader.getByRole('button', { name: 'Chat menu' }).click();
  await reader.getByRole('menuitem', { name: 'Mark as unread' }).click();
  await reader.locator('.chat-row .badge').waitFor();
  await reader.getByRole('heading', { name: 'Pick a chat' }).waitFor();
  await reader.locator('.chat-row').click();
  await reader.locator('.chat-row .badge').waitFor({ state: 'detached' });
  for (const { page } of [ada, grace, other]) await page.context().close();
});

testBeside('people are mentioned by the keyboard, and people and groups have pictures', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace', PHONE);
  const { page } = ada;
  await page.getByRole('button', { name: 'New group' }).click();
  await page.getByLabel('Title').fill('Engines');
  await page.getByLabel('People', { exact: true }).fill(grace.email);
  await page.locator('.picker-list .row').click();
  await page.getByRole('button', { name: 'Make the group' }).click();
  await page.getByRole('button', { name: '2 members' }).click();
  await page.locator('.members li', { hasText: 'Grace' }).waitFor();
  await page.locator('.dialog input[type=file]').setInputFiles(await picture(page, 'group.jpg', 500, 400, 260));
  await page.locator('.picture-field .avatar img').waitFor();
  await assertAccessible(page);
  await shot(page, 'group-picture');
  await page.getByRole('button', { name: 'Close' }).click();
  await eventually(async () => assert.ok(await isLoaded(page.locator('.chat-head .avatar img'))));
  await eventually(async () => assert.ok(await isLoaded(grace.page.locator('.chat-row .avatar img'))));

  await page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await page.locator('.dialog input[type=file]').setInputFiles(await picture(page, 'ada.jpg', 400, 400, 330));
  await page.locator('.picture-field .avatar img').waitFor();
  await page.getByRole('button', { name: 'Save' }).click();
  // Until then it holds the keyboard.
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await eventually(async () => assert.ok(await isLoaded(page.locator('.me .avatar img'))));

  const area = page.getByLabel('Message', { exact: true });
  await area.pressSequentially('Look @gr');
  await page.getByRole('option', { name: 'Grace' }).waitFor();
  // Who looks elsewhere meanwhile finds the list again.
  await area.blur();
  await page.getByRole('option', { name: 'Grace' }).waitFor({ state: 'detached' });
  await area.focus();
  await page.getByRole('option', { name: 'Grace' }).waitFor();
  await assertAccessible(page);
  await shot(page, 'mention');
  await page.keyboard.press('Enter');
  assert.equal(await area.inputValue(), 'Look @Grace ');
  await area.pressSequentially('here');
  await page.keyboard.press('Enter');
  await grace.page.locator('.chat-row .badge.mention').waitFor();
  await grace.page.locator('.chat-row').tap();
  await grace.page.locator('.mentioned.is-viewer', { hasText: '@Grace' }).waitFor();
  await eventually(async () => assert.ok(await isLoaded(grace.page.locator('.message .avatar img').first())));
  await shot(grace.page, 'mentioned-phone');
  await page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.locator('.picture-field .avatar img').waitFor({ state: 'detached' });
  for (const { page, problems } of [ada, grace]) {
    assert.deepEqual(problems, []);
    await page.context().close();
  }
});

testBeside('devices are listed and ended, and what was typed on an ended one stays', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  await startChat(ada.page, grace);
  const other = await signInAgain(ada.email);
  await other.page.locator('.chat-row').click();
  await other.page.getByLabel('Message', { exact: true }).fill('typed and not sent');
  await ada.page.getByRole('button', { name: 'Your profile, Ada' }).click();
  await ada.page.getByRole('tab', { name: 'Devices' }).click();
  await ada.page.getByText('this device').waitFor();
  await eventually(async () => assert.equal(await ada.page.locator('.members li').count(), 2));
  await assertAccessible(ada.page);
  await shot(ada.page, 'devices');
  await ada.page.getByRole('button', { name: 'End all others' }).click();
  await ada.page.getByRole('button', { name: 'Really end all others?' }).click();
  await eventually(async () => assert.equal(await ada.page.locator('.members li').count(), 1));
  await other.page.getByText('You have been signed out on this device').waitFor();
  assert.ok(await other.page.evaluate(() => Object.values(localStorage).includes('typed and not sent')));
  for (const { page } of [ada, grace, other]) await page.context().close();
});

testAlone('a cut and a kill in the middle of sends, edits, deletions and reactions leave the same on both sides', async () => {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  await startChat(ada.page, grace);
  for (let at = 0; at < 6; at += 1) await send(ada.page, `before ${at}`);
  await grace.page.locator('.chat-row').click();
  await shows(grace.page, 'before 5');
  const { page } = ada;
  const exactly = (text) => page.locator('.message', { has: page.getByText(text, { exact: true }) });
  const act = async (text, name) => {
    await exactly(text).hover();
    await exactly(text).getByRole('button', { name: 'More' }).click();
    await page.getByRole('menuitem', { name }).click();
  };
  const edit = async (text, to) => {
    await act(text, 'Edit');
    // Also where that is an edit which waits.
    await eventually(async () => assert.equal(await page.getByLabel('Message', { exact: true }).inputValue(), text));
    await page.getByLabel('Message', { exact: true }).fill(to);
    await page.keyboard.press('Enter');
  };
  const react = async (text, emoji) => {
    await exactly(text).hover();
    await exactly(text).getByRole('button', { name: 'React', exact: true }).click();
    await page.getByRole('button', { name: emoji, exact: true }).click();
  };
  await edit('before 0', 'edited 0');
  await send(page, 'while it goes');
  await page.context().setOffline(true);
  await edit('before 1', 'edited 1');
  await react('before 2', '🎉');
  await act('before 3', 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await send(page, 'without a network');
  await react('before 4', '👍');
  await edit('edited 1', 'edited 1 again');
  // Taken back, before it was sent.
  await edit('before 4', 'edited 4');
  await edit('edited 4', 'before 4');
  // It is shown at once as it will be.
  const wanted = ['edited 0', 'edited 1 again', 'before 2', 'Message deleted', 'before 4', 'before 5'];
  wanted.push('while it goes', 'without a network');
  await eventually(async () => assert.deepEqual(await textsIn(page), wanted));
  await shot(page, 'changes-offline');
  await page.context().setOffline(false);
  await eventually(async () => assert.deepEqual(await textsIn(grace.page), wanted));
  // And the same while the server is killed.
  await stopServer('SIGKILL');
  await edit('before 5', 'edited 5');
  await react('before 2', '👍');
  await send(page, 'behind the kill');
  await startServer();
  wanted[5] = 'edited 5';
  wanted.push('behind the kill');
  for (const one of [page, grace.page]) {
    await eventually(async () => assert.deepEqual(await textsIn(one), wanted));
    await eventually(async () => {
      const reactions = await one.locator('.reaction').allInnerTexts();
      assert.deepEqual(reactions.map((text) => text.replace(/\s+/g, ' ')), ['🎉 1', '👍 1', '👍 1']);
    });
  }
  await eventually(async () => assert.equal(await page.getByTitle('Waiting for the connection').count(), 0));
  for (const { page } of [ada, grace]) await page.context().close();
});
