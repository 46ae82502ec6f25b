// The types are the same whether they are made from the file of the SDL or from a server's introspection.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import test from 'node:test';
import { promisify } from 'node:util';

import { SERVER } from '../../harness/chat.mjs';

async function generate(schema) {
  const folder = await mkdtemp('generated-');
  try {
    const env = { ...process.env, CHAT_SCHEMA: schema, CHAT_GENERATED: `${folder}/` };
    await promisify(execFile)('npx', ['graphql-codegen', '--silent'], { env });
    const names = (await readdir(folder)).sort();
    const files = names.map(async (name) => [name, await readFile(`${folder}/${name}`, 'utf8')]);
    return Object.fromEntries(await Promise.all(files));
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('the SDL and introspection give the same types', async () => {
  const fromFile = await generate('schema.graphql');
  assert.match(fromFile['graphql.ts'], /export type AccountEventsSubscription =/);
  assert.deepEqual(await generate(`${SERVER}/graphql`), fromFile);
});
