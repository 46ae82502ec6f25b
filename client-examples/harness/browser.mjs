// A browser for the tests: the one that the system has, driven by Playwright.
import assert from 'node:assert/strict';
import { accessSync, constants } from 'node:fs';

import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The path of the browser: $CHAT_BROWSER, or the first of the usual names that is installed. */
export function installed() {
  if (process.env.CHAT_BROWSER) return process.env.CHAT_BROWSER;
  const folders = (process.env.PATH ?? '').split(':').concat('/usr/bin');
  const found = NAMES.flatMap((name) => folders.map((folder) => `${folder}/${name}`)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) throw new Error(`none of ${NAMES.join(', ')} is installed: tests/install-servers.sh`);
  return found;
}

/** Starts it, with further options of Playwright's. */
export const launch = (options) => chromium.launch({ ...options, executablePath: installed() });

/**
 * A page of the browser, which loads `url`; `script` runs ahead of all that is in it. `problems` are what it complained of since: what its console
 * had, what it threw, requests that failed, and those to another origin.
 */
export async function openPage(browser, url, { script, ...options } = {}) {
  const context = await browser.newContext(options);
  if (script) await context.addInitScript(script);
  // Where the machine is busy.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('requestfailed', (request) => problems.push(`${request.url()} failed: ${request.failure()?.errorText}`));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    const isOwn = origin === new URL(url).origin || ['blob:', 'data:'].includes(protocol);
    if (!isOwn) problems.push(`${request.url()} is elsewhere`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push(`${response.url()} answers ${response.status()}`);
  });
  await page.goto(url);
  return { page, problems };
}

/** Nothing of the page lies beside the screen, where it could only be reached by moving it sideways. */
export async function assertFits(page) {
  const beside = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    // What is hidden on purpose is moved far away, and has no opacity.
    const isShown = (element) =>
      element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const names = [...document.querySelectorAll('button, a, input, [role=dialog], section')]
      .filter(isShown)
      .filter((element) => {
        const { left, right, width } = element.getBoundingClientRect();
        return width > 0 && (left < 0 || right > clientWidth);
      })
      .map((element) => element.getAttribute('aria-label') ?? element.textContent);
    return scrollWidth > clientWidth ? [`${scrollWidth} px are wider than ${clientWidth}`, ...names] : names;
  });
  assert.deepEqual(beside, []);
}
