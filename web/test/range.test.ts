import { expect, test } from 'vitest';
import { CHUNK_BYTES } from '../src/player/limit.ts';
import { chunkPart, contentRange, firstPart, parseRange, runs } from '../src/player/range.ts';

test.each([
  ['bytes=0-', { start: 0, end: 1000 }],
  ['bytes=0-1', { start: 0, end: 2 }],
  ['bytes=999-', { start: 999, end: 1000 }],
  ['bytes=10-99999', { start: 10, end: 1000 }],
  ['bytes=-5', { start: 995, end: 1000 }],
  ['bytes=-5000', { start: 0, end: 1000 }],
  ['BYTES=1-1', { start: 1, end: 2 }],
  ['bytes=1000-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=5-4', undefined],
  ['bytes=-', undefined],
  ['bytes=0-1,5-6', undefined],
  ['items=0-1', undefined],
  ['', undefined],
  [null, undefined],
])('%s of 1000 bytes', (header, expected) => {
  expect(parseRange(header, 1000)).toEqual(expected);
});

test('an empty file satisfies no range', () => {
  expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable');
  expect(parseRange('bytes=-1', 0)).toBe('unsatisfiable');
});

test('an answer is cut to its limit and named exactly', () => {
  const part = firstPart({ start: 7, end: 5000 }, 100);
  expect(part).toEqual({ start: 7, end: 107 });
  expect(contentRange(part, 9000)).toBe('bytes 7-106/9000');
});

test('chunk parts cover a range once and in order', () => {
  const [start, end] = [CHUNK_BYTES - 3, 2 * CHUNK_BYTES + 5];
  const covered = [];
  for (let at = start; at < end; ) {
    const part = chunkPart(at, end);
    covered.push(part);
    at = part.chunk * CHUNK_BYTES + part.to;
  }
  expect(covered).toEqual([
    { chunk: 0, from: CHUNK_BYTES - 3, to: CHUNK_BYTES },
    { chunk: 1, from: 0, to: CHUNK_BYTES },
    { chunk: 2, from: 0, to: 5 },
  ]);
});

test('numbers fall into runs', () => {
  expect(runs([1, 2, 3, 7, 8, 10], 2)).toEqual([
    { first: 1, count: 2 },
    { first: 3, count: 1 },
    { first: 7, count: 2 },
    { first: 10, count: 1 },
  ]);
  expect(runs([], 4)).toEqual([]);
});
