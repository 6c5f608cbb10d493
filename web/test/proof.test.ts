import { createHash, createPublicKey, verify } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { fromBase64url, toBase64url, utf8 } from '../src/player/bytes.ts';
import { createKeys, describe, sign, thumbprint } from '../src/player/device.ts';
import { prove, ServerClock } from '../src/player/dpop.ts';
import { vectors } from './vectors.ts';

test('a proof is one that Node verifies, with every claim', async () => {
  const device = await describe(await createKeys());
  const body = utf8('{"file":0,"epoch":4}');
  const proof = await prove(device, new ServerClock(), {
    method: 'POST',
    url: 'https://matinee.example/v1/views/x/licenses?a=b#c',
    token: 'the.view.token',
    body,
    nonce: 'challenge',
  });
  const [header = '', claims = '', signature = ''] = proof.split('.');
  expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
    typ: 'dpop+jwt',
    alg: 'EdDSA',
    jwk: device.jwk,
  });
  const key = createPublicKey({ key: { ...device.jwk }, format: 'jwk' });
  const signed = Buffer.from(`${header}.${claims}`);
  expect(verify(null, signed, key, Buffer.from(signature, 'base64url'))).toBe(true);
  const hash = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('base64url');
  const read = JSON.parse(Buffer.from(claims, 'base64url').toString());
  expect(read).toEqual({
    jti: expect.stringMatching(/^[\w-]{22}$/),
    htm: 'POST',
    htu: 'https://matinee.example/v1/views/x/licenses',
    iat: expect.any(Number),
    ath: hash('the.view.token'),
    body_sha256: hash(body),
    nonce: 'challenge',
  });
  expect(Math.abs(read.iat - Date.now() / 1000)).toBeLessThan(5);
});

test('two proofs never have the same id', async () => {
  const device = await describe(await createKeys());
  const request = { method: 'GET', url: 'https://matinee.example/' };
  const ids = await Promise.all(
    [1, 2].map(async () => {
      const proof = await prove(device, new ServerClock(), request);
      return JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString()).jti as string;
    }),
  );
  expect(ids[0]).not.toBe(ids[1]);
});

test('private keys cannot be exported, public ones can', async () => {
  const keys = await createKeys();
  for (const pair of [keys.signing, keys.agreement]) {
    expect(pair.privateKey.extractable).toBe(false);
    await expect(crypto.subtle.exportKey('pkcs8', pair.privateKey)).rejects.toThrow();
  }
  const device = await describe(keys);
  expect(device.signingPublic).toHaveLength(32);
  expect(fromBase64url(device.agreementPublic)).toHaveLength(32);
  expect(await sign(device, utf8('x'))).toHaveLength(64);
});

test('the thumbprint is the one in the vectors', async () => {
  const { signing_public, thumbprint: expected } = vectors.device;
  expect(await thumbprint({ crv: 'Ed25519', kty: 'OKP', x: signing_public })).toBe(expected);
});

test('a proof made here has the digests of the vectors', async () => {
  const { body, claims } = vectors.proof;
  const digest = createHash('sha256').update(fromBase64url(body)).digest('base64url');
  expect(digest).toBe(claims.body_sha256);
});

test('a clock that is wrong is corrected, one that is right is left alone', () => {
  vi.useFakeTimers({ now: Date.parse('2026-11-21T12:00:00Z') });
  const clock = new ServerClock();
  clock.observe('Sat, 21 Nov 2026 12:00:02 GMT');
  expect(clock.now()).toBe(Date.now());
  clock.observe('Sat, 21 Nov 2026 13:00:00 GMT');
  expect(clock.now()).toBe(Date.now() + 3_600_000);
  clock.observe('nonsense');
  clock.observe(null);
  expect(clock.offset).toBe(3_600_000);
  vi.useRealTimers();
});

test('base64url refuses what is none', () => {
  expect(toBase64url(fromBase64url('AP-_'))).toBe('AP-_');
  for (const text of ['AA==', 'A', 'A+', 'A A']) expect(() => fromBase64url(text)).toThrow(SyntaxError);
});
