// What this worker holds of the release: the cache, an overflow for when the disk refuses, and the rule that nothing
// comes out of either without being hashed again.
import type { Bytes } from '../bytes.ts';
import { type ChunkCache, MemoryCache } from './cache.ts';

/** Verified chunks that the cache could not keep stay this long within reach. */
const OVERFLOW_BYTES_MAX = 32 * 1024 * 1024;
/** Work on the cache between two looks at everything else. */
const SLICE_MS = 8;

/** What of the engine is needed here. */
export interface Verifier {
  page_of(chunk: number): number;
  has_page(file: number, page: number): boolean;
  verify(file: number, chunk: number, bytes: Uint8Array): boolean | undefined;
}

interface Place {
  file: number;
  chunk: number;
}

export class Store {
  private readonly overflow = new MemoryCache(OVERFLOW_BYTES_MAX);

  constructor(
    private readonly cache: ChunkCache,
    private readonly verifier: Verifier,
  ) {}

  get kind(): 'disk' | 'memory' | 'off' {
    return this.cache.kind;
  }

  /** Keeps a verified chunk and returns what had to leave for it. */
  keep(file: number, chunk: number, bytes: Uint8Array): Place[] {
    return this.cache.put(file, chunk, bytes) ?? this.overflow.put(file, chunk, bytes);
  }

  /** A chunk whose hash is right; undefined when there is none, or none that can be checked. */
  get(file: number, chunk: number): Bytes | undefined {
    const bytes = this.cache.get(file, chunk) ?? this.overflow.get(file, chunk);
    if (bytes === undefined) return undefined;
    const right = this.verifier.verify(file, chunk, bytes);
    if (right) return bytes;
    if (right === false) this.forget(file, chunk);
    return undefined;
  }

  forget(file: number, chunk: number): void {
    this.cache.drop(file, chunk);
    this.overflow.drop(file, chunk);
  }

  /**
   * Hashes what an earlier run left behind and tells which chunks are right, a slice at a time. `page` has to see to it
   * that the page is verified; false leaves its chunks alone.
   */
  async recheck(
    page: (file: number, page: number) => Promise<boolean>,
    right: (file: number, chunks: number[]) => void,
    stopped: () => boolean,
  ): Promise<void> {
    for (const [file, page_number, chunks] of this.byPage()) {
      if (!this.verifier.has_page(file, page_number) && !(await page(file, page_number))) continue;
      let found: number[] = [];
      let began = performance.now();
      for (const chunk of chunks) {
        if (stopped()) return;
        if (this.get(file, chunk) !== undefined) found.push(chunk);
        if (performance.now() - began < SLICE_MS) continue;
        if (found.length > 0) right(file, found);
        found = [];
        await new Promise((resolve) => setTimeout(resolve, 0));
        began = performance.now();
      }
      if (found.length > 0) right(file, found);
    }
  }

  flush(): void {
    this.cache.flush();
  }

  close(): void {
    this.cache.close();
  }

  private byPage(): [file: number, page: number, chunks: number[]][] {
    const pages = new Map<string, [number, number, number[]]>();
    for (const { file, chunk } of this.cache.held()) {
      const page = this.verifier.page_of(chunk);
      const name = `${file}.${page}`;
      const entry = pages.get(name) ?? [file, page, []];
      entry[2].push(chunk);
      pages.set(name, entry);
    }
    const sorted = [...pages.values()];
    for (const [, , chunks] of sorted) chunks.sort((one, other) => one - other);
    return sorted.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  }
}
