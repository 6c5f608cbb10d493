import { defineConfig } from 'vite';

// One classic script without imports, so that every browser can install it, under the fixed name that pages register.
export default defineConfig({
  publicDir: false,
  build: {
    outDir: 'dist',
    emptyOutDir: false,
    target: 'es2022',
    lib: {
      entry: 'src/player/sw.ts',
      formats: ['iife'],
      name: 'matineeServiceWorker',
      fileName: () => 'sw.js',
    },
  },
});
