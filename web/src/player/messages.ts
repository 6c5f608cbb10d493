// Everything that crosses between service worker, page and engine worker. Keys never do, except as handles.
import type { License } from './api.ts';
import type { Bytes } from './bytes.ts';
import type { Device } from './device.ts';
import type { Shown } from './engine/readers.ts';

/** Service worker to page: somebody reads a file. A port for the answer comes along. */
export interface ReadRequest {
  matinee: 'read';
  release: string;
  file: number;
  method: 'GET' | 'HEAD';
  /** The `Range` header. */
  range: string | null;
}

/** Page to service worker: take this page over even though it was loaded around you (a hard reload). */
export interface ClaimRequest {
  matinee: 'claim';
}

/** Page to service worker: stay. Firefox stops one that has been busy with a long download for half a minute. */
export interface StayRequest {
  matinee: 'stay';
}

/** On the port of a read, towards the service worker. `owned` may come first, `head` once, then one for each pull. */
export type ReadAnswer =
  | { kind: 'owned' }
  | { kind: 'foreign' }
  | { kind: 'head'; status: number; headers: [string, string][]; body: boolean }
  | { kind: 'bytes'; bytes: Bytes }
  /** Nothing yet, and it is known why: a break comes first. */
  | { kind: 'waits' }
  | { kind: 'end' }
  | { kind: 'error'; detail: string };

/** On the port of a read, from the service worker. */
export type ReadCall = { kind: 'pull' } | { kind: 'cancel' };

/** What the engine needs to begin, or to go on with as a view what it began without one. */
export interface Start {
  kind: 'start';
  server: string;
  device: Device;
  release: string;
  /** The file that is read first, as far as the page knows. */
  file: number;
  swarm: string;
  issuer: string;
  jwks: string;
  token: string;
  clock_offset_ms: number;
  /** Whether peers may be used. */
  peers: boolean;
  /** Whether the disk may be used. */
  cache: boolean;
  upload_bytes_per_s_max: number | null;
  /** Devices that sent wrong data in earlier runs, by thumbprint. */
  banned: string[];
  /** False before there is a view: what it will begin with is made ready, and no key is asked for. */
  viewing: boolean;
  /** The license that came with the opening. */
  license: License | null;
}

/** Page to engine worker. */
export type ToEngine =
  | Start
  | { kind: 'token'; token: string }
  | { kind: 'license'; license: License }
  | { kind: 'license failed'; file: number; epoch: number; detail: string }
  | { kind: 'license waits'; file: number; epoch: number }
  | { kind: 'jwks'; jwks: string }
  | { kind: 'read'; request: ReadRequest; port: MessagePort }
  | { kind: 'shown'; shown: Shown }
  | { kind: 'channel'; peer: string; channel: RTCDataChannel }
  | { kind: 'fingerprints'; peer: string; local: Bytes; remote: Bytes }
  | { kind: 'peer gone'; peer: string }
  | { kind: 'peers expected'; count: number }
  | { kind: 'over'; detail: string }
  | { kind: 'stop' };

/** A file of the release, as the signed manifest has it. */
export interface FileFacts {
  name: string;
  media_type: string;
  size_bytes: number;
  duration_ms: number | null;
  chunks: number;
}

/** Figures of the engine. Bytes are ciphertext whose hash was right, except where they say otherwise. */
export interface EngineStats {
  bytes_from_peers: number;
  bytes_from_origin: number;
  /** Of chunks that an earlier run left here. */
  bytes_from_cache: number;
  bytes_to_peers: number;
  /** Of no use: duplicates, wrong, cancelled. */
  bytes_wasted: number;
  /** When the first verified chunk came from a peer, by this machine's clock; null before. */
  first_peer_chunk_at_ms: number | null;
  /** Peers whose hello was accepted. */
  peers: number;
  chunks_held: number;
  chunks: number;
  /** Playback held without a gap from the playhead on. */
  buffered_ms: number;
  cache: 'disk' | 'memory' | 'off';
}

/** Engine worker to page. */
export type FromEngine =
  | { kind: 'ready'; title: string; publisher: string; files: FileFacts[] }
  | { kind: 'stats'; stats: EngineStats }
  | { kind: 'license wanted'; file: number; epoch: number }
  | { kind: 'drop peer'; peer: string; reason: string }
  | { kind: 'report'; peer: string; reason: string }
  | { kind: 'ban'; thumbprint: string }
  | { kind: 'token refused' }
  /** Whether the last attempt at the origin got an answer. */
  | { kind: 'origin'; reachable: boolean }
  | { kind: 'failed'; code: string; detail: string };
