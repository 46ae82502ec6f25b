// What `with-server.mjs` leaves behind where it is stopped before its server serves: nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(`${tmpdir()}/talksy-with-server-`);
after(() => rmSync(folder, { recursive: true, force: true }));

async function until(condition) {
  for (const deadline = Date.now() + 30_000; !condition(); await sleep(20)) {
    assert.ok(Date.now() < deadline, `in vain: ${condition}`);
  }
}

test('a server that does not serve yet ends with what has started it', async () => {
  const [binary, started] = [`${folder}/server`, `${folder}/started`];
  const script = ['#!/bin/sh', `echo $$ >${started}.new`, `mv ${started}.new ${started}`, 'exec sleep 60', ''];
  writeFileSync(binary, script.join('\n'), { mode: 0o755 });
  const running = spawn(process.execPath, [fileURLToPath(new URL('with-server.mjs', import.meta.url)), 'true'], {
    env: { ...process.env, CHAT_BINARY: binary },
    stdio: 'ignore',
  });
  const ended = once(running, 'exit');
  await until(() => existsSync(started));
  running.kill('SIGTERM');
  await ended;
  const isGone = () => {
    try {
      process.kill(Number(readFileSync(started, 'utf8')), 0);
      return false;
    } catch {
      return true;
    }
  };
  const wasGone = isGone();
  if (!wasGone) process.kill(Number(readFileSync(started, 'utf8')), 'SIGKILL');
  assert.ok(wasGone, 'the server is left');
});
