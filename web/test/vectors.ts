import { readFileSync } from 'node:fs';
import type { License } from '../src/player/api.ts';

interface Vectors {
  device: { signing_seed: string; signing_public: string; thumbprint: string };
  hello: { frame: string; sender_fingerprint: string; receiver_fingerprint: string; swarm: string };
  manifest: { jws: string; page: string; manifest: { release: string; files: Record<string, unknown>[] } };
  view_token: { server_seed: string; issuer: string; now_s: number; token: string };
  proof: { body: string; claims: { body_sha256: string } };
  license: { agreement_public: string; agreement_secret: string; keys: string[]; license: License };
}

export const text = readFileSync(new URL('../../tests/vectors/v1.json', import.meta.url), 'utf8');
export const vectors = JSON.parse(text) as Vectors;
