// Users of the server that `with-server.mjs` runs, and what they ask.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

export const SERVER = process.env.CHAT_URL;
export const GRAPHQL = `${SERVER}/graphql`;

/** Asks what runs the server. */
async function control(action) {
  const answer = await fetch(`${process.env.CHAT_CONTROL}${action}`, { method: 'POST' });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return text;
}

/** The data of an operation, which must not fail. */
export async function ask(query, variables = {}, token) {
  const answer = await fetch(GRAPHQL, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization(token) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined);
  return data;
}

export const authorization = (token) => (token ? { authorization: `Bearer ${token}` } : {});

/** Signs a new user in: their id and access token. */
export async function signIn(name) {
  const email = `${name}-${randomBytes(4).toString('hex')}@example.org`;
  await control(`/expect?email=${email}`);
  const { login } = await ask(
    'mutation ($email: String!) { login(input: { email: $email }) { challenge } }',
    { email },
  );
  const code = await control(`/code?email=${email}`);
  const { verifyOtp } = await ask(
    `mutation ($challenge: String!, $code: String!) {
      verifyOtp(input: { challenge: $challenge, code: $code }) { accessToken user { id name } }
    }`,
    { challenge: login.challenge, code },
  );
  return { token: verifyOtp.accessToken, ...verifyOtp.user };
}

/** Two users with a chat. */
export async function pair() {
  const [ada, bob] = [await signIn('ada'), await signIn('bob')];
  const { startChat } = await ask(
    'mutation ($id: ID!) { startChat(input: { userId: $id }) { chat { id headCursor } } }',
    { id: bob.id },
    ada.token,
  );
  return { ada, bob, chat: startChat.chat.id, after: startChat.chat.headCursor };
}

/** Sends a message. */
export const send = (user, chat, text) =>
  ask(
    `mutation ($chat: ID!, $text: String!) {
      sendMessage(input: { chatId: $chat, text: $text }) { message { seq } }
    }`,
    { chat, text },
    user.token,
  );

/** Follows a chat; what was sent behind the cursor comes too, so that it does not matter when it begins. */
export const MESSAGES = `
  subscription Messages($chat: ID!, $after: String) {
    messageAdded(chatId: $chat, after: $after) { node { text } }
  }
`;
/** What such an event has. */
export const added = (text) => ({ data: { messageAdded: { node: { text } } } });
