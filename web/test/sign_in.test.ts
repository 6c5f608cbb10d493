import { expect, test } from 'vitest';
import { fromBase64url } from '../src/player/bytes.ts';

// The storefront's client is made of the page's address.
Object.assign(globalThis, { location: { origin: 'https://matinee.example', search: '' } });
const { deviceName, create, get } = await import('../src/storefront/passkey.ts');
const { problemIn } = await import('../src/storefront/sign_in_ways.ts');

test.each([
  ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36', 'Chrome on Linux'],
  [
    'Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0',
    'Edge on Windows',
  ],
  ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/18.0 Safari/605.1.15', 'Safari on macOS'],
  ['Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1', 'Safari on iOS'],
  ['Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0', 'Firefox on Android'],
  ['matinee-peer/0.1.0', 'Passkey'],
])('%s', (agent, name) => {
  expect(deviceName(agent)).toBe(name);
});

class Credential {
  constructor(
    readonly response: object,
    readonly id = 'AQID',
    readonly rawId = fromBase64url('AQID').buffer,
    readonly type = 'public-key',
  ) {}

  getClientExtensionResults(): object {
    return { credProps: { rk: true } };
  }
}

function browser(answer: object | Error): void {
  const work = async () => {
    if (answer instanceof Error) throw answer;
    return new Credential(answer);
  };
  Object.defineProperty(globalThis, 'navigator', {
    value: { credentials: { create: work, get: work }, userAgent: '' },
    configurable: true,
  });
  Object.assign(globalThis, { PublicKeyCredential: Credential });
}

const bytes = (text: string): ArrayBuffer => fromBase64url(text).buffer;

test('what a browser makes is written as its toJSON would', async () => {
  browser({ attestationObject: bytes('BAUG'), clientDataJSON: bytes('BwgJ') });
  const options = { challenge: 'AAAA', user: { id: 'AAAA', name: 'a', displayName: 'A' } };
  expect(await create(options as unknown as PublicKeyCredentialCreationOptionsJSON)).toEqual({
    id: 'AQID',
    rawId: 'AQID',
    type: 'public-key',
    extensions: { credProps: { rk: true } },
    response: { attestationObject: 'BAUG', clientDataJSON: 'BwgJ' },
  });
  browser({
    authenticatorData: bytes('AAAA'),
    clientDataJSON: bytes('BwgJ'),
    signature: bytes('BAUG'),
    userHandle: bytes('AQID'),
  });
  const got = await get({ challenge: 'AAAA' } as PublicKeyCredentialRequestOptionsJSON);
  expect(got.response).toEqual({
    authenticatorData: 'AAAA',
    clientDataJSON: 'BwgJ',
    signature: 'BAUG',
    userHandle: 'AQID',
  });
});

test.each([
  ['NotAllowedError', /no passkey was used/i],
  ['InvalidStateError', /passkey of yours already/],
  ['SecurityError', /do not work at this address/],
])('%s is said in words', async (name, words) => {
  browser(new DOMException('x', name));
  await expect(get({ challenge: 'AAAA' } as PublicKeyCredentialRequestOptionsJSON)).rejects.toThrow(words);
});

test('what a provider brought back is said in words, and nothing else of the address is shown', () => {
  expect(problemIn('?problem=email_taken')).toMatch(/account with this email/);
  expect(problemIn('?problem=<script>')).toBe('That did not work. Begin again.');
  expect(problemIn('?next=/library')).toBe('');
});
