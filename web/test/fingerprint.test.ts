import { expect, test } from 'vitest';
import { sha256Fingerprint } from '../src/player/fingerprint.ts';

const PRINT = Array.from({ length: 32 }, (_, at) => at.toString(16).padStart(2, '0').toUpperCase()).join(':');
const OTHER = PRINT.replace('1F', 'FF');
const sdp = (...lines: string[]): string =>
  `v=0\r\n${lines.map((line) => `a=${line}\r\n`).join('')}m=application\r\n`;

test('reads the fingerprint of a session or of a section', () => {
  const expected = Uint8Array.from({ length: 32 }, (_, at) => at);
  expect(sha256Fingerprint(sdp(`fingerprint:sha-256 ${PRINT}`))).toEqual(expected);
  expect(sha256Fingerprint(sdp(`fingerprint:SHA-256 ${PRINT.toLowerCase()}`))).toEqual(expected);
});

test('passes over other hashes and repetitions', () => {
  const text = sdp('fingerprint:sha-1 00:11', `fingerprint:sha-256 ${PRINT}`, `fingerprint:sha-256 ${PRINT}`);
  expect(sha256Fingerprint(text)).toHaveLength(32);
});

test.each([
  ['none', sdp()],
  ['two that differ', sdp(`fingerprint:sha-256 ${PRINT}`, `fingerprint:sha-256 ${OTHER}`)],
  ['too short', sdp('fingerprint:sha-256 00:11')],
  ['pairs of one digit', sdp(`fingerprint:sha-256 ${PRINT.replaceAll('0', '')}`)],
  ['another hash only', sdp('fingerprint:sha-512 00:11')],
])('refuses a description with %s', (_, text) => {
  expect(sha256Fingerprint(text)).toBeUndefined();
});
