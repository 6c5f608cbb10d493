import { describe, expect, test } from 'vitest';
import type { Bytes } from '../src/player/bytes.ts';
import { answerRead, type Source, typeHeaders } from '../src/player/engine/read.ts';
import { ANSWER_BYTES_MAX, CHUNK_BYTES } from '../src/player/limit.ts';
import type { FileFacts, ReadAnswer, ReadCall, ReadRequest } from '../src/player/messages.ts';

const SIZE = 5 * CHUNK_BYTES + 100;
const FACTS: FileFacts = {
  name: 'f',
  media_type: 'video/mp4',
  size_bytes: SIZE,
  duration_ms: null,
  chunks: 6,
};

function plain(at: number): number {
  return (at * 31 + (at >> 8)) & 0xff;
}

class Film implements Source {
  asked: number[] = [];
  pending = false;
  aborted = false;

  async file(index: number): Promise<FileFacts | undefined> {
    return index === 0 ? FACTS : undefined;
  }

  async chunk(_file: number, chunk: number, signal: AbortSignal): Promise<Bytes> {
    this.asked.push(chunk);
    if (this.pending) {
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          this.aborted = true;
          reject(new Error('cancelled'));
        });
      });
    }
    const base = chunk * CHUNK_BYTES;
    return Uint8Array.from({ length: Math.min(CHUNK_BYTES, SIZE - base) }, (_, at) => plain(base + at));
  }
}

/** Plays the service worker's part. */
class Asker {
  private readonly answers: ReadAnswer[] = [];
  private wake: (() => void) | undefined;
  readonly film = new Film();
  private readonly port: MessagePort;

  constructor(range: string | null, method: 'GET' | 'HEAD' = 'GET', file = 0) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.onmessage = ({ data }) => {
      this.answers.push(data as ReadAnswer);
      this.wake?.();
    };
    const request: ReadRequest = { matinee: 'read', release: 'r', file, method, range };
    void answerRead(this.film, request, port2);
  }

  call(kind: ReadCall['kind']): void {
    this.port.postMessage({ kind });
  }

  async next(): Promise<ReadAnswer> {
    while (this.answers.length === 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.answers.shift() as ReadAnswer;
  }

  async head(): Promise<{ status: number; headers: Record<string, string>; body: boolean }> {
    const head = await this.next();
    if (head.kind !== 'head') throw new Error(`expected a head, got ${JSON.stringify(head)}`);
    return { status: head.status, headers: Object.fromEntries(head.headers), body: head.body };
  }

  async body(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (;;) {
      this.call('pull');
      const answer = await this.next();
      if (answer.kind === 'end') break;
      if (answer.kind !== 'bytes') throw new Error(`expected bytes, got ${answer.kind}`);
      parts.push(answer.bytes);
    }
    this.port.close();
    return Buffer.concat(parts);
  }

  close(): void {
    this.port.close();
  }
}

describe('a read through the gateway', () => {
  test('with a range is a 206 of at most 1 MiB, byte for byte', async () => {
    const asker = new Asker('bytes=100-');
    expect(await asker.head()).toMatchObject({
      status: 206,
      body: true,
      headers: {
        'content-type': 'video/mp4',
        'content-length': String(ANSWER_BYTES_MAX),
        'content-range': `bytes 100-${ANSWER_BYTES_MAX + 99}/${SIZE}`,
        'accept-ranges': 'bytes',
      },
    });
    const body = await asker.body();
    expect(body).toHaveLength(ANSWER_BYTES_MAX);
    expect(body.every((byte, at) => byte === plain(at + 100))).toBe(true);
  });

  test('of two bytes gives exactly these', async () => {
    const asker = new Asker('bytes=0-1');
    expect((await asker.head()).headers['content-range']).toBe(`bytes 0-1/${SIZE}`);
    expect([...(await asker.body())]).toEqual([plain(0), plain(1)]);
    expect(asker.film.asked).toEqual([0]);
  });

  test('without a range is the whole file', async () => {
    const asker = new Asker(null);
    const head = await asker.head();
    expect(head).toMatchObject({ status: 200, headers: { 'content-length': String(SIZE) } });
    expect(head.headers['content-range']).toBeUndefined();
    expect(await asker.body()).toHaveLength(SIZE);
  });

  test('by HEAD has no body', async () => {
    const asker = new Asker(null, 'HEAD');
    expect(await asker.head()).toMatchObject({
      status: 200,
      body: false,
      headers: { 'content-length': String(SIZE) },
    });
    asker.close();
  });

  test('past the end is a 416 that tells the size', async () => {
    const asker = new Asker(`bytes=${SIZE}-`);
    expect(await asker.head()).toMatchObject({
      status: 416,
      headers: { 'content-range': `bytes */${SIZE}` },
    });
    asker.close();
  });

  test('of a file that is not there is a 404', async () => {
    const asker = new Asker(null, 'GET', 9);
    expect((await asker.head()).status).toBe(404);
    asker.close();
  });

  test('asks for nothing before it is pulled', async () => {
    const asker = new Asker('bytes=0-');
    await asker.head();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(asker.film.asked).toEqual([]);
    asker.call('pull');
    expect((await asker.next()).kind).toBe('bytes');
    expect(asker.film.asked).toEqual([0]);
    asker.close();
  });

  test('that is cancelled gives up waiting for its chunk', async () => {
    const asker = new Asker('bytes=0-');
    asker.film.pending = true;
    await asker.head();
    asker.call('pull');
    await new Promise((resolve) => setTimeout(resolve, 20));
    asker.call('cancel');
    await expect.poll(() => asker.film.aborted).toBe(true);
    asker.close();
  });
});

test.each(['text/html', 'image/svg+xml', 'application/xhtml+xml', 'text/javascript', '', 'video'])(
  'a file of type "%s" is saved, never shown',
  (media_type) => {
    const headers = Object.fromEntries(typeHeaders({ ...FACTS, name: 'a "b".html', media_type }));
    expect(headers).toEqual({
      'content-type': 'application/octet-stream',
      'content-disposition': "attachment; filename*=UTF-8''a%20%22b%22.html",
      'content-security-policy': "default-src 'none'; sandbox",
    });
  },
);
