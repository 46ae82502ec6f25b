// Two users chat; one loses the connection again and again, and still gets each message exactly
// once and in order. Exits with 1 if not.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { watchFor } from './outbox.mjs';
import { SERVER, Session, connect, follow, send } from './talksy.mjs';

const START_CHAT = /* GraphQL */ `
  mutation StartChat($userId: ID!) {
    startChat(input: { userId: $userId }) {
      chat {
        id
      }
    }
  }
`;

const MESSAGES = /* GraphQL */ `
  query Messages($chatId: ID!, $after: String) {
    chat(id: $chatId) {
      headCursor
      messages(first: 100, after: $after) {
        edges {
          cursor
          node {
            id
            seq
            text
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`;

// New addresses for each run: a code can be asked for once a minute for an address.
const run = randomBytes(4).toString('hex');

async function signIn(name) {
  const email = `${name}-${run}@example.org`;
  const session = await Session.signIn(email, await watchFor(email));
  console.log(`signed in  ${email} as ${session.user.id}`);
  return session;
}

/** All messages of a chat, oldest first, and the cursor behind them. */
async function history(session, chatId) {
  const edges = [];
  for (let after = null; ; ) {
    const { chat } = await session.request(MESSAGES, { chatId, after });
    edges.push(...chat.messages.edges);
    const { hasNextPage, endCursor } = chat.messages.pageInfo;
    // An empty page has no cursor of its own.
    if (!hasNextPage) return { edges, cursor: endCursor ?? after ?? chat.headCursor };
    after = endCursor;
  }
}

/** A user who reads a chat: what was there already, then what comes. */
class Reader {
  edges = [];
  drops = 0;
  #waiting = new Set();
  #network = Promise.resolve();
  #comeBack = () => {};

  constructor(name, session, chatId) {
    Object.assign(this, { name, session, chatId });
  }

  async open() {
    const { edges, cursor } = await history(this.session, this.chatId);
    this.edges = edges;
    this.connection = connect(this.session, { online: () => this.#network });
    // The live feed takes the cursor of a page. A message that is sent between the two requests
    // is in the feed.
    this.close = follow(this.connection.client, this.chatId, cursor, {
      onMessage: (edge) => {
        this.edges.push(edge);
        for (const waiting of this.#waiting) waiting(edge.node);
      },
      onError: (error) => fail(`${this.name}'s feed ended: ${error.message ?? error}`),
    });
  }

  /** Cuts the connection. Until `comeBack` there is no network. */
  leave() {
    this.drops += 1;
    this.#network = new Promise((resolve) => (this.#comeBack = resolve));
    this.connection.cut();
  }

  comeBack() {
    this.#comeBack();
  }

  /** Waits until the message with this number has come. */
  async until(seq) {
    if (this.edges.some(({ node }) => node.seq === seq)) return;
    let arrived;
    const came = new Promise((resolve) => {
      arrived = (message) => message.seq === seq && resolve(true);
      this.#waiting.add(arrived);
    });
    const timer = new AbortController();
    const late = sleep(20_000, false, { signal: timer.signal }).catch(() => {});
    if (!(await Promise.race([came, late]))) fail(`${this.name} never got message ${seq}.`);
    timer.abort();
    this.#waiting.delete(arrived);
  }
}

/** What is wrong with what a reader got, compared with what the store holds. */
function problems(got, stored) {
  const found = [];
  const seqs = got.map(({ node }) => node.seq);
  const list = (label, numbers) => numbers.length && found.push(`${label}: ${numbers.join(', ')}`);
  list('lost', stored.map(({ node }) => node.seq).filter((seq) => !seqs.includes(seq)));
  list('doubled', seqs.filter((seq, at) => seqs.indexOf(seq) !== at));
  list('out of order', seqs.filter((seq, at) => at > 0 && seq < seqs[at - 1]));
  const byseq = new Map(stored.map(({ node }) => [node.seq, node]));
  const differs = ({ node }) =>
    node.id !== byseq.get(node.seq)?.id || node.text !== byseq.get(node.seq)?.text;
  list('different from the stored one', got.filter(differs).map(({ node }) => node.seq));
  return found;
}

function fail(message) {
  console.error(`FAILED: ${message}`);
  process.exit(1);
}

async function main() {
  console.log(`talking to ${SERVER}`);
  const ada = await signIn('ada');
  const grace = await signIn('grace');

  const { startChat } = await ada.request(START_CHAT, { userId: grace.user.id });
  const chatId = startChat.chat.id;

  // Both read. Grace is the one who will lose her connection.
  const phone = new Reader('Grace', grace, chatId);
  const readers = [new Reader('Ada', ada, chatId), phone];
  for (const reader of readers) await reader.open();

  // A talk: each answers when the other's message has come.
  for (let turn = 1; turn <= 3; turn += 1) {
    const question = await send(ada, chatId, `Question ${turn}`);
    await phone.until(question.seq);
    const answer = await send(grace, chatId, `Answer ${turn}`);
    for (const reader of readers) await reader.until(answer.seq);
  }
  console.log('chatted    both ways, live');

  // Grace's connection is cut. Ada writes on; the messages wait in the store.
  phone.leave();
  let last;
  for (let number = 1; number <= 5; number += 1) {
    last = await send(ada, chatId, `While you were away, ${number}`);
  }
  // Meanwhile her token expired, as it does over night: the new connection brings another.
  grace.expired();
  const before = phone.edges.length;
  phone.comeBack();
  await phone.until(last.seq);
  console.log(`resumed    after a cut, with ${phone.edges.length - before} missed messages`);

  // The hard case: the connection is cut while messages are under way, and again while those
  // that were missed are.
  const burst = Array.from({ length: 15 }, (_, at) => send(ada, chatId, `Burst ${at + 1}`));
  for (const arrived of [3, 7, 11]) {
    await phone.until(last.seq + arrived);
    phone.leave();
    phone.comeBack();
  }
  await Promise.all(burst);
  console.log(`resumed    after ${phone.drops - 1} cuts in a burst of ${burst.length} messages`);

  // When the good-bye is there, all that came before it is, or never will be.
  const { seq } = await send(grace, chatId, 'Bye');
  for (const reader of readers) await reader.until(seq);
  for (const reader of readers) reader.close();

  const { edges: stored } = await history(ada, chatId);
  if (stored.some(({ node }, at) => node.seq !== at + 1)) fail('the store has a hole.');
  for (const { name, edges } of readers) {
    const found = problems(edges, stored);
    if (found.length) fail(`of ${stored.length} messages ${name} has ${found.join('; ')}.`);
  }
  console.log(
    `OK         ${stored.length} messages, ${phone.drops} cuts: nothing lost, doubled or reordered`,
  );
}

main().catch((error) => {
  const details = [
    error.code && `code ${error.code}`,
    error.retryAfter && `try again in ${error.retryAfter} s`,
    error.cause && (error.cause.message || error.cause.code),
  ].filter(Boolean);
  fail(details.length ? `${error.message} (${details.join(', ')})` : error.message);
});
