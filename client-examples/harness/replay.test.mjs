// The documents of the examples, those of the last release and today's, are answered by this server:
//
//     CHAT_REPOSITORY=../.. node with-server.mjs node --test replay.test.mjs
//
// $CHAT_REPOSITORY is the folder of the repository, for what is kept of the last release. The server must
// let many sign in from one address (`limits.login_ip`). $CHAT_REGISTRY is a file that is written at first,
// with all these documents: for a server that then runs registered documents only, by their ids.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import test, { before } from 'node:test';

import { Kind, OperationTypeNode, parse, print, separateOperations } from 'graphql';

import { SERVER, startServer, stopServer } from './chat.mjs';
import { documentsOf } from './documents.mjs';
import { watchFor } from './outbox.mjs';
import { brokenIn, judge, lastRelease, schemaOf } from './release.mjs';

const REPOSITORY = process.env.CHAT_REPOSITORY;
const LOGIN = /* GraphQL */ `
  mutation Login($email: String!) {
    login(input: { email: $email }) {
      challenge
    }
  }
`;
const VERIFY = /* GraphQL */ `
  mutation Verify($challenge: String!, $code: String!) {
    verifyOtp(input: { challenge: $challenge, code: $code }) {
      accessToken
      refreshToken
      user {
        id
      }
    }
  }
`;
const START = /* GraphQL */ `
  mutation Start($userId: ID!) {
    startChat(input: { userId: $userId }) {
      chat {
        id
        headCursor
      }
    }
  }
`;
const SEND = /* GraphQL */ `
  mutation Send($chatId: ID!) {
    sendMessage(input: { chatId: $chatId, text: "Hello" }) {
      message {
        id
      }
    }
  }
`;
const EDIT = /* GraphQL */ `
  mutation Edit($messageId: ID!) {
    editMessage(input: { messageId: $messageId, text: "Hello again" }) {
      message {
        id
      }
    }
  }
`;

const idOf = (text) => createHash('sha256').update(text).digest('hex');
const byText = (query, variables) => JSON.stringify({ query, variables });
const byId = (query, variables) => JSON.stringify({ documentId: idOf(query), variables });
const body = process.env.CHAT_REGISTRY ? byId : byText;
const headers = (token, accept) => ({
  'content-type': 'application/json',
  accept,
  ...(token && { authorization: `Bearer ${token}` }),
});

/** The answer to a query or a mutation. */
async function answer(token, query, variables) {
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: headers(token, 'application/graphql-response+json'),
    body: body(query, variables),
    signal: AbortSignal.timeout(20_000),
  });
  return response.json();
}

/** The first event of a subscription. */
async function firstEvent(token, query, variables) {
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: headers(token, 'text/event-stream'),
    body: body(query, variables),
    signal: AbortSignal.timeout(20_000),
  });
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const data = /^data: ?(\{.*)\n/m.exec(text)?.[1];
    if (data) return JSON.parse(data);
  }
  throw new Error(`it ended without an event: ${text}`);
}

async function dataOf(...request) {
  const { data, errors } = await answer(...request);
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

const address = () => `replay-${randomBytes(4).toString('hex')}@example.org`;

/** What `verifyOtp` takes, for an account of its own. */
async function codeOf() {
  const email = address();
  const read = await watchFor(email);
  const { login } = await dataOf(undefined, LOGIN, { email });
  return { challenge: login.challenge, code: await read() };
}

const signIn = async () => (await dataOf(undefined, VERIFY, await codeOf())).verifyOtp;

const documents = documentsOf(new URL('../', import.meta.url));
const last = lastRelease(REPOSITORY);
const excused = last
  ? new Set(judge(last, schemaOf(REPOSITORY), brokenIn(REPOSITORY, last)).excused.map(({ name }) => name))
  : new Set();

/** The operations of a document, each with its fragments. */
const operationsIn = (text) => Object.values(separateOperations(parse(text))).map(print);

/** Registers all documents, and starts the server with them. */
async function register() {
  const texts = [...documents.values()];
  for (const [name, text] of last?.documents ?? []) if (!excused.has(name)) texts.push(text);
  const operations = texts.flatMap(operationsIn).concat(LOGIN, VERIFY, START, SEND, EDIT);
  const registry = Object.fromEntries(operations.map((text) => [idOf(text), text]));
  await writeFile(process.env.CHAT_REGISTRY, JSON.stringify(registry));
  await stopServer('SIGTERM');
  await startServer(`http.documents.trusted="${process.env.CHAT_REGISTRY}"`, 'http.documents.trusted_only=true');
}

let user;
let chat;
before(async () => {
  if (process.env.CHAT_REGISTRY) await register();
  user = await signIn();
  const other = await signIn();
  ({ chat } = (await dataOf(user.accessToken, START, { userId: other.user.id })).startChat);
  // Both lines of the chat have something behind `headCursor`.
  const { message } = (await dataOf(user.accessToken, SEND, { chatId: chat.id })).sendMessage;
  await dataOf(user.accessToken, EDIT, { messageId: message.id });
});

/** What is given for a variable, by its name. Those that may be left out are, if they are not here. */
const VALUES = {
  // What was missed is told at once.
  after: ({ operation, type }) =>
    operation === OperationTypeNode.SUBSCRIPTION && type === 'String' ? chat.headCursor : undefined,
  challenge: async ({ signingIn }) => (await signingIn()).challenge,
  chatId: () => chat.id,
  clientMessageId: () => randomUUID(),
  code: async ({ signingIn }) => (await signingIn()).code,
  count: () => 10,
  email: address,
  first: () => 10,
  id: () => chat.id,
  input: ({ type }) =>
    ({
      'CreateUploadInput!': { fileName: 'a.txt', contentType: 'text/plain', byteSize: 5 },
      'SendMessageInput!': { chatId: chat.id, text: `Hello ${randomUUID()}` },
    })[type],
  last: () => 10,
  messageId: async () =>
    (await dataOf(user.accessToken, SEND, { chatId: chat.id })).sendMessage.message.id,
  refreshToken: async () => (await signIn()).refreshToken,
  text: () => `Hello ${randomUUID()}`,
  userId: async () => (await signIn()).user.id,
};

async function variablesOf({ operation, variableDefinitions = [] }) {
  let signing;
  const signingIn = () => (signing ??= codeOf());
  const variables = {};
  for (const { variable, type, defaultValue } of variableDefinitions) {
    const { value: name } = variable.name;
    const isNeeded = type.kind === Kind.NON_NULL_TYPE && !defaultValue;
    if (!VALUES[name] && isNeeded) throw new Error(`say in VALUES what $${name} is`);
    variables[name] = await VALUES[name]?.({ operation, type: print(type), signingIn });
  }
  return variables;
}

/** Sends each operation of a document; fails where one is refused. */
async function replay(text) {
  for (const query of operationsIn(text)) {
    const { definitions } = parse(query);
    const operation = definitions.find(({ kind }) => kind === Kind.OPERATION_DEFINITION);
    const ask = operation.operation === OperationTypeNode.SUBSCRIPTION ? firstEvent : answer;
    const { data, errors } = await ask(user.accessToken, query, await variablesOf(operation));
    assert.equal(errors, undefined, `${operation.name.value}: ${JSON.stringify(errors)}`);
    assert.ok(data && Object.values(data).every((value) => value !== null), operation.name.value);
  }
}

for (const [name, text] of documents) test(`the server answers ${name}`, () => replay(text));
for (const [name, text] of last?.documents ?? []) {
  // What is broken by name is in CHANGELOG.md; what is as it was is asked above.
  const skip = excused.has(name) || documents.get(name) === text;
  test(`the server answers ${name} of ${last.version}`, { skip }, () => replay(text));
}

test('a server of registered documents runs no text', { skip: !process.env.CHAT_REGISTRY }, async () => {
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: headers(undefined, 'application/json'),
    body: byText('{ server { version } }'),
  });
  const { errors } = await response.json();
  assert.equal(errors[0].extensions.code, 'PERSISTED_QUERY_ONLY');
});

test('a document that the server does not know fails', async () => {
  const refused = process.env.CHAT_REGISTRY ? /PERSISTED_QUERY_NOT_FOUND/ : /GRAPHQL_VALIDATION_FAILED/;
  await assert.rejects(replay('query Old { server { version oldName } }'), refused);
  await assert.rejects(replay('query Old { node(id: "nowhere") { id } }'), /Old/);
  await assert.rejects(replay('subscription Old { oldEvents { cursor } }'), refused);
  await assert.rejects(replay('query Old($odd: Int!) { users(first: $odd) { nodes { id } } }'), /VALUES/);
});
