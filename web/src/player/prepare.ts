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
  /** What the entitlement is expected to play, so that the video element can begin to ask while the view is opened. */
  expected: Expected | undefined;
}

export interface Expected {
  entitlement: string;
  release: string;
  file: number;
}

let ready: Omit<Prepared, 'expected'> | undefined;
let expected: Expected | undefined;

/** Opens nothing and counts nothing. Calling it again changes nothing. */
export function prepare(server: string): void {
  if (ready?.server === server) return;
  ready?.worker.terminate();
  ready = make(server);
}

/** Says what is likely to be opened next. */
export function expect(next: Expected): void {
  expected = next;
}

/** What was prepared, or made now; it is the caller's from then on. */
export function take(server: string, entitlement: string): Prepared {
  const taken = ready?.server === server ? ready : make(server);
  if (taken === ready) ready = undefined;
  return { ...taken, expected: expected?.entitlement === entitlement ? expected : undefined };
}

/** The first file with picture or sound; the first of all where there is none. */
export function firstPlayable(files: { media_type: string }[]): number {
  return Math.max(
    0,
    files.findIndex(({ media_type }) => /^(video|audio)\//.test(media_type)),
  );
}

function make(server: string): Omit<Prepared, 'expected'> {
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
