// The page's end of the gateway: it has the service worker installed and in charge, and hands each read's port to
// the engine worker that owns the release. Bytes never pass through the page.
import type { ClaimRequest, ReadAnswer, ReadRequest, StayRequest } from './messages.ts';
import { playAddress } from './path.ts';

const SCRIPT = '/sw.js';
const CONTROL_MS_MAX = 10_000;
/** The service worker is told to stay this often while this page plays something. */
const STAY_MS = 10_000;

type Owner = (request: ReadRequest, port: MessagePort) => void;

const owners = new Map<string, Owner>();
let listening = false;

/** Resolves when this page's requests go through the service worker. */
export async function takeControl(): Promise<void> {
  const container = navigator.serviceWorker;
  if (container === undefined) {
    throw new Error('playing needs a secure address (https, or localhost)');
  }
  listen(container);
  await container.register(SCRIPT, { scope: '/' }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `this window allows no service worker, which playing needs (a private window?): ${reason}`,
    );
  });
  const { active } = await container.ready;
  if (container.controller !== null) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error('the service worker did not take over; reload the page')),
      CONTROL_MS_MAX,
    );
    container.addEventListener(
      'controllerchange',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
    // It may have taken over between the check above and now.
    if (container.controller !== null) {
      clearTimeout(timer);
      resolve();
    } else {
      const claim: ClaimRequest = { matinee: 'claim' };
      active?.postMessage(claim);
    }
  });
}

/** Reads of `release` go to `owner` until the returned function is called. */
export function own(release: string, owner: Owner): () => void {
  owners.set(release, owner);
  return () => {
    if (owners.get(release) === owner) owners.delete(release);
  };
}

export function addressOf(release: string, file: number): string {
  return playAddress(release, file);
}

function listen(container: ServiceWorkerContainer): void {
  if (listening) return;
  listening = true;
  container.addEventListener('message', (event: MessageEvent) => {
    const request = event.data as ReadRequest | null;
    const port = event.ports[0];
    if (request?.matinee !== 'read' || port === undefined) return;
    const owner = owners.get(request.release);
    const answer: ReadAnswer = owner === undefined ? { kind: 'foreign' } : { kind: 'owned' };
    port.postMessage(answer);
    if (owner === undefined) port.close();
    else owner(request, port);
  });
  container.startMessages();
  const stay: StayRequest = { matinee: 'stay' };
  setInterval(() => owners.size > 0 && container.controller?.postMessage(stay), STAY_MS);
}

/** What a video element shows, turned into what the engine wants to know. */
export interface Position {
  byte: number;
  bytes_per_s: number;
}

/** The byte about to be shown, on the assumption that bytes are spread evenly over the duration. */
export function position(current_s: number, duration_s: number, size_bytes: number): Position {
  if (!(duration_s > 0) || !Number.isFinite(duration_s)) return { byte: 0, bytes_per_s: 0 };
  const bytes_per_s = size_bytes / duration_s;
  return { byte: Math.min(Math.max(0, Math.floor(current_s * bytes_per_s)), size_bytes), bytes_per_s };
}
