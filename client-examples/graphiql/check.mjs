// Asks a running server for GraphiQL's page and every file that the build consists of. Needs
// nothing installed. Exits with 1 where one is missing or another, or the page would load from
// elsewhere.
import { readFile, readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const server = (process.env.CHAT_URL ?? 'http://127.0.0.1:4000').replace(/\/+$/, '');
const dist = fileURLToPath(new URL('dist', import.meta.url));

function fail(message) {
  console.error(`FAILED: ${message}`);
  process.exit(1);
}

const files = await readdir(dist, { recursive: true, withFileTypes: true })
  .then((entries) => entries.filter((entry) => entry.isFile()))
  .catch(() => fail('GraphiQL is not built: run `make pages`.'));

const page = await fetch(`${server}/graphiql`);
const html = await page.text();
if (!html.includes('/graphiql/assets/')) {
  fail(
    'the server does not have the page. Where it was built before GraphiQL was, build it again: ' +
      '`touch server/src/http/graphiql.rs && cargo build --bin talksy`.',
  );
}
const policy = page.headers.get('content-security-policy') ?? '';
if (!policy.includes("script-src 'self';")) fail(`the page's scripts are not confined: ${policy}`);
const elsewhere = /(?:src|href)="(?!\/graphiql\/)([^"]*)"/.exec(html);
if (elsewhere) fail(`the page loads ${elsewhere[1]}`);

let bytes = 0;
for (const file of files) {
  const path = join(file.parentPath ?? file.path, file.name);
  const name = relative(dist, path).split(sep).join('/').replace(/\.gz$/, '');
  const answer = await fetch(`${server}/graphiql/${name}`);
  if (!answer.ok) fail(`/graphiql/${name} answers ${answer.status}`);
  const type = answer.headers.get('content-type');
  if (type === 'application/octet-stream') fail(`/graphiql/${name} has no type of its own`);
  const body = Buffer.from(await answer.arrayBuffer());
  const built = gunzipSync(await readFile(path));
  if (!body.equals(built)) fail(`/graphiql/${name} is not what was built`);
  bytes += body.byteLength;
}
console.log(`OK         ${files.length} files, ${(bytes / 1e6).toFixed(1)} MB`);
