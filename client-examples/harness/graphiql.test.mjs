// GraphiQL in a browser, at the width of a phone and of a desk: all is there and in order, and a
// newcomer signs in and asks.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { after, before } from 'node:test';

import { assertFits, launch, openPage } from './browser.mjs';
import { SERVER, eventually } from './chat.mjs';
import { watchFor } from './outbox.mjs';

const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
const SIZES = [
  PHONE,
  { viewport: { width: 740, height: 360 }, isMobile: true, hasTouch: true },
  { viewport: { width: 768, height: 1024 } },
  { viewport: { width: 1280, height: 800 } },
];
const TABS = ['Login', 'Users', 'MessageAdded'];

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

async function openGraphiql(options) {
  const opened = await openPage(browser, `${SERVER}/graphiql`, options);
  const { page } = opened;
  await page.locator('.graphiql-query-editor .view-lines').waitFor();
  // The schema is there: the documentation has its roots.
  await page.locator('.graphiql-sidebar button:not([disabled])[aria-label^="Re-fetch GraphQL schema"]').waitFor();
  return opened;
}

/** The lines that an editor shows. */
async function shownIn(page, part) {
  const text = await page.locator(`${part} .view-lines`).first().innerText();
  return text.replaceAll('\u00a0', ' ');
}

/** Long lines go on in the next one: no editor is wider inside than outside. */
const assertWraps = (page) =>
  eventually(async () => {
    const wide = await page.evaluate(() =>
      globalThis.__MONACO.editor
        .getEditors()
        .filter((editor) => editor.getDomNode().checkVisibility())
        .filter((editor) => editor.getScrollWidth() > editor.getLayoutInfo().contentWidth)
        .map((editor) => editor.getModel().uri.path),
    );
    assert.deepEqual(wide, []);
  });

for (const options of SIZES) {
  const { width, height } = options.viewport;
  test(`all is in sight, in order and wrapped at ${width} × ${height}`, async () => {
    const { page, problems } = await openGraphiql(options);
    await assertFits(page);
    await assertWraps(page);
    const tabs = await page.locator('.graphiql-tab').evaluateAll((all) =>
      all.map((tab) => {
        const { top, left } = tab.getBoundingClientRect();
        return { name: tab.querySelector('.graphiql-tab-button').textContent, top, left };
      }),
    );
    const asRead = [...tabs].sort((one, other) => one.top - other.top || one.left - other.left);
    assert.deepEqual(asRead.map(({ name }) => name), TABS);
    for (const [at, name] of TABS.entries()) {
      await page.locator('.graphiql-tab-button', { hasText: name }).click();
      await eventually(async () =>
        assert.match(await shownIn(page, '.graphiql-query-editor'), new RegExp(`^# ${at + 1} · [A-Z]`)),
      );
      await assertWraps(page);
    }
    const editors = await page.locator('.graphiql-editors').boundingBox();
    const response = await page.locator('.graphiql-response').boundingBox();
    for (const { width: wide, height: high } of [editors, response]) {
      assert.ok(wide >= 300 && high >= 140, `${wide} × ${high}`);
    }

    // What opens beside or above all that.
    for (const name of ['Show Documentation Explorer', 'Show History']) {
      await page.getByRole('button', { name }).click();
      await page.locator('.graphiql-plugin').waitFor();
      await assertFits(page);
    }
    await page.getByRole('button', { name: 'Hide History' }).click();
    for (const name of ['Open short keys dialog', 'Open settings dialog']) {
      await page.getByRole('button', { name }).click();
      await page.getByRole('dialog').waitFor();
      await assertFits(page);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    assert.deepEqual(problems, []);
    await page.context().close();
  });
}

/** Pastes into an editor, in place of all that it has. */
async function paste(page, part, text) {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.evaluate((some) => navigator.clipboard.writeText(some), text);
  await page.locator(`${part} .view-lines`).tap();
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.press('ControlOrMeta+V');
  // A long text is scrolled to its end.
  await eventually(async () => {
    const shown = (await shownIn(page, part)).replaceAll('\n', '');
    assert.equal(shown.slice(-10), text.slice(-10));
  });
}

/** Runs one of the tab's operations; the answer's data. */
async function run(page, name) {
  await page.getByRole('button', { name: /^Execute query/ }).tap();
  const [response] = await Promise.all([
    page.waitForResponse(`${SERVER}/graphql`),
    page.getByRole('menuitem', { name }).tap(),
  ]);
  const answer = await response.json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer));
  return answer.data;
}

/** The answer stands on the screen. */
const assertShows = (page, text) =>
  eventually(async () => {
    assert.match(await shownIn(page, '.graphiql-response'), text);
    const { x, y, width, height } = await page.locator('.graphiql-response .view-lines').boundingBox();
    assert.ok(x >= 0 && x + width <= PHONE.viewport.width, `${x} and ${width} wide`);
    assert.ok(y >= 0 && y < PHONE.viewport.height && height >= 100, `${y} and ${height} high`);
  });

test('a newcomer signs in and asks, on a phone', async () => {
  const { page, problems } = await openGraphiql(PHONE);
  // The variables, or the headers.
  const below = '.graphiql-editor-tool .graphiql-editor:not(.hidden)';
  const email = `ada-${randomBytes(4).toString('hex')}@example.org`;
  const readCode = await watchFor(email);
  await paste(page, below, JSON.stringify({ email }));
  const { login } = await run(page, 'Login');
  await assertShows(page, /"challenge"/);
  await paste(page, below, JSON.stringify({ challenge: '', code: await readCode() }));
  const { verifyOtp } = await run(page, 'VerifyOtp');
  assert.ok(login.challenge && verifyOtp.accessToken);
  await assertShows(page, /"user"/);

  await page.locator('.graphiql-tab-button', { hasText: 'Users' }).tap();
  await page.getByRole('button', { name: 'Headers', exact: true }).tap();
  await paste(page, below, JSON.stringify({ Authorization: `Bearer ${verifyOtp.accessToken}` }));
  const { me } = await run(page, 'Users');
  assert.equal(me.name, verifyOtp.user.name);
  await assertShows(page, /"me"/);
  await assertFits(page);
  await assertWraps(page);
  assert.deepEqual(problems, []);
  await page.context().close();
});
