import { expect, test } from 'vitest';
import { DiskCache, MemoryCache } from '../src/player/engine/cache.ts';
import { RECORD_BYTES, readRecord, SLOT_BYTES, writeRecord } from '../src/player/engine/slot_record.ts';
import { Store } from '../src/player/engine/store.ts';
import type { SyncFile } from '../src/player/worker_scope.ts';

const RELEASE = '0190d9e4-0000-7000-8000-000000000001';
const OTHER = '0190d9e4-0000-7000-8000-000000000002';
const ROOM = SLOT_BYTES + RECORD_BYTES;

/** A disk file in memory that may be full. */
class Disk implements SyncFile {
  bytes = new Uint8Array(0);
  constructor(public room = Number.MAX_SAFE_INTEGER) {}
  read(into: Uint8Array, { at }: { at: number }): number {
    const from = this.bytes.subarray(at, at + into.byteLength);
    into.set(from);
    return from.byteLength;
  }
  write(from: Uint8Array, { at }: { at: number }): number {
    if (at + from.byteLength > this.room) throw new DOMException('full', 'QuotaExceededError');
    if (at + from.byteLength > this.bytes.byteLength) {
      const grown = new Uint8Array(at + from.byteLength);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes.set(from, at);
    return from.byteLength;
  }
  getSize(): number {
    return this.bytes.byteLength;
  }
  truncate(): void {}
  flush(): void {}
  close(): void {}
}

let time = 0;
const cache = (slots: Disk, records: Disk, count: number, release = RELEASE): DiskCache =>
  new DiskCache(release, slots, records, count * ROOM, () => ++time);
const chunk = (fill: number): Uint8Array<ArrayBuffer> => new Uint8Array(1000 + fill).fill(fill);

test('what was put comes back, also after a restart', () => {
  const [slots, records] = [new Disk(), new Disk()];
  const first = cache(slots, records, 4);
  expect(first.put(0, 7, chunk(1))).toEqual([]);
  expect(first.put(1, 9, chunk(2))).toEqual([]);
  first.close();
  const second = cache(slots, records, 4);
  expect(second.held()).toEqual([
    { file: 0, chunk: 7 },
    { file: 1, chunk: 9 },
  ]);
  expect(second.get(0, 7)).toEqual(chunk(1));
  expect(second.get(0, 8)).toBeUndefined();
});

test('the chunk unused longest leaves first, and is told', () => {
  const held = cache(new Disk(), new Disk(), 2);
  held.put(0, 1, chunk(1));
  held.put(0, 2, chunk(2));
  held.get(0, 1);
  expect(held.put(0, 3, chunk(3))).toEqual([{ file: 0, chunk: 2 }]);
  expect(held.get(0, 1)).toEqual(chunk(1));
  expect(held.get(0, 3)).toEqual(chunk(3));
});

test('times of use survive, so another release leaves before this one', () => {
  const [slots, records] = [new Disk(), new Disk()];
  const first = cache(slots, records, 2, OTHER);
  first.put(0, 1, chunk(1));
  first.close();
  const second = cache(slots, records, 2);
  second.put(0, 1, chunk(2));
  expect(second.put(0, 2, chunk(3))).toEqual([]);
  expect(second.held()).toHaveLength(2);
  expect(cache(slots, records, 2, OTHER).held()).toEqual([]);
});

test('a disk that is full gets smaller and goes on', () => {
  const held = cache(new Disk(2 * SLOT_BYTES), new Disk(), 100);
  for (let at = 0; at < 5; at += 1)
    expect(held.put(0, at, new Uint8Array(SLOT_BYTES).fill(at))).toBeDefined();
  expect(held.held()).toEqual([
    { file: 0, chunk: 3 },
    { file: 0, chunk: 4 },
  ]);
  expect(held.get(0, 4)?.[0]).toBe(4);
});

test('a disk that takes nothing is given up', () => {
  const held = cache(new Disk(0), new Disk(), 100);
  expect(held.put(0, 0, chunk(1))).toBeUndefined();
  expect(held.kind).toBe('off');
  expect(held.put(0, 1, chunk(1))).toBeUndefined();
});

test('a record that was not written whole counts as empty', () => {
  const record = { release: RELEASE, file: 3, chunk: 4_000_000_000, length: 17, used_ms: 1_795_000_000_000 };
  const bytes = writeRecord(record);
  expect(readRecord(bytes)).toEqual(record);
  for (const at of [0, 5, 12, 30, 40, RECORD_BYTES - 1]) {
    const torn = bytes.slice();
    torn[at] = (torn[at] ?? 0) ^ 1;
    expect(readRecord(torn)).toBeUndefined();
  }
  expect(readRecord(new Uint8Array(RECORD_BYTES))).toBeUndefined();
});

test('memory keeps within its limit', () => {
  const memory = new MemoryCache(2_500);
  memory.put(0, 1, chunk(1));
  memory.put(0, 2, chunk(2));
  expect(memory.put(0, 3, chunk(3))).toEqual([{ file: 0, chunk: 1 }]);
  expect(memory.held()).toHaveLength(2);
});

test('nothing leaves the store without its hash being right', async () => {
  const [slots, records] = [new Disk(), new Disk()];
  const disk = cache(slots, records, 8);
  const verifier = {
    page_of: () => 0,
    has_page: () => false,
    verify: (_file: number, at: number, bytes: Uint8Array) => bytes.every((byte) => byte === at),
  };
  const store = new Store(disk, verifier);
  store.keep(0, 1, chunk(1));
  store.keep(0, 2, chunk(2));
  slots.bytes[3] = 99;
  expect(store.get(0, 1)).toBeUndefined();
  expect(store.get(0, 2)).toEqual(chunk(2));
  expect(disk.held()).toEqual([{ file: 0, chunk: 2 }]);
  const found: number[] = [];
  await store.recheck(
    async () => true,
    (_file, chunks) => void found.push(...chunks),
    () => false,
  );
  expect(found).toEqual([2]);
});
