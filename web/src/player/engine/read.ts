// Answers one read of the gateway: status and headers first, then bytes, a chunk's share for each pull. Knows HTTP and
// ranges, nothing of peers or keys.

import type { Bytes } from '../bytes.ts';
import { ANSWER_BYTES_MAX } from '../limit.ts';
import type { FileFacts, ReadAnswer, ReadCall, ReadRequest } from '../messages.ts';
import { chunkPart, contentRange, firstPart, parseRange, type Range } from '../range.ts';

/** Where opened chunks come from. */
export interface Source {
  /** Undefined when the release has no such file. Rejects with words when nothing may be read any more. */
  file(index: number): Promise<FileFacts | undefined>;
  /** The plaintext of a chunk in a buffer of its own. Rejects with words for the viewer; calls `waits` while a break comes first. */
  chunk(file: number, chunk: number, signal: AbortSignal, waits: () => void): Promise<Bytes>;
}

const PLAIN: [string, string][] = [
  ['accept-ranges', 'bytes'],
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
];
/** Types that a browser shows without running anything of theirs. */
const SHOWN = /^(video\/|audio\/|image\/(png|jpeg|webp|gif|avif)$|application\/pdf$|text\/plain$)/;

/** Whatever a publisher calls a file, it never becomes a page of this site: what is not known to be inert is saved. */
export function typeHeaders(facts: FileFacts): [string, string][] {
  if (SHOWN.test(facts.media_type)) return [['content-type', facts.media_type]];
  const name = encodeURIComponent(facts.name).replace(/['()*]/g, (character) => `%${hex(character)}`);
  return [
    ['content-type', 'application/octet-stream'],
    ['content-disposition', `attachment; filename*=UTF-8''${name}`],
    ['content-security-policy', "default-src 'none'; sandbox"],
  ];
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).toUpperCase();
}

export async function answerRead(source: Source, request: ReadRequest, port: MessagePort): Promise<void> {
  const cancelled = new AbortController();
  const pulls = new Pulls(port, cancelled);
  try {
    const facts = await source.file(request.file);
    if (facts === undefined) return head(port, 404, [...PLAIN, ['content-length', '0']], false);
    const size = facts.size_bytes;
    const asked = parseRange(request.range, size);
    if (asked === 'unsatisfiable') {
      return head(
        port,
        416,
        [...PLAIN, ['content-range', `bytes */${size}`], ['content-length', '0']],
        false,
      );
    }
    // Without a range the whole file was asked for, and a 200 has to be whole.
    const range: Range = asked === undefined ? { start: 0, end: size } : firstPart(asked, ANSWER_BYTES_MAX);
    const length: [string, string] = ['content-length', String(range.end - range.start)];
    const headers = [...PLAIN, ...typeHeaders(facts), length];
    if (asked !== undefined) headers.push(['content-range', contentRange(range, size)]);
    const body = request.method === 'GET' && range.end > range.start;
    head(port, asked === undefined ? 200 : 206, headers, body);
    if (body) await stream(source, request.file, range, pulls, port);
  } catch (cause) {
    if (!cancelled.signal.aborted) post(port, { kind: 'error', detail: words(cause) });
  } finally {
    pulls.close();
  }
}

async function stream(
  source: Source,
  file: number,
  range: Range,
  pulls: Pulls,
  port: MessagePort,
): Promise<void> {
  let at = range.start;
  while (await pulls.next()) {
    if (at >= range.end) return post(port, { kind: 'end' });
    const part = chunkPart(at, range.end);
    const waits = (): void => post(port, { kind: 'waits' });
    const opened = await source.chunk(file, part.chunk, pulls.signal, waits);
    if (pulls.signal.aborted) return;
    const whole = part.from === 0 && part.to === opened.byteLength;
    const bytes = whole ? opened : opened.slice(part.from, part.to);
    if (bytes.byteLength === 0) throw new Error('a chunk is shorter than the manifest says');
    at += bytes.byteLength;
    post(port, { kind: 'bytes', bytes }, [bytes.buffer]);
  }
}

function head(port: MessagePort, status: number, headers: [string, string][], body: boolean): void {
  post(port, { kind: 'head', status, headers, body });
}

function post(port: MessagePort, answer: ReadAnswer, transfer: Transferable[] = []): void {
  port.postMessage(answer, transfer);
}

function words(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** The pulls that came in and were not answered yet. */
class Pulls {
  readonly signal: AbortSignal;
  private waiting = 0;
  private resume: ((more: boolean) => void) | undefined;

  constructor(
    private readonly port: MessagePort,
    private readonly cancelled: AbortController,
  ) {
    this.signal = cancelled.signal;
    port.onmessage = ({ data }: MessageEvent<ReadCall>) => {
      if (data.kind === 'cancel') this.cancel();
      else if (this.resume !== undefined) this.release(true);
      else this.waiting += 1;
    };
  }

  /** Whether there is another pull to be answered; waits for one. */
  next(): Promise<boolean> {
    if (this.signal.aborted) return Promise.resolve(false);
    if (this.waiting > 0) {
      this.waiting -= 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      this.resume = resolve;
    });
  }

  close(): void {
    this.cancelled.abort();
    // The service worker closes its end when it has read the last answer.
    this.port.onmessage = null;
  }

  private cancel(): void {
    this.cancelled.abort();
    this.release(false);
  }

  private release(more: boolean): void {
    const { resume } = this;
    this.resume = undefined;
    resume?.(more);
  }
}
