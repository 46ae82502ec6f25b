import { defineConfig } from 'vite';

const server = process.env.CHAT_URL ?? 'http://127.0.0.1:4000';

export default defineConfig({
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
