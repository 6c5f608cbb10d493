// From `start` to a running driver: the manifest, verified, the cache, the engine.
import { Engine } from '../../../wasm/pkg/matinee_web.js';
import { ApiError } from '../api.ts';
import { ServerClock } from '../dpop.ts';
import type { FromEngine, Start } from '../messages.ts';
import { Backoff, pause } from '../retry.ts';
import { openCache } from './cache.ts';
import type { Channels } from './channels.ts';
import { Driver } from './driver.ts';
import { Origin } from './origin.ts';
import type { ManifestFacts } from './outputs.ts';
import { Store } from './store.ts';

/** The view token as it is now; it may be renewed while the manifest is still being waited for. */
export interface TokenHolder {
  token: string;
}

export async function launch(
  start: Start,
  holder: TokenHolder,
  channels: Channels,
  post: (message: FromEngine) => void,
): Promise<Driver> {
  const clock = new ServerClock();
  clock.offset = start.clock_offset_ms;
  const origin = new Origin(start.server, start.release, start.device, clock, () => holder.token);
  // What playing is sure to begin with is fetched beside the manifest, and checked against it when both are there.
  origin.foreseePage(start.file);
  const [manifest, cache] = await Promise.all([
    fetchManifest(origin, holder, post),
    openCache(start.release, start.cache).then((opened) => {
      const begun = opened.held().some(({ file, chunk }) => file === start.file && chunk === 0);
      if (!begun) origin.foreseeStart(start.file);
      return opened;
    }),
  ]);
  const engine = new Engine(
    manifest,
    start.jwks,
    start.release,
    start.swarm,
    start.device.thumbprint,
    start.issuer,
    start.peers,
    start.upload_bytes_per_s_max ?? 0,
    crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n,
  );
  const facts = engine.facts() as ManifestFacts;
  const store = new Store(cache, engine);
  const helloFrame = Engine.hello_frame;
  const driver = new Driver({ start, clock, engine, facts, origin, store, channels, helloFrame, post });
  await driver.begin();
  return driver;
}

/** Waits for a server that is away and for a token that has to be renewed first. */
async function fetchManifest(
  origin: Origin,
  holder: TokenHolder,
  post: (message: FromEngine) => void,
): Promise<string> {
  const backoff = new Backoff();
  for (;;) {
    const { token } = holder;
    try {
      return await origin.manifest(new AbortController().signal);
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      const stale = cause.status === 401;
      if (!stale && !cause.passing) throw cause;
      if (stale && holder.token === token) post({ kind: 'token refused' });
      await pause(Math.max(backoff.next(), cause.retry_after_ms ?? 0));
    }
  }
}
