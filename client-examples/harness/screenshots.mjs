// Takes the pictures of docs/images/ from `talksy demo`: `make screenshots`. $CHAT_BINARY is the server. They show what
// everybody sees who starts a demo; those of two runs differ by minutes, and by the colours of the faces, which come
// of random ids. Arguments name what is taken alone: `chats`, `demo`. They look as they do with Debian's fonts-inter and
// fonts-noto-color-emoji.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';

import { launch } from './browser.mjs';
import { ADA, GRACE, outcomeOf, paneOf, startDemo } from './demo.mjs';

const FOLDER = new URL('../../docs/images/', import.meta.url).pathname;
/** Each picture is read with the README: so many bytes are enough. */
const MOST_BYTES = 250 * 1024;
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias><family>system-ui</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>emoji</family><prefer><family>Noto Color Emoji</family></prefer></alias>
</fontconfig>
`;
const DESK = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const STAGE = { viewport: { width: 1600, height: 900 } };

/** Somewhere it is half past ten or so, whenever this runs. */
const hours = 10 - new Date().getUTCHours();
const TIME = { locale: 'en-GB', timezoneId: `Etc/GMT${hours < 0 ? '+' : '-'}${Math.abs(hours)}` };

await mkdir(FOLDER, { recursive: true });
const work = await mkdtemp(`${tmpdir()}/talksy-screenshots-`);
await writeFile(`${work}/fonts.conf`, FONTS);
const browser = await launch({ env: { ...process.env, FONTCONFIG_FILE: `${work}/fonts.conf` } });

async function open(url, options) {
  const context = await browser.newContext({ ...TIME, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** Until nothing has moved, and no picture is missing, for a second. */
async function still(page) {
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement?.blur());
  await page.waitForTimeout(1_000);
  for (const frame of page.frames()) {
    await frame.waitForFunction(() => [...document.images].every(({ complete }) => complete));
    await frame.evaluate(() => document.fonts.ready);
  }
}

async function shoot(page, name) {
  await still(page);
  await page.screenshot({ path: `${FOLDER}${name}.png` });
}

/** The web chat of one of the demo's people, with the other one's chat open. */
async function signedIn(url, person, options) {
  const page = await open(`${url}/demo/pane?as=${person}`, options);
  await page.getByRole('button', { name: /^Sign in as/ }).click();
  await page.getByLabel('Message', { exact: true }).waitFor();
  return page;
}

/** On a phone the list of chats is another screen. */
async function openChat(page, title) {
  const back = page.getByRole('button', { name: 'Back to the chats' });
  if (await back.isVisible()) await back.click();
  await page.locator('.chat-row', { hasText: title }).click();
  await page.locator('.chat-title', { hasText: title }).waitFor();
}

/** Turns the wheel until a message stands so far below the top. */
async function scrollTo(page, message, y) {
  await page.locator('.scroller').hover();
  for (let turns = 0; turns < 200; turns += 1) {
    const top = (await message.count()) === 0 ? -Infinity : (await message.boundingBox()).y - y;
    if (top >= 0) return;
    await page.mouse.wheel(0, Math.max(top, -300));
    await page.waitForTimeout(100);
  }
  throw new Error('The message is not there.');
}

/** The chats as they were made: the bot says nothing. */
async function chats() {
  const demo = await startDemo(60_000);
  try {
    // Both are online.
    const phone = await signedIn(demo.url, 'ada', PHONE);
    const desk = await signedIn(demo.url, 'grace', DESK);
    await openChat(desk, 'Engine room');
    await scrollTo(desk, desk.locator('.message:has(.images)'), 150);
    for (const colorScheme of ['light', 'dark']) {
      await desk.emulateMedia({ colorScheme });
      await shoot(desk, `chat-${colorScheme}`);
    }
    await scrollTo(phone, phone.locator('.message', { hasText: 'The numbers are right' }), 240);
    await shoot(phone, 'chat-phone');
  } finally {
    await demo.stop();
  }
}

/** Both side by side, behind a time without a plug. */
async function plug() {
  const demo = await startDemo(250);
  try {
    const page = await open(`${demo.url}/`, STAGE);
    await page.getByRole('button', { name: 'Sign both in' }).click();
    for (const name of [ADA, GRACE]) await paneOf(page, name).getByLabel('Message', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Pull the plug' }).click();
    const told = page.locator('.told b');
    const sent = async () => Number((await told.innerText()).match(/\d+/)[0]);
    await told.waitFor();
    while ((await sent()) < 25) await page.waitForTimeout(250);
    await page.getByRole('button', { name: 'Put the plug back in' }).click();
    for (const name of [ADA, GRACE]) {
      await outcomeOf(page, name).filter({ hasText: '0 lost, 0 doubled, 0 out of order' }).waitFor();
    }
    await shoot(page, 'demo');
  } finally {
    await demo.stop();
  }
}

try {
  const wanted = process.argv.slice(2);
  if (wanted.length === 0 || wanted.includes('chats')) await chats();
  if (wanted.length === 0 || wanted.includes('demo')) await plug();
} finally {
  await browser.close();
  await rm(work, { recursive: true, force: true });
}
for (const name of (await readdir(FOLDER)).filter((name) => name.endsWith('.png'))) {
  const { size } = await stat(`${FOLDER}${name}`);
  console.log(`docs/images/${name}: ${(size / 1024).toFixed(0)} KiB`);
  assert.ok(size <= MOST_BYTES, `docs/images/${name} is larger than ${MOST_BYTES / 1024} KiB`);
}
