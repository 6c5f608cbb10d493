// What the engine worker is told to begin with, by a carry on the title's page or by a view.
import type { Client, License, Opening } from './api.ts';
import type { Device } from './device.ts';
import type { Start } from './messages.ts';
import { banned } from './reputation.ts';

export interface Beginning {
  device: Device;
  opening: Opening;
  /** The view token as it is now. */
  token: string;
  /** The file that is read first, as far as the page knows. */
  file: number;
  jwks: string;
}

export function startMessage(
  client: Client,
  { device, opening, token, file, jwks }: Beginning,
  viewing: boolean,
): Start {
  const license: License | null = viewing ? (opening.license ?? null) : null;
  return {
    kind: 'start',
    server: client.server,
    device,
    release: opening.release,
    file,
    swarm: opening.swarm,
    issuer: opening.issuer,
    jwks,
    token,
    clock_offset_ms: client.clock.offset,
    peers: opening.delivery.peers,
    cache: true,
    upload_bytes_per_s_max: opening.delivery.upload_bytes_per_s_max,
    banned: banned(),
    viewing,
    license,
  };
}
