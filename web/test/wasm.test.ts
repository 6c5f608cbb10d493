import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { fromBase64url, toBase64url } from '../src/player/bytes.ts';
import type { KeyPair } from '../src/player/device.ts';
import { openLicense } from '../src/player/engine/license_keys.ts';
import { text, vectors } from './vectors.ts';

// Made by `cargo xtask wasm`; without it there is nothing to test here.
const MODULE = new URL('../wasm/pkg/matinee_web_bg.wasm', import.meta.url);
const BINDING = new URL('../wasm/pkg/matinee_web.js', import.meta.url);
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const NOW = vectors.view_token.now_s * 1000;

type Binding = typeof import('../wasm/pkg/matinee_web.js');

function keyOf(seed: string): KeyObject {
  const key = Buffer.concat([ED25519_PKCS8, fromBase64url(seed)]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

function jwks(): string {
  const { x } = createPublicKey(keyOf(vectors.view_token.server_seed)).export({ format: 'jwk' });
  const key = { kty: 'OKP', crv: 'Ed25519', x, use: 'sig', alg: 'EdDSA' };
  const keys = ['view', 'release'].map((matinee_use) => ({ ...key, kid: `${matinee_use}-1`, matinee_use }));
  return JSON.stringify({ keys });
}

describe.skipIf(!existsSync(MODULE))('the WebAssembly build', () => {
  let wasm: Binding;

  function engine(manifest = vectors.manifest.jws): InstanceType<Binding['Engine']> {
    const { release } = vectors.manifest.manifest;
    const { hello, device, view_token } = vectors;
    const { Engine } = wasm;
    return new Engine(
      manifest,
      jwks(),
      release,
      hello.swarm,
      device.thumbprint,
      view_token.issuer,
      true,
      0,
      7n,
    );
  }

  beforeAll(async () => {
    wasm = await import(/* @vite-ignore */ BINDING.href);
    wasm.initSync({ module: readFileSync(MODULE) });
  });

  test('computes the vectors of the protocol', () => {
    expect(JSON.parse(wasm.vectors())).toEqual(JSON.parse(text));
  });

  test('reads a signed manifest and refuses any other', () => {
    const [file] = vectors.manifest.manifest.files;
    const { pages: _, ...described } = file ?? {};
    expect(engine().facts()).toMatchObject({ sealed: true, files: [{ ...described, chunks: 3 }] });
    const { jws } = vectors.manifest;
    const changed = `${jws.slice(0, -4)}${jws.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`;
    expect(() => engine(changed)).toThrow('signature');
    expect(() => engine('a.b.c')).toThrow('not a compact JWS');
  });

  test('checks chunks against verified pages only', () => {
    const swarm = engine();
    expect(swarm.verify(0, 1, Uint8Array.of(1))).toBeUndefined();
    expect(swarm.page_arrived(NOW, 0, 0, new Uint8Array(96))).toBe(false);
    expect(swarm.has_page(0, 0)).toBe(false);
    expect(swarm.page_arrived(NOW, 0, 0, fromBase64url(vectors.manifest.page))).toBe(true);
    expect(swarm.verify(0, 1, Uint8Array.of(1))).toBe(true);
    expect(swarm.verify(0, 1, Uint8Array.of(2))).toBe(false);
    expect(swarm.verify(0, 9, Uint8Array.of(1))).toBe(false);
  });

  test('makes the hello of the vectors', () => {
    const { sender_fingerprint, receiver_fingerprint, frame } = vectors.hello;
    const { token } = vectors.view_token;
    const [local, remote] = [fromBase64url(sender_fingerprint), fromBase64url(receiver_fingerprint)];
    const signed = engine().hello_signed_bytes(local, remote, token);
    const signature = sign(null, signed, keyOf(vectors.device.signing_seed));
    const device = fromBase64url(vectors.device.signing_public);
    expect(toBase64url(wasm.Engine.hello_frame(token, device, signature))).toBe(frame);
  });

  test('says hello first, and takes a peer in whose hello holds', () => {
    const { sender_fingerprint, receiver_fingerprint, frame } = vectors.hello;
    const swarm = engine();
    const peer = toBase64url(new Uint8Array(16).fill(9));
    // The vector's hello was signed by the other side, so what is local there is remote here.
    const [local, remote] = [fromBase64url(receiver_fingerprint), fromBase64url(sender_fingerprint)];
    swarm.peer_opened(NOW, peer, local, remote, Uint8Array.of(1, 2, 3));
    expect(swarm.poll()).toMatchObject({ kind: 'send', peer, frame: Uint8Array.of(1, 2, 3) });
    swarm.frame(NOW, peer, fromBase64url(frame));
    const { thumbprint } = vectors.device;
    expect(swarm.poll()).toEqual({ kind: 'peer ready', peer, thumbprint });
    expect(swarm.stats()).toMatchObject({ peers: 1, peer_bytes: 0 });
  });

  test('refuses the same hello on another channel', () => {
    const swarm = engine();
    const peer = toBase64url(new Uint8Array(16).fill(9));
    const other = new Uint8Array(32).fill(3);
    swarm.peer_opened(NOW, peer, other, other, Uint8Array.of(1));
    swarm.frame(NOW, peer, fromBase64url(vectors.hello.frame));
    const said = [];
    for (let output = swarm.poll(); output !== undefined; output = swarm.poll()) said.push(output.kind);
    expect(said).toContain('close');
    expect(said).not.toContain('peer ready');
  });

  test('takes in the keys of a license, and forgets them', async () => {
    const { agreement_public: x, agreement_secret: d, license } = vectors.license;
    const jwk = { kty: 'OKP', crv: 'X25519', x, d };
    const privateKey = await crypto.subtle.importKey('jwk', jwk, 'X25519', false, ['deriveBits']);
    const publicKey = await crypto.subtle.importKey('raw', fromBase64url(x), 'X25519', true, []);
    const keys = await openLicense({ privateKey, publicKey } satisfies KeyPair, license);
    const swarm = engine();
    expect(swarm.has_key(0, 2)).toBe(false);
    expect(swarm.import_keys(keys)).toBe(3);
    expect([0, 1, 2, 3].map((epoch) => swarm.has_key(0, epoch))).toEqual([true, true, true, false]);
    expect(() => swarm.open(0, 0, new Uint8Array(40))).toThrow('does not open');
    swarm.forget_keys();
    expect(() => swarm.open(0, 0, new Uint8Array(40))).toThrow('ask for a license');
    expect(() => swarm.import_keys(new Uint8Array(39))).toThrow();
  });
});
