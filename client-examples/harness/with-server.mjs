// Runs a command beside a server of its own, with a temporary data directory:
//
//     node with-server.mjs COMMAND…
//
// The command finds the server at $CHAT_URL and its mails in $CHAT_OUTBOX, and controls it at
// $CHAT_CONTROL by POST: /stop?signal=SIGTERM and /start, on the same port and data, with further settings
// as `set`; /restored, while it is stopped, does what an operator does behind a restore;
// /expect?email=… and then /code?email=… wait for a sign-in code; /log is all that it has logged.
// $CHAT_BINARY names the server's binary, $CHAT_SETTINGS has settings of it, each on a line as in
// `limits.login_ip={ burst = 100, period = "1m" }`.
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { watchFor } from './outbox.mjs';

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url));
const binary = process.env.CHAT_BINARY ?? `${target}/debug/talksy`;
const data = await mkdtemp(`${tmpdir()}/talksy-`);
const outbox = `${data}/outbox`;
// Away from a developer's talksy.toml and TALKSY_ variables.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('TALKSY_')),
);

const settings = (process.env.CHAT_SETTINGS ?? '').split('\n').filter(Boolean);

let listen = '127.0.0.1:0';
let log = '';
let server;

/** Starts the server and waits until it serves. */
function start() {
  const set = settings.flatMap((setting) => ['--set', setting]);
  server = spawn(binary, ['--listen', listen, '--data-dir', data, ...set], {
    cwd: data,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const { stderr } = server;
  server.ended = new Promise((resolve) => {
    server.on('error', (error) => resolve(`it did not start: ${error.message}`));
    server.on('exit', (code, signal) => resolve(signal ?? code));
  });
  return new Promise((resolve, reject) => {
    let started = '';
    stderr.setEncoding('utf8').on('data', (text) => {
      log += text;
      started += text;
      const address = /Talksy serves https?:\/\/([^/ ]+)\/graphql/.exec(started)?.[1];
      if (!address) return;
      listen = address;
      started = '';
      resolve();
    });
    server.ended.then((end) => reject(new Error(`the server ended: ${end}`)));
  });
}

/** Ends the server. On SIGTERM it must end by itself, with exit code 0. */
async function stop(signal) {
  server.kill(signal);
  const late = setTimeout(() => server.kill('SIGKILL'), 30_000);
  const end = await server.ended;
  clearTimeout(late);
  if (end !== (signal === 'SIGTERM' ? 0 : signal)) throw new Error(`${signal} ended it with ${end}`);
}

/** What an operator runs when the data came from a backup: older cursors are good no more. */
const restored = () => promisify(execFile)(binary, ['restored', '--data-dir', data], { cwd: data, env });

const codes = new Map();
const actions = {
  '/restored': async () => void (await restored()),
  '/start': (query) => {
    settings.push(...query.getAll('set'));
    return start();
  },
  '/stop': (query) => stop(query.get('signal') ?? 'SIGTERM'),
  // Call it before the code is asked for: later mails count.
  '/expect': async (query) => void codes.set(query.get('email'), await watchFor(query.get('email'), outbox)),
  '/code': (query) => codes.get(query.get('email'))(),
  '/log': async () => log,
};

const control = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://control');
  try {
    const answer = await actions[pathname](searchParams);
    response.end(answer);
  } catch (error) {
    response.writeHead(500).end(String(error.stack ?? error));
  }
});

let code = 1;
let child;
let isStopped = false;
const kill = (signal) => {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // None is there yet, or left.
  }
};
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    isStopped = true;
    // Ahead of the command there is the server alone.
    if (!child) server?.kill('SIGKILL');
    kill(signal);
    setTimeout(() => kill('SIGKILL'), 2_000).unref();
  });
}
try {
  await start();
  await new Promise((resolve) => control.listen(0, '127.0.0.1', resolve));
  if (isStopped) throw new Error('it was stopped');
  const [command, ...args] = process.argv.slice(2);
  child = spawn(command, args, {
    stdio: 'inherit',
    // A group of its own, so that all that it starts ends with it.
    detached: true,
    env: {
      ...env,
      CHAT_URL: `http://${listen}`,
      CHAT_OUTBOX: outbox,
      CHAT_CONTROL: `http://127.0.0.1:${control.address().port}`,
    },
  });
  code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => resolve(status ?? 1));
  });
  kill('SIGKILL');
  if (code === 0) await stop('SIGTERM');
} catch (error) {
  console.error(`FAILED: ${error.message ?? error}`);
  code = 1;
} finally {
  if (code !== 0 && log) console.error(`--- the end of the server's log\n${log.slice(-3_000)}`);
  server?.kill('SIGKILL');
  await server?.ended;
  await rm(data, { recursive: true, force: true });
}
process.exit(code);
