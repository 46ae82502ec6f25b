import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { defineConfig } from 'vite';

const server = process.env.CHAT_URL ?? 'http://127.0.0.1:4000';

/** Leaves each built file gzipped: so the server embeds it and sends it. */
const packed = {
  name: 'packed',
  apply: 'build',
  enforce: 'post',
  writeBundle({ dir }) {
    for (const name of readdirSync(dir, { recursive: true })) {
      const file = join(dir, name);
      if (!statSync(file).isFile()) continue;
      writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      rmSync(file);
    }
  },
};

export default defineConfig({
  plugins: [packed],
  // Where the server serves the build.
  base: '/graphiql/',
  build: {
    target: 'es2022',
    sourcemap: false,
    // Monaco is one large piece.
    chunkSizeWarningLimit: 5000,
    // React's "use client" marks mean nothing here.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  // `npm run dev`: this page with live reload, before a server that runs already.
  server: {
    proxy: { '/graphql': { target: server, ws: true } },
  },
});
