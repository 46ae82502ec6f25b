// Keeps a replica in another process, which is killed, cut off and started again at random while
// others write, edit, delete, join and leave. In the end it equals the server's own answer.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { SERVER, signIn } from '../../harness/chat.mjs';
import { send } from '../dist/chat.js';
import { fetchAll } from '../dist/replica.js';
import { Session } from '../dist/talksy/session.js';

const STEPS = Number(process.env.REPLICA_STEPS ?? 120);

const CREATE_GROUP = /* GraphQL */ `
  mutation CreateGroup($title: String!, $memberIds: [ID!]!) {
    createGroup(input: { title: $title, memberIds: $memberIds }) {
      chat {
        id
      }
    }
  }
`;
const START_CHAT = /* GraphQL */ `
  mutation ReplicaStartChat($userId: ID!) {
    startChat(input: { userId: $userId }) {
      chat {
        id
      }
    }
  }
`;
const EDIT = /* GraphQL */ `
  mutation Edit($messageId: ID!, $text: String!) {
    editMessage(input: { messageId: $messageId, text: $text }) {
      message {
        id
      }
    }
  }
`;
const DELETE = /* GraphQL */ `
  mutation Delete($messageId: ID!) {
    deleteMessage(input: { messageId: $messageId }) {
      message {
        id
      }
    }
  }
`;
const ADD = /* GraphQL */ `
  mutation Add($chatId: ID!, $userIds: [ID!]!, $historyFrom: HistoryFrom!) {
    addMembers(input: { chatId: $chatId, userIds: $userIds, historyFrom: $historyFrom }) {
      chat {
        id
      }
    }
  }
`;
const REMOVE = /* GraphQL */ `
  mutation Remove($chatId: ID!, $userId: ID!) {
    removeMember(input: { chatId: $chatId, userId: $userId }) {
      chat {
        id
      }
    }
  }
`;
const LEAVE = /* GraphQL */ `
  mutation Leave($chatId: ID!) {
    leaveChat(input: { chatId: $chatId }) {
      chatId
    }
  }
`;
const RENAME = /* GraphQL */ `
  mutation Rename($chatId: ID!, $title: String!) {
    updateGroup(input: { chatId: $chatId, title: $title }) {
      chat {
        id
      }
    }
  }
`;
const MUTE = /* GraphQL */ `
  mutation Mute($chatId: ID!, $muted: Boolean!) {
    muteChat(input: { chatId: $chatId, muted: $muted }) {
      chat {
        id
      }
    }
  }
`;

const pick = (items) => items[Math.floor(Math.random() * items.length)];

/** The replica's process, which is killed and started again. */
class Replica {
  starts = 0;

  constructor(token, folder) {
    this.file = `${folder}/replica.json`;
    this.token = token;
  }

  start({ cuts }) {
    this.starts += 1;
    this.child = spawn(process.execPath, [fileURLToPath(new URL('../dist/replica.js', import.meta.url))], {
      env: {
        ...process.env,
        CHAT_URL: SERVER,
        REPLICA_FILE: this.file,
        REPLICA_TOKEN: this.token,
        REPLICA_CUTS: cuts ? '1' : '',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.isRunning = true;
    this.exited = new Promise((resolve) => this.child.on('exit', resolve));
    this.child.on('exit', (code) => {
      this.isRunning = false;
      if (code) fail(`the replica ended with ${code}`);
    });
    this.caughtUp = new Promise((resolve) => this.child.stdout.once('data', resolve));
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  async kept() {
    const { viewer, chats } = JSON.parse(await readFile(this.file, 'utf8'));
    return { viewer, chats };
  }
}

/** Whether the server, or the way to it, was away, as after a kill. */
const isAway = ({ name, code, cause }) =>
  cause !== undefined || name === 'TimeoutError' || code === 'UNAVAILABLE';

/** Asks until there is an answer, for as long as a server takes to come back. */
async function answered(ask) {
  for (const deadline = Date.now() + 20_000; ; await sleep(100)) {
    try {
      return await ask();
    } catch (error) {
      if (!isAway(error) || Date.now() > deadline) throw error;
    }
  }
}

/**
 * One of the things that others, or the user on another device, do. What is refused, or is cut off
 * by the end of the server, is no matter.
 */
async function disturb({ ada, bob, groups, direct, sent }, number) {
  const chatId = pick([...groups, ...groups, direct]);
  const groupId = pick(groups);
  const message = pick(sent);
  const who = { userId: bob.user.id, userIds: [bob.user.id] };
  const historyFrom = pick(['ALL', 'JOIN']);
  const act = pick([
    async () => sent.push(await send(ada, chatId, `number ${number}`)),
    async () => sent.push(await send(ada, chatId, `number ${number}`)),
    async () => sent.push(await send(ada, chatId, `number ${number}`)),
    () => message && ada.request(EDIT, { messageId: message.id, text: `edited ${number}` }),
    () => message && ada.request(EDIT, { messageId: message.id, text: `edited ${number}` }),
    () => message && ada.request(DELETE, { messageId: message.id }),
    () => ada.request(ADD, { chatId: groupId, userIds: who.userIds, historyFrom }),
    () => ada.request(ADD, { chatId: groupId, userIds: who.userIds, historyFrom }),
    () => ada.request(REMOVE, { chatId: groupId, userId: who.userId }),
    () => bob.request(LEAVE, { chatId: groupId }),
    () => ada.request(RENAME, { chatId: groupId, title: `title ${number}` }),
    () => bob.request(MUTE, { chatId, muted: Math.random() < 0.5 }),
  ]);
  try {
    await act();
  } catch (error) {
    if (isAway(error)) await sleep(50);
    else if (!error.code) throw error;
  }
}

function fail(message) {
  console.error(`FAILED: ${message}`);
  process.exit(1);
}

async function main() {
  console.log(`talking to ${SERVER}`);
  const ada = await signIn(Session, 'ada');
  const bob = await signIn(Session, 'bob');
  const members = [bob.user.id];
  const groups = [];
  for (const [title, memberIds] of [['one', members], ['two', []], ['three', members]]) {
    groups.push((await ada.request(CREATE_GROUP, { title, memberIds })).createGroup.chat.id);
  }
  const direct = (await ada.request(START_CHAT, { userId: bob.user.id })).startChat.chat.id;
  const world = { ada, bob, groups, direct, sent: [] };

  const folder = await mkdtemp(`${tmpdir()}/replica-`);
  const replica = new Replica(await bob.token(), folder);
  replica.start({ cuts: true });
  // It begins before anything happens, so that all of it is told and nothing is fetched later.
  const late = setTimeout(() => fail('it never caught up'), 20_000);
  await replica.caughtUp;
  clearTimeout(late);
  // From here on the server may be killed and started again.
  console.log('the replica follows');
  for (let number = 1; number <= STEPS; number += 1) {
    await disturb(world, number);
    if (Math.random() < 0.05) await replica.kill();
    if (!replica.isRunning && Math.random() < 0.3) replica.start({ cuts: true });
  }
  if (replica.isRunning) await replica.kill();
  replica.start({ cuts: false });
  const wanted = await answered(() => fetchAll((query, variables) => bob.request(query, variables)));
  const deadline = Date.now() + 30_000;
  let kept = await replica.kept();
  while (!isDeepStrictEqual(kept, wanted) && Date.now() < deadline) {
    await sleep(50);
    kept = await replica.kept();
  }
  await replica.kill();
  await rm(folder, { recursive: true });
  if (!isDeepStrictEqual(kept, wanted)) {
    console.error(JSON.stringify({ kept, wanted }, null, 1));
    fail('the replica is not what the server answers.');
  }
  const messages = Object.values(wanted.chats).flatMap((chat) => Object.keys(chat.messages));
  console.log(
    `OK         ${STEPS} steps, ${replica.starts} starts: ${Object.keys(wanted.chats).length} ` +
      `chats with ${messages.length} messages, as the server has them`,
  );
}

main().catch((error) => fail(error.stack ?? error));
