import react from '@vitejs/plugin-react';
import optimizeLocales from '@react-aria/optimize-locales-plugin';
import { defineConfig } from 'vitest/config';

const server = process.env['CHAT_URL'] ?? 'http://127.0.0.1:4000';
// `npm run dev` and `npm run preview`: this page before a server that runs already.
const proxy = { '/graphql': { target: server, ws: true } };

// What a server should send with the page: nothing from elsewhere, and no script inside of it.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  // The hash is that of the one rule that react-aria writes for what can be pressed (`touch-action`).
  "style-src 'self' 'sha256-38RhXrc7EdReTKsOm23ZPOCUgniTUUcjky8QOOrQx6o='",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export default defineConfig({
  plugins: [react(), { ...optimizeLocales.vite({ locales: ['en-US'] }), enforce: 'pre' }],
  resolve: { preserveSymlinks: true },
  build: { target: 'es2022', sourcemap: false },
  server: { proxy },
  preview: { proxy, headers: { 'content-security-policy': POLICY } },
  test: { include: ['test/*.test.ts'] },
});
