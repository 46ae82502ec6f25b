// An older and a newer server: by what such servers have answered, and by the one that runs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { buildSchema, print, validate } from 'graphql';

import { SERVER, signIn } from '../../harness/chat.mjs';
import { NEEDS, chatsDocument } from '../dist/features.js';
import { askServer, decide } from '../dist/talksy/server.js';
import { Session } from '../dist/talksy/session.js';

const SDL = await readFile('schema.graphql', 'utf8');
/** Answers as a server has. */
const recorded = (answer) => async () => Response.json(answer);
const says = (server) => recorded({ data: { server } });
const decideFor = async (answer) => decide(await askServer(SERVER, answer), NEEDS);

test('decides what to do with an older and a newer server', async () => {
  const older = await decideFor(
    says({ version: '0.0.9', schemaHash: '0', features: ['directChats', 'graphqlTransportWs', 'resume'] }),
  );
  assert.deepEqual(older, { missing: [], tooOld: undefined, usable: new Set() });
  // The server before `isMutedByViewer`: it would refuse the whole document with it.
  const before = SDL.replace(/\t"[^"]*"\n\tisMutedByViewer: Boolean!\n/, '');
  assert.notEqual(before, SDL);
  assert.deepEqual(validate(buildSchema(before), chatsDocument(older)), []);
  const newest = await decideFor();
  const [refused] = validate(buildSchema(before), chatsDocument(newest));
  assert.match(refused.message, /isMutedByViewer/);

  const tooOld = await decideFor(says({ version: '0.0.1', schemaHash: '0', features: ['directChats'] }));
  assert.deepEqual(tooOld.missing, ['graphqlTransportWs', 'resume']);
  assert.equal(tooOld.tooOld, 'server');

  const newer = ['graphqlTransportWs', 'muteChat', 'resume', 'teleport'];
  const without = await decideFor(says({ version: '2.0.0', schemaHash: '1', features: newer }));
  assert.deepEqual(without, { missing: ['directChats'], tooOld: 'client', usable: new Set(['muteChat']) });
  const withAll = says({ version: '0.10.0', schemaHash: '1', features: [...newer, 'directChats'] });
  assert.deepEqual((await decideFor(withAll)).missing, []);
});

test('a server that does not know the question is too old for all', async () => {
  // This server's own answer to a field that it does not have.
  const response = await fetch(`${SERVER}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ serverOfTomorrow { version } }' }),
  });
  const decision = await decideFor(recorded(await response.json()));
  assert.deepEqual(decision.missing, NEEDS.required);
  assert.equal(decision.tooOld, 'server');
  // Whereas one that is down is no old one.
  const down = { errors: [{ message: 'Try again.', extensions: { code: 'UNAVAILABLE' } }] };
  await assert.rejects(decideFor(recorded(down)), { code: 'UNAVAILABLE' });
});

test('the server that runs has all that is needed, and the schema that the types are of', async () => {
  const server = await askServer(SERVER);
  const decision = decide(server, NEEDS);
  assert.deepEqual(decision, { missing: [], tooOld: undefined, usable: new Set(NEEDS.optional) });
  assert.equal(server.version, NEEDS.madeFor);
  assert.equal(server.schemaHash, createHash('sha256').update(SDL).digest('hex').slice(0, 16));

  const session = await signIn(Session, 'ada');
  const grace = await signIn(Session, 'grace');
  const start = `mutation Start($userId: ID!) { startChat(input: { userId: $userId }) { chat { id } } }`;
  const { startChat } = await session.request(start, { userId: grace.user.id });
  const { chats } = await session.request(print(chatsDocument(decision)));
  const [{ id, isMutedByViewer }] = chats.nodes;
  assert.deepEqual({ id, isMutedByViewer }, { id: startChat.chat.id, isMutedByViewer: false });
});
