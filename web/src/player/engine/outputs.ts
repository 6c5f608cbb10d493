// What the engine asks of its driver: the objects that `Engine.poll` of web/wasm gives.
import type { Bytes } from '../bytes.ts';
import type { FileFacts } from '../messages.ts';

export type Output =
  | { kind: 'send'; peer: string; frame: Bytes }
  | { kind: 'close'; peer: string; reason: number }
  | { kind: 'peer ready'; peer: string; thumbprint: string }
  | { kind: 'store'; file: number; chunk: number; bytes: Bytes }
  | { kind: 'page kept' }
  | { kind: 'read'; peer: string; file: number; chunk: number }
  | { kind: 'fetch origin'; request: number; file: number; first: number; count: number }
  | { kind: 'cancel origin'; request: number }
  | { kind: 'fetch page'; file: number; page: number }
  | { kind: 'sign receipt'; peer: string; total_bytes: number; at_ms: number; signed_bytes: Bytes }
  | { kind: 'receipt received'; downloader: string; total_bytes: number; receipt: string }
  | { kind: 'remembered'; thumbprint: string; fault: string }
  | { kind: 'report'; peer: string; fault: string };

export interface ManifestFacts {
  title: string;
  publisher: string;
  sealed: boolean;
  files: (FileFacts & { epoch_chunks: number })[];
}

export interface EngineFigures {
  peer_bytes: number;
  origin_bytes: number;
  uploaded_bytes: number;
  wasted_bytes: number;
  chunks_held: number;
  chunks_total: number;
  chunks_in_flight: number;
  chunks_missing: number;
  buffered_ms: number;
  origin_corrupt_chunks: number;
  origin_failures: number;
  devices_refused: number;
  peers: number;
}
