// What is kept of a release, and that a later schema is held to it. Needs the examples, with what
// Relay's compiler wrote.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { buildSchema, parse, validate } from 'graphql';

import { documentsOf, usedIn } from './documents.mjs';

const EXAMPLES = new URL('../', import.meta.url);
const SDL = readFileSync(new URL('node/schema.graphql', EXAMPLES), 'utf8');
const SCRIPT = fileURLToPath(new URL('release.mjs', import.meta.url));

test('each example has documents, and all fit the schema', () => {
  const documents = documentsOf(EXAMPLES);
  const schema = buildSchema(SDL);
  const examples = new Set([...documents.keys()].map((name) => name.split('/')[0]));
  const known = ['apollo', 'graphiql', 'node', 'python', 'relay', 'shared', 'shell', 'urql'];
  assert.deepEqual([...examples].sort(), known);
  for (const [name, text] of documents) assert.deepEqual(validate(schema, parse(text)), [], name);
  // Each signs in, starts a chat, sends, edits, and receives live.
  for (const example of known.filter((name) => !['graphiql', 'shared'].includes(name))) {
    const own = [...documents].filter(([name]) => [example, 'shared'].includes(name.split('/')[0]));
    const used = new Set(own.flatMap(([, text]) => [...usedIn(text, schema)]));
    for (const coordinate of [
      'Mutation.login',
      'Mutation.verifyOtp',
      'Mutation.startChat',
      'Mutation.sendMessage',
      'Mutation.editMessage',
      'Subscription.messageAdded',
    ]) {
      assert.ok(used.has(coordinate), `${example}: ${coordinate}`);
    }
  }
});

test('what a document uses is told by coordinates', () => {
  const schema = buildSchema(SDL);
  const text = `query Q($chatId: ID!) {
    chat(id: $chatId) { ...F }
  }
  fragment F on Chat { messages(last: 3) { nodes { id } } }
  mutation M { login(input: { email: "a@example.org" }) { challenge } }`;
  assert.deepEqual([...usedIn(text, schema)].sort(), [
    'Chat',
    'Chat.messages',
    'Chat.messages(last:)',
    'ID',
    'LoginInput.email',
    'LoginPayload.challenge',
    'Message.id',
    'MessageConnection.nodes',
    'Mutation.login',
    'Mutation.login(input:)',
    'Query.chat',
    'Query.chat(id:)',
  ]);
});

test('a release is kept, and later schemas are held to it', () => {
  const repository = mkdtempSync(`${tmpdir()}/talksy-release-`);
  const write = (name, text) => writeFileSync(`${repository}/${name}`, text);
  const version = (text) => write('Cargo.toml', `[workspace.package]\nedition = "2024"\nversion = "${text}"\n`);
  const log = (entries) => write('CHANGELOG.md', `## Unreleased\n\n${entries}\n\n## 1.4.0 - 2030-01-01\n`);
  const run = (...args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8' });
    return { status, said: stdout + stderr };
  };
  const compare = () => run('compare', repository);
  const record = () => run('record', repository, fileURLToPath(EXAMPLES));
  try {
    mkdirSync(`${repository}/schema`);
    write('schema/schema.graphql', SDL);
    log('');
    assert.deepEqual(compare(), { status: 0, said: 'OK         nothing is released yet: any change is free\n' });

    version('1.4.0-rc.1');
    assert.match(record().said, /only such as 1\.2\.3 are kept/);
    version('1.5.0');
    assert.match(record().said, /CHANGELOG\.md has no section of 1\.5\.0/);
    assert.ok(!existsSync(`${repository}/schema/released`));
    version('1.4.0');
    const recorded = record();
    assert.equal(recorded.status, 0, recorded.said);
    assert.deepEqual(readdirSync(`${repository}/schema/released`), ['1.4.0']);
    const same = compare();
    assert.equal(same.status, 0, same.said);
    assert.match(same.said, /^OK +clients of 1\.4\.0 go on; \d\d documents fit$/m);

    // What all examples send.
    const broken = SDL.replace(/^\tclientMessageId: String$/gm, '\tclientToken: String');
    assert.notEqual(broken, SDL);
    write('schema/schema.graphql', broken);
    const refused = compare();
    assert.equal(refused.status, 1);
    assert.match(refused.said, /^BREAKING +SendMessageInput\.clientMessageId: /m);
    assert.match(refused.said, /^BREAKING +apollo\/chat: .*clientMessageId/m);
    assert.match(refused.said, /^BREAKING +shell\/talksy: .*clientMessageId/m);
    const entries = [...refused.said.matchAll(/^ {4}(- `.*`: .*)$/gm)].map(([, entry]) => entry);
    assert.ok(entries.length >= 2, refused.said);

    // The lines that it proposes are what lets it through.
    log(`### Breaking\n${entries.slice(1).join('\n')}`);
    assert.equal(compare().status, 1);
    log(`### Breaking\n${entries.join('\n')}`);
    const named = compare();
    assert.equal(named.status, 0, named.said);
    assert.match(named.said, /^let go +SendMessageInput\.clientMessageId: /m);
    assert.match(named.said, /^let go +apollo\/chat: /m);

    // A document may not come to nothing by what is not named.
    write(`schema/released/1.4.0/documents/old.graphql`, 'query Old { server { name } }');
    const unfit = compare();
    assert.equal(unfit.status, 1);
    assert.match(unfit.said, /^BREAKING +old: Cannot query field "name"/m);
  } finally {
    rmSync(repository, { recursive: true });
  }
});
