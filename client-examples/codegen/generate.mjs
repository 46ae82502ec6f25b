// Generates TypeScript types from the published schema for every operation of the examples, with
// the plugins of GraphQL Code Generator. An operation that does not fit the schema is an error.
//
// An application would rather have the command line `graphql-codegen` with a configuration file
// do this; it runs the same plugins.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';

import { codegen } from '@graphql-codegen/core';
import * as typedDocuments from '@graphql-codegen/typed-document-node';
import * as types from '@graphql-codegen/typescript';
import * as operations from '@graphql-codegen/typescript-operations';
import { buildSchema, parse, validate } from 'graphql';

import { defaultTabs } from '../graphiql/src/tabs.js';

const here = (path) => new URL(path, import.meta.url);

/** The operations in a program: its template strings that are marked as GraphQL. */
function marked(source) {
  return [...source.matchAll(/\/\* GraphQL \*\/ `([^`]*)`/g)].map(([, text]) => text);
}

const sources = [];
for (const folder of ['resume', 'replica']) {
  const names = await readdir(here(`../${folder}/`));
  for (const name of names.filter((name) => name.endsWith('.mjs'))) {
    const texts = marked(await readFile(here(`../${folder}/${name}`), 'utf8'));
    sources.push(...texts.map((text) => ({ location: `${folder}/${name}`, text })));
  }
}
const tabs = defaultTabs.map(({ query }) => ({ location: 'graphiql/src/tabs.js', text: query }));

const sdl = await readFile(here('../../schema/schema.graphql'), 'utf8');
const schema = buildSchema(sdl);
let invalid = 0;
for (const { location, text } of [...sources, ...tabs]) {
  for (const error of validate(schema, parse(text))) {
    console.error(`FAILED: ${location}: ${error}`);
    invalid += 1;
  }
}
if (invalid > 0) process.exit(1);

const config = {
  // The wire has strings for these.
  scalars: { DateTime: 'string', ID: 'string' },
  strictScalars: true,
  enumsAsTypes: true,
  useTypeImports: true,
};
const documents = sources.map(({ location, text }) => ({ location, document: parse(text) }));

/** Writes a file of generated code. */
async function generate(filename, documents, pluginMap) {
  const plugins = Object.keys(pluginMap).map((name) => ({ [name]: {} }));
  const code = await codegen({ filename, schema: parse(sdl), documents, config, pluginMap, plugins });
  await writeFile(here(filename), code);
}

await mkdir(here('generated/'), { recursive: true });
// Two files: the operations bring the inputs and enums that they use.
await generate('generated/schema.ts', [], { types });
await generate('generated/graphql.ts', documents, { operations, typedDocuments });
console.log(`OK         ${sources.length} operations and ${tabs.length} tabs fit the schema`);
