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
