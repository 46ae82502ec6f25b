// Every document that no code generator reads fits the schema.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'node:test';

import { defaultTabs } from '../graphiql/src/tabs.js';

const here = (path) => new URL(path, import.meta.url);
const { buildSchema, parse, validate } = createRequire(here('../node/package.json'))('graphql');
const schema = buildSchema(readFileSync(here('../node/schema.graphql'), 'utf8'));

/** The documents in a program: its template strings that are marked as GraphQL. */
const marked = (source) =>
  [...source.matchAll(/\/\* GraphQL \*\/ `([^`]*)`/g)].map(([, text]) => text);

test('the tabs of GraphiQL fit the schema', () => {
  assert.ok(defaultTabs.length > 1);
  for (const { query } of defaultTabs) assert.deepEqual(validate(schema, parse(query)), []);
});

test('the documents of the guide fit the schema', () => {
  const folder = here('../documents/');
  const files = readdirSync(folder);
  assert.ok(files.length > 0);
  for (const name of files) {
    const text = readFileSync(new URL(name, folder), 'utf8');
    assert.deepEqual(validate(schema, parse(text)), [], name);
  }
});

for (const folder of ['shared', 'harness', 'node/test']) {
  test(`the documents in ${folder} fit the schema`, () => {
    const files = readdirSync(here(`../${folder}/`)).filter((name) => /\.m?[jt]s$/.test(name));
    const sources = files.map((name) => readFileSync(here(`../${folder}/${name}`), 'utf8'));
    const documents = sources.flatMap(marked);
    assert.ok(documents.length > 0);
    for (const text of documents) assert.deepEqual(validate(schema, parse(text)), [], text);
  });
}
