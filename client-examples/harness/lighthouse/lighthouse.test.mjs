// Lighthouse against the web chat as servers send it, on the screen of a phone: the page where one signs in, and a
// chat of `talksy demo`. Accessibility and best practices have to reach a bound; of performance is told what was
// measured, for it is that of a machine that does other things meanwhile. $CHAT_BINARY is the server.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import lighthouse from 'lighthouse';
import puppeteer from 'puppeteer-core';

import { installed } from '../browser.mjs';
import { SERVER } from '../chat.mjs';
import { startDemo } from '../demo.mjs';

const LEAST = 95;
const BOUND = ['accessibility', 'best-practices'];

let browser;

before(async () => {
  // As Playwright does where nothing else is asked for.
  browser = await puppeteer.launch({ executablePath: installed(), args: ['--no-sandbox'] });
});
after(() => browser?.close());

/** Loads the page as Lighthouse does, keeps it to the bound, and tells what there is to be mended. */
async function judge(name, url, page) {
  const flags = {
    logLevel: 'error',
    onlyCategories: [...BOUND, 'performance'],
    // Who is signed in, stays it.
    disableStorageReset: true,
  };
  const { lhr } = await lighthouse(url, flags, undefined, page);
  assert.equal(lhr.runtimeError, undefined, lhr.runtimeError?.message);
  const scoreOf = (category) => Math.round((lhr.categories[category].score ?? 0) * 100);
  const wrong = BOUND.flatMap((category) =>
    lhr.categories[category].auditRefs
      .map(({ id }) => lhr.audits[id])
      .filter(({ score }) => score !== null && score < 1)
      .map(({ title, details }) => {
        const where = (details?.items ?? []).map((item) => item.node?.snippet ?? item.description ?? item.source ?? '');
        return `${category}: ${title} ${where.join(' · ')}`;
      }),
  );
  const told = (id) => `${lhr.audits[id].title} ${lhr.audits[id].displayValue}`;
  console.log(`${name}: ${[...BOUND, 'performance'].map((category) => `${category} ${scoreOf(category)}`).join(', ')}`);
  console.log(`${name}: ${['first-contentful-paint', 'largest-contentful-paint', 'total-blocking-time'].map(told).join(', ')}`);
  for (const problem of wrong) console.log(`${name}: ${problem}`);
  for (const category of BOUND) assert.ok(scoreOf(category) >= LEAST, `${name}: ${wrong.join('\n')}`);
}

test('the page where one signs in', async () => {
  const page = await browser.newPage();
  const served = await (await fetch(`${SERVER}/`, { headers: { accept: 'text/html' } })).text();
  assert.match(served, /\/assets\//, 'the server was built before its pages were: make pages');
  await judge('sign-in', `${SERVER}/`, page);
  assert.ok(await page.$('input[type=email]'), 'another page was judged');
  await page.close();
});

test('a chat', async () => {
  const demo = await startDemo(1_000);
  const page = await browser.newPage();
  try {
    await page.goto(`${demo.url}/demo/pane?as=ada`);
    await (await page.waitForSelector('.entrance .primary:not([disabled])')).click();
    await page.waitForSelector('.message');
    await judge('chat', page.url(), page);
    assert.ok(await page.$('.message'), 'another page was judged');
  } finally {
    await page.close();
    await demo.stop();
  }
});
