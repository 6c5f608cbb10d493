// What playing needs whatever is played: this device's keys, the service worker in charge, the engine compiled in its
// worker, the server's public keys. Made ready while a title's page is read, taken by the player that opens next. What
// is likely to be played is begun as a carry as well: manifest, hash page and first chunks are there before the click,
// sealed, and a view brings the keys.
import { Client } from './api.ts';
import { type Device, loadDevice } from './device.ts';
import { takeControl } from './gateway.ts';
import type { ToEngine } from './messages.ts';
import { startMessage } from './start.ts';

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
  /** Where the entitlement is to a collection. */
  title?: string | undefined;
  release: string;
  file: number;
}

interface Ready extends Omit<Prepared, 'expected'> {
  client: Client;
  /** The release that its worker has begun, or is about to. */
  begun: string | undefined;
}

let ready: Ready | undefined;
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
  if (ready === undefined || ready.begun === next.release || savesData()) return;
  if (ready.begun !== undefined) {
    ready.worker.terminate();
    ready = make(ready.server);
  }
  ready.begun = next.release;
  // Nobody waits for it: without it the view begins everything.
  begin(ready, next).catch(() => undefined);
}

/** What was prepared, or made now; it is the caller's from then on. */
export function take(server: string, entitlement: string, title?: string): Prepared {
  const taken = ready?.server === server ? ready : make(server);
  if (taken === ready) ready = undefined;
  const { worker, device, jwks } = taken;
  const fits = expected?.entitlement === entitlement && expected.title === title;
  return { server, worker, device, jwks, expected: fits ? expected : undefined };
}

/** The first file with picture or sound; the first of all where there is none. */
export function firstPlayable(files: { media_type: string }[]): number {
  return Math.max(
    0,
    files.findIndex(({ media_type }) => /^(video|audio)\//.test(media_type)),
  );
}

async function begin(made: Ready, { release, file }: Expected): Promise<void> {
  const [device, jwks] = await Promise.all([made.device, made.jwks]);
  const opening = await made.client.openCarry(device, release);
  // Taken by then, or given up for something else.
  if (ready !== made) return;
  const beginning = { device, opening, token: opening.view_token, file, jwks };
  const start: ToEngine = startMessage(made.client, beginning, false);
  made.worker.postMessage(start);
}

/** Whether the viewer wants nothing fetched that may not be used (Save Data API). */
function savesData(): boolean {
  const { connection } = navigator as { connection?: { saveData?: boolean } };
  return connection?.saveData === true;
}

function make(server: string): Ready {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    type: 'module',
    name: 'matinee engine',
  });
  const client = new Client(server);
  const device = Promise.all([loadDevice(), takeControl()]).then(([found]) => found);
  const jwks = client.jwks();
  // Whoever takes them hears of it.
  device.catch(() => undefined);
  jwks.catch(() => undefined);
  return { server, worker, client, device, jwks, begun: undefined };
}
