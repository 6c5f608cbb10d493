// The DTLS certificate fingerprint in a session description (RFC 8122). A hello signs both sides' fingerprints, so
// they are read from the descriptions themselves.
import type { Bytes } from './bytes.ts';

const LINE = /^a=fingerprint:(\S+)\s+([0-9A-Fa-f:]+)\s*$/gm;
const SHA256_BYTES = 32;

/** The SHA-256 fingerprint that every media section agrees on. Undefined when there is none, or more than one. */
export function sha256Fingerprint(sdp: string): Bytes | undefined {
  let found: string | undefined;
  for (const [, algorithm, value] of sdp.matchAll(LINE)) {
    if (algorithm?.toLowerCase() !== 'sha-256' || value === undefined) continue;
    const text = value.toLowerCase();
    if (found !== undefined && found !== text) return undefined;
    found = text;
  }
  const pairs = found?.split(':') ?? [];
  if (pairs.length !== SHA256_BYTES || !pairs.every((pair) => /^[0-9a-f]{2}$/.test(pair))) return undefined;
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}
