// The schema of the last release, and what has changed since:
//
//     node release.mjs compare REPOSITORY              fails at a breaking change that is not named
//     node release.mjs record REPOSITORY EXAMPLES      keeps the schema and documents of a release
//
// `schema/released/README.md` says what is kept. EXAMPLES is the folder of the examples, with what Relay's
// compiler wrote.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { NoDeprecatedCustomRule, buildSchema, parse, specifiedRules, validate } from 'graphql';

import { brokenSince, compare, newest } from './compatibility.mjs';
import { documentsOf, usedIn } from './documents.mjs';

const read = (path) => readFileSync(path, 'utf8');
export const schemaOf = (repository) => buildSchema(read(`${repository}/schema/schema.graphql`));

/** The last release that is kept: its version, its schema and its documents. Undefined before the first. */
export function lastRelease(repository) {
  const kept = `${repository}/schema/released`;
  const version = newest(existsSync(kept) ? readdirSync(kept) : []);
  if (!version) return undefined;
  const folder = `${kept}/${version}/documents`;
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.graphql'));
  const documents = new Map(files.sort().map((name) => [name.slice(0, -8), read(`${folder}/${name}`)]));
  if (documents.size === 0) throw new Error(`${folder} is empty.`);
  return { version, schema: buildSchema(read(`${kept}/${version}/schema.graphql`)), documents };
}

/** The coordinates that CHANGELOG.md names as broken since the release. */
export const brokenIn = (repository, { version, schema }) =>
  brokenSince(read(`${repository}/CHANGELOG.md`), version, schema, schemaOf(repository));

/**
 * The documents of a release that do not fit the schema any more, as `{ name, message }`, and those that
 * need not, since they use what is broken by name.
 */
export function judge({ documents, schema }, after, broken) {
  const outcome = { refused: [], excused: [] };
  for (const [name, text] of documents) {
    const [error] = validate(after, parse(text));
    if (!error) continue;
    const uses = [...usedIn(text, schema)].filter((coordinate) => broken.has(coordinate));
    outcome[uses.length > 0 ? 'excused' : 'refused'].push({ name, message: error.message });
  }
  return outcome;
}

async function compareWithRelease(repository) {
  const last = lastRelease(repository);
  if (!last) {
    console.log('OK         nothing is released yet: any change is free');
    return;
  }
  const after = schemaOf(repository);
  const broken = brokenIn(repository, last);
  const { refused, excused, told } = await compare(last.schema, after, broken);
  const documents = judge(last, after, broken);
  for (const { coordinate, message } of told) console.log(`dangerous  ${coordinate}: ${message}`);
  for (const { coordinate, message } of excused) console.log(`let go     ${coordinate}: ${message}`);
  for (const { name, message } of documents.excused) console.log(`let go     ${name}: ${message}`);
  for (const { coordinate, message } of refused) console.error(`BREAKING   ${coordinate}: ${message}`);
  for (const { name, message } of documents.refused) console.error(`BREAKING   ${name}: ${message}`);
  if (refused.length + documents.refused.length > 0) {
    console.error(
      `FAILED: clients of ${last.version} would break. Deprecate a part first, and remove it a release later;\n` +
        'or name it in CHANGELOG.md, above what was released, under "### Breaking":',
    );
    for (const { coordinate } of refused) console.error(`    - \`${coordinate}\`: what to use instead.`);
    process.exitCode = 1;
    return;
  }
  console.log(`OK         clients of ${last.version} go on; ${last.documents.size} documents fit`);
}

function record(repository, examples) {
  const manifest = read(`${repository}/Cargo.toml`);
  const version = /^\[workspace\.package\][^[]*?^version = "([^"]+)"/m.exec(manifest)?.[1];
  if (!version || newest([version]) !== version) {
    throw new Error(`Cargo.toml has the version ${version}: only such as 1.2.3 are kept.`);
  }
  const schema = schemaOf(repository);
  // Throws where the section is not there, by which later changes are told from those of the release.
  brokenSince(read(`${repository}/CHANGELOG.md`), version, schema, schema);
  const documents = documentsOf(pathToFileURL(`${examples}/`));
  for (const [name, text] of documents) {
    // A document that uses what is deprecated would not fit the schema of the next release.
    const [error] = validate(schema, parse(text), [...specifiedRules, NoDeprecatedCustomRule]);
    if (error) throw new Error(`${name}: ${error.message}`);
  }
  const folder = `${repository}/schema/released/${version}`;
  rmSync(folder, { recursive: true, force: true });
  const files = new Map([...documents].map(([name, text]) => [`documents/${name}.graphql`, text]));
  files.set('schema.graphql', read(`${repository}/schema/schema.graphql`));
  for (const [name, text] of files) {
    mkdirSync(dirname(`${folder}/${name}`), { recursive: true });
    writeFileSync(`${folder}/${name}`, text);
  }
  console.log(`OK         ${folder} has the schema and ${documents.size} documents`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  await { compare: compareWithRelease, record }[command](...args);
}
