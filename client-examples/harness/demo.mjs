// `talksy demo` for tests and for pictures of it. $CHAT_BINARY is the server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';

const BINARY = process.env.CHAT_BINARY ?? new URL('../../target/debug/talksy', import.meta.url).pathname;

/**
 * Starts a demo whose bot pauses for `pause` milliseconds between two things that it does. Gives its `url`, and
 * `stop`, which ends it and deletes what it has left.
 */
export async function startDemo(pause) {
  const folder = await mkdtemp(`${tmpdir()}/talksy-demo-test-`);
  const demo = spawn(BINARY, ['demo', '--no-open', '--pause', String(pause), '--listen', '127.0.0.1:0'], {
    cwd: folder,
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => demo.on('exit', resolve).on('error', resolve));
  const stop = async () => {
    demo.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const url = await new Promise((resolve, reject) => {
      let told = '';
      demo.stderr.setEncoding('utf8').on('data', (text) => {
        told += text;
        const found = /chatting:\s+(http:\/\/127\.0\.0\.1:\d+)\//.exec(told);
        if (found) resolve(found[1]);
      });
      demo.on('exit', (code) => reject(new Error(`the demo ended with ${code}: ${told}`))).on('error', reject);
    });
    const page = await (await fetch(`${url}/demo`)).text();
    assert.match(page, /\/assets\//, 'the server was built before its pages were: make pages');
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export const ADA = 'Ada Lovelace';
export const GRACE = 'Grace Hopper';

/** The frame of one of them in the demo's page. */
export const paneOf = (page, name) => page.frameLocator(`iframe[title="${name}"]`);
/** What the demo's page says of one of them. */
export const outcomeOf = (page, name) => page.locator(`section[aria-label="${name}"] .outcome`);
