// DPoP proofs (RFC 9449, docs/PROTOCOL.md §2.1): one per request, signed by the device's signing key.
import { type Bytes, sha256, toBase64url, utf8 } from './bytes.ts';
import { type Device, sign } from './device.ts';

export interface ProofRequest {
  method: string;
  /** Absolute; query and fragment are left out of the proof. */
  url: string;
  /** The view token that goes along. */
  token?: string | undefined;
  body?: Bytes | undefined;
  /** The challenge of the signaling server. */
  nonce?: string | undefined;
}

const JTI_BYTES = 16;

/** Server time in Unix milliseconds, as well as this machine knows it. */
export class ServerClock {
  private offset_ms = 0;

  now(): number {
    return Date.now() + this.offset_ms;
  }

  /** Learns from an HTTP `Date`, so that a viewer whose clock is wrong can still prove possession. */
  observe(date: string | null): void {
    const server = date === null ? Number.NaN : Date.parse(date);
    if (Number.isNaN(server)) return;
    const offset = server - Date.now();
    // `Date` has whole seconds and travels for a while: only a clock that is really wrong is corrected.
    this.offset_ms = Math.abs(offset) > 5_000 ? offset : 0;
  }

  /** For a worker that shares the page's idea of the time. */
  get offset(): number {
    return this.offset_ms;
  }

  set offset(milliseconds: number) {
    this.offset_ms = milliseconds;
  }
}

export async function prove(device: Device, clock: ServerClock, request: ProofRequest): Promise<string> {
  const url = new URL(request.url);
  const claims: Record<string, string | number> = {
    jti: toBase64url(crypto.getRandomValues(new Uint8Array(JTI_BYTES))),
    htm: request.method,
    htu: `${url.origin}${url.pathname}`,
    iat: Math.floor(clock.now() / 1000),
  };
  if (request.token !== undefined) claims.ath = toBase64url(await sha256(utf8(request.token)));
  if (request.body !== undefined) claims.body_sha256 = toBase64url(await sha256(request.body));
  if (request.nonce !== undefined) claims.nonce = request.nonce;
  const header = { typ: 'dpop+jwt', alg: 'EdDSA', jwk: device.jwk };
  const signed = `${toBase64url(utf8(JSON.stringify(header)))}.${toBase64url(utf8(JSON.stringify(claims)))}`;
  return `${signed}.${toBase64url(await sign(device, utf8(signed)))}`;
}
