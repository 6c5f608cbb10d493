// Opens the sealed keys of a license (docs/PROTOCOL.md §4) with the device's agreement key. Runs in the engine worker
// only; what it returns goes straight into the engine's memory and is wiped here.
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305';
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core';
import type { License } from '../api.ts';
import { type Bytes, fromBase64url, utf8 } from '../bytes.ts';
import type { KeyPair } from '../device.ts';

const INFO = 'matinee/1 license';
/** u32 file, u32 epoch, key. */
const ENTRY_BYTES = 40;
const LICENSE_KEYS_MAX = 4096;

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Chacha20Poly1305(),
});

/** The plaintext: for each key u32 file, u32 epoch, 32 bytes. Empty for an open release. */
export async function openLicense(agreement: KeyPair, license: License): Promise<Bytes> {
  if (license.sealed_keys === '') return new Uint8Array(0);
  const opened = await suite.open(
    {
      recipientKey: agreement,
      enc: fromBase64url(license.encapsulated_key).buffer,
      info: utf8(INFO).buffer,
    },
    fromBase64url(license.sealed_keys).buffer,
    utf8(`${license.license}.${license.view}.${license.release}`).buffer,
  );
  const keys = new Uint8Array(opened);
  if (keys.byteLength % ENTRY_BYTES !== 0 || keys.byteLength > ENTRY_BYTES * LICENSE_KEYS_MAX) {
    keys.fill(0);
    throw new Error('the license holds keys in a shape this player does not know');
  }
  return keys;
}
