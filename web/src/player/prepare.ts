// What playing needs whatever is played: this device's keys, the service worker in charge, the engine compiled in its
// worker, the server's public keys. Made ready while a title's page is read, taken by the player that opens next.
import { Client } from './api.ts';
import { type Device, loadDevice } from './device.ts';
import { takeControl } from './gateway.ts';

export interface Prepared {
  server: string;
  worker: Worker;
  /** Rejects where this window cannot play at all. */
  device: Promise<Device>;
  /** JWKS as it is now; the player asks again itself where this failed. */
  jwks: Promise<string>;
}

let ready: Prepared | undefined;

/** Opens nothing and counts nothing. Calling it again changes nothing. */
export function prepare(server: string): void {
  if (ready?.server === server) return;
  ready?.worker.terminate();
  ready = make(server);
}

/** What was prepared, or made now; it is the caller's from then on. */
export function take(server: string): Prepared {
  const taken = ready?.server === server ? ready : make(server);
  if (taken === ready) ready = undefined;
  return taken;
}

function make(server: string): Prepared {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    type: 'module',
    name: 'matinee engine',
  });
  const device = Promise.all([loadDevice(), takeControl()]).then(([found]) => found);
  const jwks = new Client(server).jwks();
  // Whoever takes them hears of it.
  device.catch(() => undefined);
  jwks.catch(() => undefined);
  return { server, worker, device, jwks };
}
