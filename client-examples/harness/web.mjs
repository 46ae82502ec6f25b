// What the tests of the web chat share: a browser, the built example ($CHAT_WEB) before the server, and
// people who sign in.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import test, { after, before, describe } from 'node:test';

import { launch, openPage } from './browser.mjs';
import { SERVER, eventually, startServer, stopServer } from './chat.mjs';
import { watchFor } from './outbox.mjs';

const FOLDER = process.env.CHAT_WEB ?? new URL('../web', import.meta.url).pathname;
const SHOTS = process.env.CHAT_SHOTS;
export const DESK = { viewport: { width: 1280, height: 800 } };
export const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Of the tests that mind no other so many run at once. They wait more than they work. */
const AT_ONCE = 4;
const beside = [];
const alone = [];
/** A test with people of its own, which others may run beside. */
export const testBeside = (name, run) => void beside.push([name, run]);
/** One that stops the server which all have, or that measures. */
export const testAlone = (name, run) => void alone.push([name, run]);
/** Runs them all. */
export function runTests() {
  describe('side by side', { concurrency: AT_ONCE }, () => beside.forEach(([name, run]) => void test(name, run)));
  describe('one by one', () => alone.forEach(([name, run]) => void test(name, run)));
}

const addressOf = (name) => `${name.toLowerCase()}-${randomBytes(4).toString('hex')}@example.org`;
/** Who signs in with this address is an operator. */
export const OPERATOR = addressOf('Olga');

export let browser;
let preview;
export let url;

before(async () => {
  await stopServer('SIGTERM');
  await startServer(
    'limits.send={ burst = 5000, period = "1s" }',
    'limits.react={ burst = 5000, period = "1s" }',
    // Somebody signs in on two devices in the same minute.
    'auth.otp_resend="1s"',
    `users.operators=["${OPERATOR}"]`,
  );
  if (SHOTS) await mkdir(SHOTS, { recursive: true });
  browser = await launch();
  preview = spawn('node', ['node_modules/vite/bin/vite.js', 'preview', '--host', '127.0.0.1', '--port', '0'], {
    cwd: FOLDER,
    env: { ...process.env, CHAT_URL: SERVER, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  url = await new Promise((resolve, reject) => {
    let told = '';
    preview.stdout.setEncoding('utf8').on('data', (text) => {
      told += text;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(told);
      if (found) resolve(found[0]);
    });
    preview.on('exit', (code) => reject(new Error(`the preview ended with ${code}: ${told}`)));
  });
});
after(async () => {
  await browser?.close();
  preview?.kill();
});

export async function shot(page, name) {
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

/** Nothing that is serious stands in the way of somebody who cannot see or point. */
export async function assertAccessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' · ')}`);
  assert.deepEqual(serious, []);
}

/** Signs somebody in who has an account, on a page where nobody is. */
export async function enter(page, email) {
  const code = await watchFor(email);
  await page.getByLabel('Mail address').fill(email);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('Digit 1 of 6').waitFor();
  await page.keyboard.type(await code(), { delay: 5 });
  await page.getByRole('button', { name: /^Your profile/ }).waitFor();
}

/** A page of somebody who has an account, on another device. */
export async function signInAgain(email, options = DESK) {
  const { page, problems } = await openPage(browser, url, options);
  await enter(page, email);
  return { page, problems, email };
}

const LOGIN = 'mutation Login($email: String!) { login(input: { email: $email }) { challenge } }';
const VERIFY = `mutation VerifyOtp($challenge: String!, $code: String!) {
  verifyOtp(input: { challenge: $challenge, code: $code }) {
    accessToken refreshToken expiresAt session { lastUsedAt } user { id name }
  }
}`;
const RENAME = 'mutation Name($name: String!) { updateProfile(input: { name: $name }) { user { id name } } }';

/**
 * A page of a new user who is signed in: what `signInByHand` looks at is not looked at again. The page finds the
 * session as it would have kept it.
 */
export async function signIn(name, options = DESK, email = addressOf(name)) {
  const code = await watchFor(email);
  const { login } = await operate(LOGIN, { email });
  const { verifyOtp } = await operate(VERIFY, { challenge: login.challenge, code: await code() });
  const { accessToken, refreshToken, expiresAt, session } = verifyOtp;
  const { user } = (await operate(RENAME, { name }, accessToken)).updateProfile;
  const lasts = Date.parse(expiresAt) - Date.parse(session.lastUsedAt);
  const kept = { user, accessToken, refreshToken, lasts, expiresAt: Date.now() + lasts };
  const localStorage = [{ name: 'talksy.session', value: JSON.stringify(kept) }];
  const storageState = { cookies: [], origins: [{ origin: url, localStorage }] };
  const { page, problems } = await openPage(browser, url, { ...options, storageState });
  await page.getByRole('button', { name: `Your profile, ${name}` }).waitFor();
  return { page, problems, email };
}

/** A page of a new user, who has typed the code that came by mail. */
export async function signInByHand(name, options = DESK) {
  const email = addressOf(name);
  const { page, problems } = await openPage(browser, url, options);
  const code = await watchFor(email);
  await shot(page, `sign-in-${name}`);
  await page.getByLabel('Mail address').fill(email);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('Digit 1 of 6').waitFor();
  await assertAccessible(page);
  const digits = await code();
  await shot(page, `code-${name}`);
  if (name === 'Grace') {
    // A wrong code is told, and the boxes are free again; a code is pasted with what stands around it.
    await page.keyboard.type(digits.replace(/./g, (digit) => (Number(digit) + 1) % 10));
    await page.getByRole('alert').filter({ hasText: 'not the code' }).waitFor();
    const first = page.getByLabel('Digit 1 of 6');
    await eventually(async () => assert.equal(await first.inputValue(), ''));
    await first.evaluate((box, text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData('text', text);
      box.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    }, `${digits.slice(0, 3)} ${digits.slice(3)} is your code`);
  } else {
    // Each digit moves on to the next box, and the last one sends it.
    await page.keyboard.type(digits, { delay: 5 });
  }
  await page.getByRole('dialog', { name: 'Welcome to Talksy' }).waitFor();
  await page.getByLabel('Name').fill(name);
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: `Your profile, ${name}` }).waitFor();
  return { page, problems, email };
}

export async function startChat(page, { email }) {
  await page.getByLabel('Search chats and people').fill(email);
  await page.locator('.people button.row').first().click();
  await page.getByLabel('Message', { exact: true }).waitFor();
}

/** By Enter; on a phone by the button. */
export async function send(page, text) {
  const field = page.getByLabel('Message', { exact: true });
  await field.fill(text);
  if ((await field.getAttribute('enterkeyhint')) === 'enter') await page.getByRole('button', { name: 'Send' }).tap();
  else await page.keyboard.press('Enter');
}

/** Two new users with a direct chat that both have open, and in which Ada has said this. */
export async function bothTalk(text = 'first') {
  const ada = await signIn('Ada');
  const grace = await signIn('Grace');
  await startChat(ada.page, grace);
  await send(ada.page, text);
  await grace.page.locator('.chat-row').click();
  await shows(grace.page, text);
  return [ada, grace];
}

/** The texts of the thread, in their order. */
export const textsIn = (page) => page.locator('.message .text').allInnerTexts();
export const shows = (page, text) => page.locator('.message .text', { hasText: text }).waitFor();
/** Where each message stands that is in sight, by its number. */
export const topsIn = async (page) =>
  new Map(
    await page.locator('.message').evaluateAll((all) =>
      all
        .map((message) => [Number(message.dataset.seq), message.getBoundingClientRect().top])
        .filter(([, top]) => top > 84 && top < innerHeight),
    ),
  );
/** Waits until a list has stood for three frames. */
export const isStill = (list) =>
  list.evaluate(async (element) => {
    for (let last = -1, still = 0; still < 3; last = element.scrollTop) {
      await new Promise(requestAnimationFrame);
      still = element.scrollTop === last ? still + 1 : 0;
    }
  });
export const row = (page, text) => page.locator('.message', { hasText: text });

/** One operation as whom a token is of, or as nobody. */
async function operate(query, variables, token) {
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

/** One operation as the user of a page, without the page. */
export async function ask(page, query, variables = {}) {
  const { accessToken } = await page.evaluate(() => JSON.parse(localStorage.getItem('talksy.session')));
  return operate(query, variables, accessToken);
}

export const chatOf = (page) => /chat\/([\w-]+)/.exec(page.url())[1];
export const say = (page, chatId, text) =>
  ask(page, 'mutation Say($input: SendMessageInput!) { sendMessage(input: $input) { message { id seq cursor } } }', {
    input: { chatId, text },
  });
