// The record that says what a slot of the cache holds: 64 bytes, big-endian, with a checksum against torn writes.
import { CHUNK_BYTES } from '../limit.ts';

const TAG_BYTES = 16;
export const SLOT_BYTES = CHUNK_BYTES + TAG_BYTES;
export const RECORD_BYTES = 64;

const MAGIC = 0x4d54_4331;
const CHECKSUM_AT = RECORD_BYTES - 4;

export interface SlotRecord {
  /** Release id as text. */
  release: string;
  file: number;
  chunk: number;
  /** Bytes of ciphertext in the slot. */
  length: number;
  /** Unix milliseconds. */
  used_ms: number;
}

export function writeRecord(record: SlotRecord): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, record.length);
  const hex = record.release.replaceAll('-', '');
  for (let at = 0; at < 16; at += 1) bytes[8 + at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  view.setUint32(24, record.file);
  view.setUint32(28, record.chunk);
  view.setFloat64(32, record.used_ms);
  view.setUint32(CHECKSUM_AT, checksum(bytes));
  return bytes;
}

/** Undefined when the slot is empty or the record was not written whole. */
export function readRecord(bytes: Uint8Array): SlotRecord | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength !== RECORD_BYTES || view.getUint32(0) !== MAGIC) return undefined;
  if (view.getUint32(CHECKSUM_AT) !== checksum(bytes)) return undefined;
  const length = view.getUint32(4);
  if (length === 0 || length > SLOT_BYTES) return undefined;
  const hex = Array.from(bytes.subarray(8, 24), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const release = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return {
    release,
    file: view.getUint32(24),
    chunk: view.getUint32(28),
    length,
    used_ms: view.getFloat64(32),
  };
}

/** FNV-1a over everything before the checksum. */
function checksum(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (const byte of bytes.subarray(0, CHECKSUM_AT)) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}
