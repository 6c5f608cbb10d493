// `window.matinee`: figures for tests, support and the curious. Read-only; nothing can be steered by it, and it holds
// no key and no token.
import type { Snapshot } from './player.ts';

export interface Inspection {
  /** Figures of the player on this page; undefined while there is none. */
  stats(): Stats | undefined;
}

export interface Stats {
  state: Snapshot['state'];
  detail: string;
  code: string;
  waiting: boolean;
  view: string;
  release: string;
  /** The file being played, and the address a `fetch` or a video element reads it from. */
  file: number;
  address: string;
  bytesFromPeers: number;
  bytesFromOrigin: number;
  bytesFromCache: number;
  bytesToPeers: number;
  /** From being taken in by signaling to the first verified chunk from a peer; undefined before that. */
  firstPeerChunkMs: number | undefined;
  peers: number;
  cache: string;
}

const players: (() => Snapshot & { file: number })[] = [];

const inspection: Inspection = Object.freeze({
  stats(): Stats | undefined {
    const snapshot = players.at(-1)?.();
    if (snapshot === undefined) return undefined;
    const { state, detail, code, waiting, view, release, file, stats } = snapshot;
    return {
      state,
      detail,
      code,
      waiting,
      view,
      release,
      file,
      address: `/play/${release}/${file}`,
      bytesFromPeers: stats.bytes_from_peers,
      bytesFromOrigin: stats.bytes_from_origin,
      bytesFromCache: stats.bytes_from_cache,
      bytesToPeers: stats.bytes_to_peers,
      firstPeerChunkMs: between(snapshot.joined_at_ms, stats.first_peer_chunk_at_ms),
      peers: stats.peers,
      cache: stats.cache,
    };
  },
});

function between(from: number | null, to: number | null): number | undefined {
  return from === null || to === null ? undefined : to - from;
}

/** A player tells its figures from now on, until the returned function is called. */
export function register(figures: () => Snapshot & { file: number }): () => void {
  if (!('matinee' in globalThis)) {
    Object.defineProperty(globalThis, 'matinee', { value: inspection, enumerable: true });
  }
  players.push(figures);
  return () => {
    const place = players.indexOf(figures);
    if (place >= 0) players.splice(place, 1);
  };
}

declare global {
  interface Window {
    readonly matinee?: Inspection;
  }
}
