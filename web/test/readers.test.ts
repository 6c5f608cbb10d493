import { expect, test } from 'vitest';
import { READERS_MAX, Readers } from '../src/player/engine/readers.ts';
import { CHUNK_BYTES } from '../src/player/limit.ts';

/** One chunk a second. */
const SPEED = { chunks: 1000, size_bytes: 1000 * CHUNK_BYTES, duration_ms: 1_000_000 };
const shown = (buffered_s: number, playing = true) => ({
  file: 0,
  bytes_per_s: CHUNK_BYTES,
  buffered_s,
  playing,
});
const create = (): Readers => new Readers(() => SPEED);

test('the first read of a film is due at once', () => {
  const readers = create();
  readers.shows(shown(0), 0);
  readers.asks(0, 0, 0);
  expect(readers.playheads(0)).toEqual([
    { reader: 0, file: 0, chunk: 0, bytes_per_s: CHUNK_BYTES, ahead_chunks: 60 },
  ]);
});

test('what the browser holds ahead puts the next chunk off', () => {
  const readers = create();
  for (let chunk = 0; chunk <= 30; chunk += 1) readers.asks(0, chunk, chunk)();
  readers.shows(shown(20), 40);
  // Chunk 30 is read now and shown in 20 s: as if the playhead were at 10.
  expect(readers.playheads(50)[0]).toMatchObject({ chunk: 10, ahead_chunks: 80 });
  // Read since the report without anything shown: still the same playhead.
  readers.asks(0, 31, 60)();
  expect(readers.playheads(60)[0]).toMatchObject({ chunk: 10, ahead_chunks: 81 });
});

test('a jump starts anew and wants nothing of what was left out', () => {
  const readers = create();
  readers.asks(0, 0, 0)();
  readers.shows(shown(30), 10);
  readers.asks(0, 500, 20);
  expect(readers.playheads(30).find(({ reader }) => reader === 1)).toMatchObject({ chunk: 500 });
});

test('a reader that is no screen has a little patience', () => {
  const readers = create();
  for (let chunk = 0; chunk <= 10; chunk += 1) readers.asks(0, chunk, chunk)();
  expect(readers.playheads(20)[0]).toMatchObject({ chunk: 7 });
});

test('a reader rests when nothing is asked, unless it is watched', () => {
  const readers = create();
  const handed = readers.asks(0, 0, 0);
  expect(readers.playheads(60_000)).toHaveLength(1);
  handed();
  expect(readers.playheads(60_000)).toHaveLength(0);
  readers.shows(shown(10), 60_000);
  expect(readers.playheads(60_001)).toHaveLength(1);
  readers.shows(shown(10, false), 60_002);
  expect(readers.playheads(60_003)).toHaveLength(0);
});

test('more positions than places replace the oldest', () => {
  const readers = create();
  for (let at = 0; at <= READERS_MAX; at += 1) readers.asks(0, at * 100, at)();
  const chunks = readers.playheads(READERS_MAX).map(({ chunk }) => chunk);
  expect(chunks).toHaveLength(READERS_MAX);
  expect(chunks).not.toContain(0);
});

test('nothing beyond the end is wanted', () => {
  const readers = create();
  readers.shows(shown(0), 0);
  readers.asks(0, 998, 0);
  expect(readers.playheads(0)[0]).toMatchObject({ chunk: 998, ahead_chunks: 2 });
});

test('a read that has waited for long is due, whatever the screen holds', () => {
  const readers = create();
  readers.asks(0, 10, 0);
  readers.shows(shown(40), 1_000);
  expect(readers.playheads(1_000)[0]?.chunk).toBe(10);
  const download = create();
  for (let chunk = 0; chunk < 30; chunk += 1) download.asks(0, chunk, chunk)();
  download.asks(0, 30, 1_000);
  const due = (now_ms: number): number | undefined => {
    download.shows(shown(40), now_ms);
    return download.playheads(now_ms)[0]?.chunk;
  };
  expect(due(1_000)).toBe(10);
  expect(due(11_000)).toBe(20);
  expect(due(21_000)).toBe(30);
  expect(due(60_000)).toBe(30);
});
