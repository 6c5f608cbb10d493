import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { text } from './vectors.ts';

// Made by `cargo xtask wasm`; without it there is nothing to test here.
const MODULE = new URL('../wasm/pkg/matinee_web_bg.wasm', import.meta.url);
const BINDING = new URL('../wasm/pkg/matinee_web.js', import.meta.url);

describe.skipIf(!existsSync(MODULE))('the WebAssembly build', () => {
  let wasm: typeof import('../wasm/pkg/matinee_web.js');

  beforeAll(async () => {
    wasm = await import(/* @vite-ignore */ BINDING.href);
    wasm.initSync({ module: readFileSync(MODULE) });
  });

  test('computes the vectors of the protocol', () => {
    expect(JSON.parse(wasm.vectors())).toEqual(JSON.parse(text));
  });

  test('refuses a manifest that nobody signed', () => {
    expect(() => new wasm.Engine('a.b.c', '{"keys":[]}', '', '', '', '', true, 0, 0n)).toThrow(
      'not a compact JWS',
    );
  });
});
