// Byte ranges (RFC 9110 §14) and how they fall on chunks. Pure.
import { CHUNK_BYTES } from './limit.ts';

/** `start` is the first byte, `end` the one after the last. */
export interface Range {
  start: number;
  end: number;
}

/**
 * What a `Range` header asks of `size` bytes. Undefined when there is none or it is one to be ignored (another unit,
 * several ranges, a syntax error), `unsatisfiable` when it has to be answered 416.
 */
export function parseRange(header: string | null, size: number): Range | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [first, last] = [match[1] ?? '', match[2] ?? ''];
  if (first === '') {
    if (last === '') return undefined;
    const suffix = Math.min(Number(last), size);
    return suffix === 0 ? 'unsatisfiable' : { start: size - suffix, end: size };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return undefined;
  if (start >= size) return 'unsatisfiable';
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) };
}

/** The first `bytes_max` of a range. */
export function firstPart(range: Range, bytes_max: number): Range {
  return { start: range.start, end: Math.min(range.end, range.start + bytes_max) };
}

export function contentRange(range: Range, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`;
}

/** One chunk's share of a range: bytes `from` to `to` (exclusive) of chunk `chunk`. */
export interface ChunkPart {
  chunk: number;
  from: number;
  to: number;
}

/** The chunk that holds byte `at`, cut to what ends before `end`. */
export function chunkPart(at: number, end: number): ChunkPart {
  const chunk = Math.floor(at / CHUNK_BYTES);
  const base = chunk * CHUNK_BYTES;
  return { chunk, from: at - base, to: Math.min(end - base, CHUNK_BYTES) };
}

/** Runs of consecutive numbers in ascending input, each at most `length_max` long. */
export function runs(numbers: number[], length_max: number): { first: number; count: number }[] {
  const found: { first: number; count: number }[] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && last.first + last.count === number && last.count < length_max) last.count += 1;
    else found.push({ first: number, count: 1 });
  }
  return found;
}
