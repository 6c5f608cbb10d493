import { expect, test } from 'vitest';
import type { License } from '../src/player/api.ts';
import { fromBase64url, toBase64url } from '../src/player/bytes.ts';
import type { KeyPair } from '../src/player/device.ts';
import { openLicense } from '../src/player/engine/license_keys.ts';
import { vectors } from './vectors.ts';

/** Non-extractable, as in a browser. */
async function agreement(): Promise<KeyPair> {
  const { agreement_public, agreement_secret } = vectors.license;
  const jwk = { kty: 'OKP', crv: 'X25519', x: agreement_public, d: agreement_secret };
  const privateKey = await crypto.subtle.importKey('jwk', jwk, 'X25519', false, ['deriveBits']);
  const raw = fromBase64url(agreement_public);
  const publicKey = await crypto.subtle.importKey('raw', raw, 'X25519', true, []);
  return { privateKey, publicKey };
}

test('a license sealed by the Rust side opens, key by key', async () => {
  const opened = await openLicense(await agreement(), vectors.license.license);
  const view = new DataView(opened.buffer);
  const entries = Array.from({ length: opened.byteLength / 40 }, (_, at) => ({
    file: view.getUint32(at * 40),
    epoch: view.getUint32(at * 40 + 4),
    key: toBase64url(opened.subarray(at * 40 + 8, at * 40 + 40)),
  }));
  expect(entries).toEqual(vectors.license.keys.map((key, epoch) => ({ file: 0, epoch, key })));
});

test.each(['license', 'view', 'release'] as const)(
  'a license with another %s does not open',
  async (field) => {
    const changed: License = { ...vectors.license.license, [field]: '99999999-9999-4999-8999-999999999999' };
    await expect(openLicense(await agreement(), changed)).rejects.toThrow();
  },
);

test('an open release has a license without keys', async () => {
  const open = { ...vectors.license.license, sealed_keys: '', encapsulated_key: '' };
  expect(await openLicense(await agreement(), open)).toHaveLength(0);
});
