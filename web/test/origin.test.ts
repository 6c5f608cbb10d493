import { expect, test, vi } from 'vitest';
import { ApiError } from '../src/player/api.ts';
import { createKeys, describe } from '../src/player/device.ts';
import { ServerClock } from '../src/player/dpop.ts';
import { Cutter, Origin } from '../src/player/engine/origin.ts';

test('a stream is cut where chunks end, however it arrives', () => {
  const bytes = Uint8Array.from({ length: 25 }, (_, at) => at);
  for (const step of [1, 3, 10, 25]) {
    const found: number[][] = [];
    const cutter = new Cutter([10, 10, 5], (at, chunk) => {
      found[at] = [...chunk];
    });
    for (let at = 0; at < bytes.length; at += step) cutter.push(bytes.subarray(at, at + step));
    expect(cutter.done).toBe(true);
    expect(found.flat()).toEqual([...bytes]);
  }
});

async function origin(response: Response) {
  const send = vi.fn(async (_url: unknown, _init?: RequestInit) => response);
  const device = await describe(await createKeys());
  const made = new Origin(
    'https://matinee.example',
    'r',
    device,
    new ServerClock(),
    () => 'token',
    send as unknown as typeof fetch,
  );
  return { made, send };
}

const { signal } = new AbortController();

test('a run is one Range request', async () => {
  const { made, send } = await origin(new Response(new Uint8Array(15), { status: 206 }));
  const lengths: number[] = [];
  await made.run({ file: 2, offset: 100, lengths: [10, 5] }, signal, (_, chunk) =>
    lengths.push(chunk.byteLength),
  );
  expect(lengths).toEqual([10, 5]);
  const [url, init] = send.mock.calls[0] ?? [];
  expect(url).toBe('https://matinee.example/v1/releases/r/files/2/ciphertext');
  expect(init?.headers).toMatchObject({ range: 'bytes=100-114', authorization: 'DPoP token' });
});

test.each([
  ['a whole file where a part was asked for', new Response(new Uint8Array(15), { status: 200 })],
  ['less than was asked for', new Response(new Uint8Array(14), { status: 206 })],
])('%s is refused', async (_, response) => {
  const { made } = await origin(response);
  const run = made.run({ file: 0, offset: 100, lengths: [10, 5] }, signal, () => undefined);
  await expect(run).rejects.toBeInstanceOf(ApiError);
});

test('a page that is too long is not read to its end', async () => {
  const { made } = await origin(new Response(new Uint8Array(40_000)));
  await expect(made.page(0, 0, signal)).rejects.toMatchObject({ code: 'malformed_answer' });
});

/** An origin with 6 chunks of a megabyte and a half, that notes what was asked of it. */
async function whole_origin() {
  const bytes = Uint8Array.from({ length: 6 * 262_160 }, (_, at) => (at * 31) % 251);
  const asked: string[] = [];
  const send = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    const headers = init?.headers as Record<string, string> | undefined;
    const range = headers?.range ?? '';
    asked.push(range);
    const [first = 0, last = 0] = range.replace('bytes=', '').split('-').map(Number);
    return new Response(bytes.slice(first, last + 1), { status: 206 });
  };
  const device = await describe(await createKeys());
  const clock = new ServerClock();
  const made = new Origin('https://matinee.example', 'r', device, clock, () => 'token', send as typeof fetch);
  const lengths = Array.from({ length: 6 }, () => 262_160);
  return { bytes, asked, made, lengths };
}

test('what was foreseen is not asked for again, and what is missing is', async () => {
  const { bytes, asked, made, lengths } = await whole_origin();
  made.foreseeStart(0);
  const found: Uint8Array[] = [];
  await made.run({ file: 0, offset: 0, lengths }, signal, (at, chunk) => {
    found[at] = chunk;
  });
  expect(asked).toEqual(['bytes=0-1048639', 'bytes=1048640-1572959']);
  expect(Buffer.concat(found).equals(bytes)).toBe(true);
  // It serves once.
  await made.run({ file: 0, offset: 0, lengths: [262_160] }, signal, () => undefined);
  expect(asked.at(-1)).toBe('bytes=0-262159');
});

test('what was foreseen of one file is not taken for another', async () => {
  const { asked, made } = await whole_origin();
  made.foreseeStart(0);
  await made.run({ file: 1, offset: 0, lengths: [10] }, signal, () => undefined);
  // Each is signed for by itself, so either may come first.
  await vi.waitFor(() => expect([...asked].sort()).toEqual(['bytes=0-1048639', 'bytes=0-9']));
});

test('what could not be foreseen is asked for when it is needed', async () => {
  let calls = 0;
  const send = async (): Promise<Response> => {
    calls += 1;
    if (calls <= 2) throw new TypeError('no network');
    return new Response(new Uint8Array(10), { status: 206 });
  };
  const device = await describe(await createKeys());
  const clock = new ServerClock();
  const made = new Origin('https://matinee.example', 'r', device, clock, () => 'token', send as typeof fetch);
  made.foreseeStart(0);
  made.foreseePage(0);
  const found: number[] = [];
  await made.run({ file: 0, offset: 0, lengths: [10] }, signal, (_, chunk) => found.push(chunk.byteLength));
  expect(found).toEqual([10]);
  expect(await made.page(0, 0, signal)).toHaveLength(10);
});
