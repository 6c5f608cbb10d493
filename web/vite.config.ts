import { defineConfig } from 'vitest/config';

// The page, the storefront and the engine worker. The service worker is built by vite.sw.config.ts, because it has
// to be one classic script at the root.
export default defineConfig({
  build: {
    outDir: 'dist',
    target: 'es2022',
    // The server's Content-Security-Policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
