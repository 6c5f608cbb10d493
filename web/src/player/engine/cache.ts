// Verified ciphertext of this release, on disk where the browser allows it: one file of fixed slots, one of records.
//
// Only what the engine has verified is put in. What comes out after a restart is hashed again by the reader: a tab may
// have died between writing a slot and its record, and the disk is not ours alone.
import type { Bytes } from '../bytes.ts';
import { CACHE_BYTES_MAX, CACHE_FILES_MAX, CACHE_MEMORY_BYTES_MAX, CACHE_QUOTA_SHARE } from '../limit.ts';
import type { SyncFile } from '../worker_scope.ts';
import { RECORD_BYTES, readRecord, SLOT_BYTES, type SlotRecord, writeRecord } from './slot_record.ts';

/** Where verified chunks of one release are kept. Losing one is never an error. */
export interface ChunkCache {
  readonly kind: 'disk' | 'memory' | 'off';
  /** The chunks held when the cache was opened and since. */
  held(): { file: number; chunk: number }[];
  get(file: number, chunk: number): Bytes | undefined;
  /** Returns the chunks that had to leave for it; undefined when it could not be kept. */
  put(file: number, chunk: number, bytes: Uint8Array): { file: number; chunk: number }[] | undefined;
  drop(file: number, chunk: number): void;
  /** Writes down what was used when. */
  flush(): void;
  close(): void;
}

const FOLDER = 'matinee-cache';
/** A tab that is being reloaded lets its file go a moment later. */
const LOCK_ATTEMPTS = 8;
const LOCK_PAUSE_MS = 100;

/** Opens the cache on disk, or one in memory where there is none to be had. */
export async function openCache(release: string, wanted: boolean): Promise<ChunkCache> {
  if (!wanted) return new MemoryCache(CACHE_MEMORY_BYTES_MAX);
  try {
    const bytes_max = await allowance();
    if (bytes_max < SLOT_BYTES * 16) return new MemoryCache(CACHE_MEMORY_BYTES_MAX);
    const files = await openFiles();
    if (files !== undefined) return new DiskCache(release, files.slots, files.records, bytes_max);
  } catch {
    // No private file system here (some private windows): memory will do.
  }
  return new MemoryCache(CACHE_MEMORY_BYTES_MAX);
}

async function allowance(): Promise<number> {
  const { quota = 0 } = await navigator.storage.estimate();
  return Math.min(CACHE_BYTES_MAX, quota * CACHE_QUOTA_SHARE);
}

interface Files {
  slots: SyncFile;
  records: SyncFile;
}

interface SyncFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<SyncFile>;
}

/** Each tab has a pair of files to itself; the first pair is waited for, as a reload finds its own again there. */
async function openFiles(): Promise<Files | undefined> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt += 1) {
    const files = await openPair(folder, 0);
    if (files !== undefined) return files;
    await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE_MS));
  }
  for (let pair = 1; pair < CACHE_FILES_MAX; pair += 1) {
    const files = await openPair(folder, pair);
    if (files !== undefined) return files;
  }
  return undefined;
}

async function openPair(folder: FileSystemDirectoryHandle, pair: number): Promise<Files | undefined> {
  const slots = await openExclusive(folder, `${pair}.slots`);
  if (slots === undefined) return undefined;
  const records = await openExclusive(folder, `${pair}.records`);
  if (records !== undefined) return { slots, records };
  slots.close();
  return undefined;
}

async function openExclusive(folder: FileSystemDirectoryHandle, name: string): Promise<SyncFile | undefined> {
  const handle = (await folder.getFileHandle(name, { create: true })) as SyncFileHandle;
  try {
    return await handle.createSyncAccessHandle();
  } catch (cause) {
    // Another tab has it.
    if (cause instanceof DOMException && cause.name !== 'SecurityError') return undefined;
    throw cause;
  }
}

function keyOf(release: string, file: number, chunk: number): string {
  return `${release}/${file}/${chunk}`;
}

/** Slots on disk, the one unused longest is taken for what comes next, whatever release it belonged to. */
export class DiskCache implements ChunkCache {
  kind: 'disk' | 'off' = 'disk';
  /** Keys in order of use, the oldest first. */
  private readonly used = new Map<string, { slot: number; record: SlotRecord }>();
  private readonly free: number[] = [];
  private readonly dirty = new Set<string>();
  private slots_max: number;
  private slot_next = 0;

  constructor(
    private readonly release: string,
    private readonly slots: SyncFile,
    private readonly records: SyncFile,
    bytes_max: number,
    private readonly now: () => number = Date.now,
  ) {
    this.slots_max = Math.max(1, Math.floor(bytes_max / (SLOT_BYTES + RECORD_BYTES)));
    this.load();
  }

  held(): { file: number; chunk: number }[] {
    const found = [];
    for (const { record } of this.used.values()) {
      if (record.release === this.release) found.push({ file: record.file, chunk: record.chunk });
    }
    return found;
  }

  get(file: number, chunk: number): Bytes | undefined {
    const key = keyOf(this.release, file, chunk);
    const entry = this.used.get(key);
    if (entry === undefined) return undefined;
    const bytes = new Uint8Array(entry.record.length);
    try {
      if (this.slots.read(bytes, { at: entry.slot * SLOT_BYTES }) !== bytes.byteLength)
        throw new Error('short');
    } catch {
      this.drop(file, chunk);
      return undefined;
    }
    entry.record.used_ms = this.now();
    this.used.delete(key);
    this.used.set(key, entry);
    this.dirty.add(key);
    return bytes;
  }

  put(file: number, chunk: number, bytes: Uint8Array): { file: number; chunk: number }[] | undefined {
    const key = keyOf(this.release, file, chunk);
    if (this.kind === 'off' || bytes.byteLength > SLOT_BYTES) return undefined;
    if (this.used.has(key)) return [];
    const left: { file: number; chunk: number }[] = [];
    // A disk that turns out to be full gets smaller until what it holds is all there will be.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const slot = this.takeSlot(left);
      if (slot === undefined) break;
      const record: SlotRecord = {
        release: this.release,
        file,
        chunk,
        length: bytes.byteLength,
        used_ms: this.now(),
      };
      try {
        if (this.slots.write(bytes, { at: slot * SLOT_BYTES }) !== bytes.byteLength) throw new Error('full');
        this.records.write(writeRecord(record), { at: slot * RECORD_BYTES });
        this.used.set(key, { slot, record });
        return left;
      } catch {
        this.slots_max = Math.max(1, slot === this.slot_next - 1 ? slot : this.slots_max);
        this.slot_next = Math.min(this.slot_next, this.slots_max);
        if (this.used.size === 0) break;
      }
    }
    this.kind = 'off';
    return undefined;
  }

  drop(file: number, chunk: number): void {
    const key = keyOf(this.release, file, chunk);
    const entry = this.used.get(key);
    if (entry === undefined) return;
    this.used.delete(key);
    this.dirty.delete(key);
    this.free.push(entry.slot);
    this.clear(entry.slot);
  }

  flush(): void {
    try {
      for (const key of this.dirty) {
        const entry = this.used.get(key);
        if (entry) this.records.write(writeRecord(entry.record), { at: entry.slot * RECORD_BYTES });
      }
      this.records.flush();
    } catch {
      // The times of use are worth nothing more than a better choice of what to forget.
    }
    this.dirty.clear();
  }

  close(): void {
    this.flush();
    this.slots.close();
    this.records.close();
  }

  private load(): void {
    const count = Math.min(Math.floor(this.records.getSize() / RECORD_BYTES), this.slots_max);
    const all = new Uint8Array(count * RECORD_BYTES);
    const read = this.records.read(all, { at: 0 });
    this.slot_next = Math.floor(read / RECORD_BYTES);
    const found: { slot: number; record: SlotRecord }[] = [];
    for (let slot = 0; slot < this.slot_next; slot += 1) {
      const record = readRecord(all.subarray(slot * RECORD_BYTES, (slot + 1) * RECORD_BYTES));
      if (record === undefined) this.free.push(slot);
      else found.push({ slot, record });
    }
    found.sort((one, other) => one.record.used_ms - other.record.used_ms);
    for (const entry of found) {
      const { release, file, chunk } = entry.record;
      const key = keyOf(release, file, chunk);
      const twice = this.used.get(key);
      if (twice !== undefined) this.free.push(twice.slot);
      this.used.set(key, entry);
    }
  }

  private takeSlot(left: { file: number; chunk: number }[]): number | undefined {
    const free = this.free.pop();
    if (free !== undefined) return free;
    if (this.slot_next < this.slots_max) return this.slot_next++;
    const oldest = this.used.entries().next().value;
    if (oldest === undefined) return undefined;
    const [key, { slot, record }] = oldest;
    this.used.delete(key);
    this.dirty.delete(key);
    if (record.release === this.release) left.push({ file: record.file, chunk: record.chunk });
    return slot;
  }

  private clear(slot: number): void {
    try {
      this.records.write(new Uint8Array(RECORD_BYTES), { at: slot * RECORD_BYTES });
    } catch {
      // Found out by its hash when it is read.
    }
  }
}

/** The same in memory. */
export class MemoryCache implements ChunkCache {
  readonly kind = 'memory';
  private readonly chunks = new Map<string, { file: number; chunk: number; bytes: Bytes }>();
  private bytes_held = 0;

  constructor(private readonly bytes_max: number) {}

  held(): { file: number; chunk: number }[] {
    return [...this.chunks.values()].map(({ file, chunk }) => ({ file, chunk }));
  }

  get(file: number, chunk: number): Bytes | undefined {
    const key = keyOf('', file, chunk);
    const entry = this.chunks.get(key);
    if (entry === undefined) return undefined;
    this.chunks.delete(key);
    this.chunks.set(key, entry);
    return entry.bytes;
  }

  put(file: number, chunk: number, bytes: Uint8Array): { file: number; chunk: number }[] {
    const left = [];
    this.drop(file, chunk);
    this.chunks.set(keyOf('', file, chunk), { file, chunk, bytes: bytes.slice() as Bytes });
    this.bytes_held += bytes.byteLength;
    for (const entry of this.chunks.values()) {
      if (this.bytes_held <= this.bytes_max || this.chunks.size === 1) break;
      this.drop(entry.file, entry.chunk);
      left.push({ file: entry.file, chunk: entry.chunk });
    }
    return left;
  }

  drop(file: number, chunk: number): void {
    const key = keyOf('', file, chunk);
    this.bytes_held -= this.chunks.get(key)?.bytes.byteLength ?? 0;
    this.chunks.delete(key);
  }

  flush(): void {}

  close(): void {
    this.chunks.clear();
    this.bytes_held = 0;
  }
}
