import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** What a viewer has to load before anything plays, in bytes before compression. More than that is a decision. */
const BUDGET: [RegExp, number][] = [
  [/^assets\/index-.*\.js$/, 96 * 1024],
  [/^assets\/worker-.*\.js$/, 112 * 1024],
  [/\.wasm$/, 1024 * 1024],
];

function budget(): Plugin {
  return {
    name: 'budget',
    generateBundle(_, bundle) {
      for (const output of Object.values(bundle)) {
        const bytes = Buffer.byteLength(output.type === 'chunk' ? output.code : output.source);
        const most = BUDGET.find(([name]) => name.test(output.fileName))?.[1];
        if (most !== undefined && bytes > most)
          this.error(`${output.fileName}: ${bytes} bytes, at most ${most}`);
      }
    },
  };
}

// The page, the storefront and the engine worker. The service worker is built by vite.sw.config.ts, because it has
// to be one classic script at the root.
export default defineConfig({
  plugins: [budget()],
  build: {
    outDir: 'dist',
    target: 'es2022',
    // The server's Content-Security-Policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es', plugins: () => [budget()] },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
