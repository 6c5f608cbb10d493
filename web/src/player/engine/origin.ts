// The origin over HTTP: manifest, hash pages and runs of ciphertext (docs/PROTOCOL.md §5, authority *swarm*). What
// arrives here is not trusted; the engine hashes it.
import { ApiError, CODE_MALFORMED, CODE_UNREACHABLE, problem } from '../api.ts';
import type { Bytes } from '../bytes.ts';
import type { Device } from '../device.ts';
import { prove, type ServerClock } from '../dpop.ts';
import { MANIFEST_BYTES_MAX, PAGE_BYTES_MAX, SEALED_CHUNK_BYTES } from '../limit.ts';

/** Silence after which a transfer is given up, in milliseconds. */
const ORIGIN_SILENCE_MS_MAX = 20_000;
/** What the engine asks of the origin first, as a first frame takes about a megabyte. */
export const START_CHUNKS = 4;

/** Consecutive chunks of a file's ciphertext: where they start and how long each is. */
export interface Run {
  file: number;
  offset: number;
  lengths: number[];
}

export class Origin {
  private page_foreseen: { file: number; bytes: Promise<Bytes | undefined> } | undefined;
  private start_foreseen:
    | { file: number; response: Promise<Response | undefined>; stop: AbortController }
    | undefined;

  constructor(
    private readonly server: string,
    private readonly release: string,
    private readonly device: Device,
    private readonly clock: ServerClock,
    /** The view token as it is now. */
    private readonly token: () => string,
    private readonly send: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  /** The compact JWS, not verified yet. */
  async manifest(signal: AbortSignal): Promise<string> {
    const bytes = await this.whole(`/v1/releases/${this.release}/manifest`, MANIFEST_BYTES_MAX, signal);
    return new TextDecoder().decode(bytes);
  }

  /** Fetches the first hash page of a file before it is asked for; a failure is left to whoever asks. */
  foreseePage(file: number): void {
    const bytes = this.fetchPage(file, 0, new AbortController().signal).catch(() => undefined);
    this.page_foreseen = { file, bytes };
  }

  /** The same for the ciphertext that a file begins with. */
  foreseeStart(file: number): void {
    const stop = new AbortController();
    const range = `bytes=0-${START_CHUNKS * SEALED_CHUNK_BYTES - 1}`;
    const response = this.get(ciphertextPath(this.release, file), stop.signal, { range }).catch(
      () => undefined,
    );
    this.start_foreseen = { file, response, stop };
  }

  async page(file: number, page: number, signal: AbortSignal): Promise<Bytes> {
    const foreseen = this.page_foreseen;
    if (foreseen?.file === file && page === 0) {
      this.page_foreseen = undefined;
      const bytes = await foreseen.bytes;
      if (bytes !== undefined) return bytes;
    }
    return this.fetchPage(file, page, signal);
  }

  /** Gets a run by one Range request and hands over each chunk as soon as it is whole. */
  async run(run: Run, signal: AbortSignal, arrived: (index: number, bytes: Bytes) => void): Promise<void> {
    const had = run.offset === 0 ? await this.foreseenStart(run, signal, arrived) : 0;
    if (had === run.lengths.length) return;
    const lengths = run.lengths.slice(had);
    const offset = run.offset + sum(run.lengths.slice(0, had));
    const range = `bytes=${offset}-${offset + sum(lengths) - 1}`;
    await this.watched(signal, async (alive, inner) => {
      const response = await this.get(ciphertextPath(this.release, run.file), inner, { range });
      await cut(response, { offset, lengths }, inner, alive, (at, bytes) => arrived(had + at, bytes));
    });
  }

  /** Hands over what was foreseen of a run and returns how many chunks that were. */
  private async foreseenStart(
    { file, lengths }: Run,
    signal: AbortSignal,
    arrived: (index: number, bytes: Bytes) => void,
  ): Promise<number> {
    const foreseen = this.start_foreseen;
    if (foreseen?.file !== file) return 0;
    this.start_foreseen = undefined;
    let had = 0;
    await this.watched(signal, async (alive, inner) => {
      inner.addEventListener('abort', () => foreseen.stop.abort(), { once: true });
      const response = await foreseen.response;
      if (response === undefined || inner.aborted) return;
      const head = lengths.slice(0, START_CHUNKS);
      await cut(response, { offset: 0, lengths: head }, inner, alive, (at, bytes) => {
        had = at + 1;
        arrived(at, bytes);
      });
    });
    return had;
  }

  private fetchPage(file: number, page: number, signal: AbortSignal): Promise<Bytes> {
    return this.whole(`/v1/releases/${this.release}/files/${file}/pages/${page}`, PAGE_BYTES_MAX, signal);
  }

  private async whole(path: string, bytes_max: number, signal: AbortSignal): Promise<Bytes> {
    return this.watched(signal, async (alive, inner) => {
      const response = await this.get(path, inner);
      const parts: Uint8Array[] = [];
      let total = 0;
      await drain(response, inner, alive, (bytes) => {
        total += bytes.byteLength;
        if (total > bytes_max) throw malformed('the origin sent more than is allowed');
        parts.push(bytes);
        return true;
      });
      const joined = new Uint8Array(total);
      let at = 0;
      for (const part of parts) {
        joined.set(part, at);
        at += part.byteLength;
      }
      return joined;
    });
  }

  /** Runs `work` with a signal that also fires after a silence; `alive` puts that off. */
  private async watched<Result>(
    signal: AbortSignal,
    work: (alive: () => void, inner: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), ORIGIN_SILENCE_MS_MAX);
    const alive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), ORIGIN_SILENCE_MS_MAX);
    };
    try {
      return await work(alive, AbortSignal.any([signal, silence.signal]));
    } catch (cause) {
      if (cause instanceof ApiError || signal.aborted) throw cause;
      throw new ApiError(0, CODE_UNREACHABLE, 'the origin cannot be reached at the moment');
    } finally {
      clearTimeout(timer);
    }
  }

  private async get(
    path: string,
    signal: AbortSignal,
    extra: Record<string, string> = {},
  ): Promise<Response> {
    const url = new URL(path, this.server).href;
    const token = this.token();
    const dpop = await prove(this.device, this.clock, { method: 'GET', url, token });
    const headers = { ...extra, authorization: `DPoP ${token}`, dpop };
    // Verified bytes have a cache of their own, on disk.
    const init: RequestInit = { headers, signal, cache: 'no-store', credentials: 'omit' };
    const response = await this.send(url, init);
    this.clock.observe(response.headers.get('date'));
    if (!response.ok) throw await problem(response);
    return response;
  }
}

function ciphertextPath(release: string, file: number): string {
  return `/v1/releases/${release}/files/${file}/ciphertext`;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Cuts the answer to a Range request into chunks. */
async function cut(
  response: Response,
  { offset, lengths }: Pick<Run, 'offset' | 'lengths'>,
  signal: AbortSignal,
  alive: () => void,
  arrived: (index: number, bytes: Bytes) => void,
): Promise<void> {
  // A whole file is a right answer to a range only when the range was the whole file.
  const whole = response.status === 200 && offset === 0;
  if (response.status !== 206 && !whole) throw malformed('the origin ignored the range');
  const cutter = new Cutter(lengths, arrived);
  await drain(response, signal, alive, (bytes) => cutter.push(bytes));
  if (!cutter.done) throw malformed('the origin sent less than was asked for');
}

function malformed(detail: string): ApiError {
  return new ApiError(502, CODE_MALFORMED, detail);
}

/** Reads a body to its end, or until `take` says that it has enough. */
async function drain(
  response: Response,
  signal: AbortSignal,
  alive: () => void,
  take: (bytes: Uint8Array) => boolean,
): Promise<void> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (done || signal.aborted) return;
      alive();
      if (take(value)) continue;
      // All is there; a body that ends here too lets its connection be used again.
      ended = (await reader.read()).done;
      return;
    }
  } finally {
    // Nothing is left to be told to a body that is not wanted any more.
    if (!ended) reader.cancel().catch(() => undefined);
  }
}

/** Cuts a stream of bytes into pieces of given lengths. */
export class Cutter {
  private index = 0;
  private filled = 0;
  private current: Bytes | undefined;

  constructor(
    private readonly lengths: number[],
    private readonly arrived: (index: number, bytes: Bytes) => void,
  ) {}

  get done(): boolean {
    return this.index >= this.lengths.length;
  }

  /** Returns whether more is wanted. */
  push(bytes: Uint8Array): boolean {
    let at = 0;
    while (at < bytes.byteLength && !this.done) {
      const length = this.lengths[this.index] ?? 0;
      this.current ??= new Uint8Array(length);
      const taken = Math.min(length - this.filled, bytes.byteLength - at);
      this.current.set(bytes.subarray(at, at + taken), this.filled);
      this.filled += taken;
      at += taken;
      if (this.filled < length) continue;
      const whole = this.current;
      this.current = undefined;
      this.filled = 0;
      this.arrived(this.index++, whole);
    }
    return !this.done;
  }
}
