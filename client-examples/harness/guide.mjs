// Checks the guide for client developers, and what the README has of it: each snippet and each quotation is
// literally in the file that is named before or below it, the promise of `accountEvents` stands there in its own
// words, and every code of an error is told with what to do.
import { existsSync, readFileSync, readdirSync } from 'node:fs';

const root = new URL('../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, root), 'utf8');
const PAGES = ['docs/CLIENTS.md', 'client-examples/README.md', 'README.md'];
const problems = [];

/** The files of this repository that a text names, the last one first. */
const named = (text) =>
  [...text.matchAll(/`((?:client-examples|schema)\/[\w./-]+\.\w+)`/g)].map(([, path]) => path).reverse();

let snippets = 0;
let quotations = 0;
for (const page of PAGES) {
  const text = read(page);
  for (const { 1: language, 2: code, index } of text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)) {
    // The README has single operations to paste.
    if (language === 'text' || (page === 'README.md' && language === 'graphql')) continue;
    snippets += 1;
    // Several snippets in a row belong to the files that one paragraph names.
    const section = text.slice(text.lastIndexOf('\n## ', index), index);
    if (!named(section).some((path) => read(path).includes(code))) {
      problems.push(`${page}: no file that is named before it has this snippet:\n${code}`);
    }
  }
  for (const [block, quoted, path] of text.matchAll(/((?:^> .*\n)+)^>\n^> — `([^`]+)`$/gm)) {
    quotations += 1;
    const words = (some) => some.replace(/\s+/g, ' ').trim();
    if (!words(read(path)).includes(words(quoted.replace(/^> /gm, '')))) {
      problems.push(`${page}: ${path} does not say this:\n${block}`);
    }
  }
}

const guide = read('docs/CLIENTS.md');
const PROMISE =
  'once and in order on one connection, at least once across connections, idempotent by (chat, `seq`) and ' +
  "`changeSeq`. Others' receipts are not on a line: `Chat.readByAllSeq` tells the ticks absolutely, is in the " +
  'checkpoint, and where it differs on resume `ChatChanged` follows. Others\' profiles and presence are outside.';
if (!guide.replace(/\s+/g, ' ').includes(PROMISE)) {
  problems.push('docs/CLIENTS.md: the promise of accountEvents is told in other words');
}
const [, codes] = /^enum ErrorCode \{([^}]*)\}/m.exec(read('schema/schema.graphql'));
const known = codes.match(/^\t[A-Z_]+$/gm).map((code) => code.trim());
const table = guide.split('\n').filter((line) => line.startsWith('| `')).join('\n');
for (const code of known) {
  if (!table.includes(`\`${code}\``)) problems.push(`docs/CLIENTS.md: what to do for ${code}?`);
}
// Each letter in the table of the examples is a test of that example.
const readme = read('client-examples/README.md');
const rows = readme.split('\n').filter((line) => line.startsWith('|')).map((line) => line.slice(2, -2).split(' | '));
const tests = new Map(rows.filter(([letter, name]) => /^[a-z]$/.test(letter) && name).map((row) => row));
const header = rows.find(([feature]) => feature === 'feature');
/** The names of the tests in a file; of a program that is one test, all that it says. */
const namesIn = ({ pathname }) => {
  const source = readFileSync(pathname, 'utf8');
  const names = [...source.matchAll(/\b(?:test\(\s*'|def test_)([^'(]+)/g)].map(([, name]) => name);
  return names.length > 0 ? names.map((name) => name.replaceAll('_', ' ')) : [source];
};
// Those of the script that runs the examples; the example's name stands before.
const ofAll = [...read('client-examples/test.sh').matchAll(/check "\$name: ([^"]+)"/g)].map(([, name]) => name);
const testsOf = (folder) =>
  [`client-examples/${folder}/`, `client-examples/${folder}/test/`]
    .map((path) => new URL(path, root))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path).map((name) => new URL(name, path)))
    .filter(({ pathname }) => /\/test\.sh$|\/test_\w+\.py$|\/test\/\w+(\.test)?\.(mjs|ts)$/.test(pathname))
    // Those that drive browsers.
    .concat([new URL(`client-examples/harness/${folder}.test.mjs`, root)].filter((path) => existsSync(path)))
    .flatMap(namesIn)
    .concat(ofAll);
const isTested = (folder, name) =>
  testsOf(folder).some((test) => test === name || (test.includes('\n') && test.includes(name)));
let cells = 0;
for (const [feature, ...marks] of rows.filter((row) => row.length === header.length && row !== header)) {
  if (/^-+/.test(feature)) continue;
  marks.forEach((mark, at) => {
    const folder = header[at + 1];
    const isBacked = tests.has(mark)
      ? isTested(folder, tests.get(mark))
      : new RegExp(`^${mark}\\. `, 'm').test(readme);
    if (!/^([a-z]|\d+)$/.test(mark) || !isBacked) {
      problems.push(`client-examples/README.md: "${feature}", ${folder}: no test and no note for "${mark}"`);
    }
    cells += 1;
  });
}
if (cells < 60) problems.push(`only ${cells} cells were found`);

if (snippets < 10 || quotations < 3 || known.length < 10) {
  problems.push(`only ${snippets} snippets, ${quotations} quotations and ${known.length} codes were found`);
}
for (const problem of problems) console.error(`FAILED: ${problem}`);
if (problems.length === 0) {
  console.log(`OK         ${snippets} snippets, ${quotations} quotations, ${known.length} codes, ${cells} cells`);
}
process.exit(problems.length > 0 ? 1 : 0);
