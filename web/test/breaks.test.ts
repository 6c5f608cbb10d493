import { expect, test } from 'vitest';
import { type Breaks, cameBy, due } from '../src/player/breaks.ts';

const AT = [0, 180_000, 330_000];

function breaks(skipped: 'last' | 'all', shown: number[], courtesy: number[] = []): Breaks {
  const one = (at_ms: number, number: number) => ({
    at_ms,
    duration_ms: 15_000,
    must_show: !courtesy.includes(number),
    shown: shown.includes(number),
  });
  return { skipped, list: AT.map(one) };
}

test('a break is due where it lies and behind, until it was shown', () => {
  expect(due(breaks('last', []), 0)).toBe(0);
  expect(due(breaks('last', [0]), 179_900)).toBeUndefined();
  expect(due(breaks('last', [0]), 180_000)).toBe(1);
  expect(due(breaks('last', [0]), 500_000)).toBe(2);
  expect(due(breaks('last', [2]), 500_000)).toBeUndefined();
  expect(due(breaks('last', [2]), 200_000)).toBe(1);
  expect(due(undefined, 0)).toBeUndefined();
});

test('where the plan says so, all that a seek skips is due, in order', () => {
  expect(due(breaks('all', [2]), 500_000)).toBe(0);
  expect(due(breaks('all', [0, 2]), 500_000)).toBe(1);
  expect(due(breaks('all', [0, 1, 2]), 500_000)).toBeUndefined();
});

test('what need not be shown is shown when one comes by it, and holds nothing back', () => {
  const courtesy = breaks('last', [0], [1]);
  expect(due(courtesy, 200_000)).toBeUndefined();
  expect(cameBy(courtesy, 179_500, 180_000)).toBe(1);
  expect(cameBy(courtesy, 180_000, 180_250)).toBeUndefined();
  expect(cameBy(breaks('last', []), 0, 500_000)).toBeUndefined();
});
