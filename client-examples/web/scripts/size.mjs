// Asserts how much JavaScript the first load takes: what the page asks for itself, compressed as a server
// would.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const MOST = 200 * 1024;
const read = (path) => readFileSync(fileURLToPath(new URL(`../dist/${path}`, import.meta.url)));

const page = read('index.html').toString();
const names = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map(([, name]) => name);
if (names.length === 0) {
  console.error('FAILED: the page loads no JavaScript: run `npm run build`.');
  process.exit(1);
}
const bytes = names.reduce((sum, name) => sum + gzipSync(read(name), { level: 9 }).byteLength, 0);
const told = `${(bytes / 1024).toFixed(1)} KiB of compressed JavaScript, of at most ${MOST / 1024}`;
if (bytes > MOST) {
  console.error(`FAILED: ${told}`);
  process.exit(1);
}
console.log(`OK         ${told}`);
