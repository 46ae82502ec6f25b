// That generated types are the same, whether they are made from the file of the SDL or from a server's
// introspection. The functions run in the folder of an example, which is built.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

import { SERVER } from './chat.mjs';

const run = promisify(execFile);

/** Calls back with a new folder of the example, which is removed then. */
async function inFolder(use) {
  const folder = await mkdtemp('from-server-');
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function filesIn(folder) {
  const names = (await readdir(folder)).sort();
  const files = names.map(async (name) => [name, await readFile(`${folder}/${name}`, 'utf8')]);
  return Object.fromEntries(await Promise.all(files));
}

/** gql.tada's: `src/generated/schema.d.ts`. */
export const tadaGivesTheSame = () =>
  inFolder(async (folder) => {
    const config = {
      extends: '../tsconfig.json',
      compilerOptions: {
        plugins: [
          {
            name: 'gql.tada/ts-plugin',
            schema: `${SERVER}/graphql`,
            tadaOutputLocation: `./schema.d.ts`,
          },
        ],
      },
    };
    await writeFile(`${folder}/tsconfig.json`, JSON.stringify(config));
    await run('npx', ['gql.tada', 'generate-output', '-c', `${folder}/tsconfig.json`]);
    const fromFile = await readFile('src/generated/schema.d.ts', 'utf8');
    assert.match(fromFile, /'AccountEvent':/);
    // Introspection has all scalars of GraphQL, also those that no part of the schema uses.
    const fromServer = await readFile(`${folder}/schema.d.ts`, 'utf8');
    assert.equal(fromServer.replace(/^ +'Float': unknown;\n/m, ''), fromFile);
  });

/** Those of Relay's compiler, which takes an SDL alone: the one that introspection tells. */
export const relayGivesTheSame = () =>
  inFolder(async (folder) => {
    const { buildClientSchema, getIntrospectionQuery, printSchema } = createRequire(
      `${process.cwd()}/package.json`,
    )('graphql');
    const response = await fetch(`${SERVER}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: getIntrospectionQuery({ inputValueDeprecation: true }) }),
    });
    const { data } = await response.json();
    await writeFile(`${folder}/schema.graphql`, printSchema(buildClientSchema(data)));
    const config = JSON.parse(await readFile('relay.config.json', 'utf8'));
    config.schema = `./${folder}/schema.graphql`;
    config.artifactDirectory = `./${folder}/generated`;
    await writeFile(`relay.${folder}.json`, JSON.stringify(config));
    try {
      await run('mkdir', [`${folder}/generated`]);
      await run('npx', ['relay-compiler', `relay.${folder}.json`]);
    } finally {
      await rm(`relay.${folder}.json`);
    }
    const fromFile = await filesIn('src/__generated__');
    assert.ok('chat_thread.graphql.ts' in fromFile);
    assert.deepEqual(await filesIn(`${folder}/generated`), fromFile);
  });
