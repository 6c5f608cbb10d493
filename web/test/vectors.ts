import { readFileSync } from 'node:fs';
import type { License } from '../src/player/api.ts';

interface Vectors {
  device: { signing_public: string; thumbprint: string };
  proof: { body: string; claims: { body_sha256: string } };
  license: { agreement_public: string; agreement_secret: string; keys: string[]; license: License };
}

export const text = readFileSync(new URL('../../tests/vectors/v1.json', import.meta.url), 'utf8');
export const vectors = JSON.parse(text) as Vectors;
