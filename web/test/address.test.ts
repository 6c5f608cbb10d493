import { expect, test } from 'vitest';
import { position } from '../src/player/gateway.ts';
import { playAddress, playPath } from '../src/player/path.ts';
import { Backoff } from '../src/player/retry.ts';
import { decode } from '../src/player/signaling.ts';
import { bytes, duration } from '../src/player/wording.ts';
import { ownPath, routeOf } from '../src/storefront/router.ts';
import { money } from '../src/storefront/wording.ts';

const RELEASE = '0190d9e4-0000-7000-8000-000000000001';

test('play addresses are read as they are written', () => {
  expect(playPath(playAddress(RELEASE, 3))).toEqual({ release: RELEASE, file: 3 });
  expect(playPath(`/play/${RELEASE}/3/film.mp4`)).toEqual({ release: RELEASE, file: 3 });
  for (const path of [
    '/play/',
    `/play/${RELEASE}`,
    `/play/${RELEASE}/x`,
    '/play/../v1/jwks',
    `/x/play/${RELEASE}/0`,
  ]) {
    expect(playPath(path)).toBeUndefined();
  }
});

test.each([
  ['/', { page: 'titles', payment: '' }],
  ['/?payment=abc', { page: 'titles', payment: 'abc' }],
  ['/titles/abc', { page: 'title', title: 'abc' }],
  ['/watch/abc', { page: 'watch', entitlement: 'abc', title: undefined }],
  ['/watch/abc?title=def', { page: 'watch', entitlement: 'abc', title: 'def' }],
  ['/collections/abc', { page: 'collection', collection: 'abc' }],
  ['/purchases/abc', { page: 'purchase', purchase: 'abc' }],
  ['/search?q=big+bu', { page: 'search', words: 'big bu' }],
  ['/gift?code=A-B', { page: 'gift', code: 'A-B' }],
  ['/account', { page: 'account', section: '' }],
  ['/account/devices', { page: 'account', section: 'devices' }],
  ['/account/nothing', { page: 'missing' }],
  ['/artists', { page: 'artists' }],
  ['/artists/7', { page: 'artist', artist: '7' }],
  ['/albums/7', { page: 'album', album: '7' }],
  ['/genres/7', { page: 'genre', genre: '7' }],
  ['/embed/abc', { page: 'embed', title: 'abc' }],
  ['/sign-in?next=/titles/1', { page: 'sign-in', next: '/titles/1' }],
  ['/wallet', { page: 'wallet', next: '/' }],
  ['/library', { page: 'library' }],
  ['/nowhere', { page: 'missing' }],
  ['/titles/a/b', { page: 'missing' }],
])('%s', (path, route) => {
  expect(routeOf(new URL(path, 'https://matinee.example'))).toEqual(route);
});

test.each(['https://evil.example/', '//evil.example', '/\\evil.example', 'javascript:alert(1)', null])(
  'after signing in nobody is sent to %s',
  (next) => {
    expect(ownPath(next)).toBe('/');
  },
);

test('waits double, within their bounds, and start anew', () => {
  const backoff = new Backoff(100, 1_000, () => 1);
  expect([1, 2, 3, 4, 5, 6].map(() => backoff.next())).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  backoff.reset();
  expect(backoff.next()).toBe(100);
  expect(new Backoff(100, 1_000, () => 0).next()).toBe(50);
});

test('the position of a film is spread evenly over its bytes', () => {
  expect(position(30, 120, 1_200_000)).toEqual({ byte: 300_000, bytes_per_s: 10_000 });
  expect(position(500, 120, 1_200_000).byte).toBe(1_200_000);
  expect(position(5, Number.NaN, 1_000)).toEqual({ byte: 0, bytes_per_s: 0 });
});

test('signaling messages that are not known are passed over', () => {
  expect(decode('{"type":"left","peer":"p"}')).toEqual({ type: 'left', peer: 'p' });
  for (const data of ['{"type":"later"}', '{', '[]', 'null', '7', 'x'.repeat(40_000), new ArrayBuffer(3)]) {
    expect(decode(data)).toBeUndefined();
  }
});

test('figures are worded for people', () => {
  expect([0, 999, 1_500, 262_144, 1_055_736, 4_900_000_000].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '1.5 kB',
    '262 kB',
    '1.1 MB',
    '4.9 GB',
  ]);
  expect([5_310, 95 * 60_000].map(duration)).toEqual(['5 s', '1 h 35 min']);
  expect(money({ minor: 50, currency: 'USD' })).toBe('$0.50');
  expect(money({ minor: 500, currency: 'JPY' })).toBe('¥500');
});
