import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

import react from '@vitejs/plugin-react';
import optimizeLocales from '@react-aria/optimize-locales-plugin';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const server = process.env['CHAT_URL'] ?? 'http://127.0.0.1:4000';
// `npm run dev` and `npm run preview`: this page before a server that runs already.
const proxy = {
  '/graphql': { target: server, ws: true },
  '/attachments': server,
  '/uploads': server,
  '/export': server,
};

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// What the server sends with the page.
const POLICY = readFileSync(here('policy.txt'), 'utf8')
  .split('\n')
  .map((line) => line.trim())
  .filter((line) => line !== '' && !line.startsWith('#'))
  .concat("frame-ancestors 'none'")
  .join('; ');

/** As the server tells it: `Server.schemaHash`. */
const schemaHash = createHash('sha256')
  .update(readFileSync(process.env['CHAT_SCHEMA'] ?? here('schema.graphql')))
  .digest('hex')
  .slice(0, 16);

/** Leaves each built file compressed in `packed/` as well: so the server embeds it and sends it. */
const packed: Plugin = {
  name: 'packed',
  apply: 'build',
  enforce: 'post',
  writeBundle({ dir }) {
    if (!dir) throw new Error('There is no folder to build into.');
    const names = readdirSync(dir, { recursive: true, encoding: 'utf8' });
    for (const name of names.filter((name) => !name.startsWith('packed'))) {
      if (!statSync(join(dir, name)).isFile()) continue;
      const content = readFileSync(join(dir, name));
      const target = join(dir, 'packed', name);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(`${target}.gz`, gzipSync(content, { level: 9 }));
      const params = {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_SIZE_HINT]: content.byteLength,
      };
      writeFileSync(`${target}.br`, brotliCompressSync(content, { params }));
    }
  },
};

export default defineConfig({
  plugins: [
    react(),
    { ...optimizeLocales.vite({ locales: ['en-US'] }), enforce: 'pre' },
    packed,
  ],
  define: { __SCHEMA_HASH__: JSON.stringify(schemaHash) },
  resolve: { preserveSymlinks: true },
  build: {
    target: 'es2022',
    sourcemap: false,
    // `scripts/size.mjs` holds what is loaded at first to a bound of its own.
    chunkSizeWarningLimit: 1000,
    // The last two are pages of `talksy demo`: see src/demo/.
    rolldownOptions: { input: ['index.html', 'demo.html', 'pane.html'].map(here) },
  },
  server: { proxy },
  preview: { proxy, headers: { 'content-security-policy': POLICY } },
  test: { include: ['test/*.test.ts'] },
});
