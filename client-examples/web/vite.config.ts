import react from '@vitejs/plugin-react';
import optimizeLocales from '@react-aria/optimize-locales-plugin';
import { defineConfig } from 'vitest/config';

const server = process.env['CHAT_URL'] ?? 'http://127.0.0.1:4000';
// `npm run dev` and `npm run preview`: this page before a server that runs already.
const proxy = { '/graphql': { target: server, ws: true } };

export default defineConfig({
  plugins: [react(), { ...optimizeLocales.vite({ locales: ['en-US'] }), enforce: 'pre' }],
  resolve: { preserveSymlinks: true },
  build: { target: 'es2022', sourcemap: false },
  server: { proxy },
  preview: { proxy },
  test: { include: ['test/*.test.ts'] },
});
