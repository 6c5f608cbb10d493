import { expect, test, vi } from 'vitest';
import { ApiError, Client, CODE_MALFORMED, CODE_UNREACHABLE } from '../src/player/api.ts';
import { createKeys, describe } from '../src/player/device.ts';
import { ServerClock } from '../src/player/dpop.ts';

const SERVER = 'https://matinee.example';

function answering(response: Response | Error) {
  const send = vi.fn(async (_url: unknown, _init?: RequestInit) => {
    if (response instanceof Error) throw response;
    return response;
  });
  return { send, client: new Client(SERVER, new ServerClock(), send as unknown as typeof fetch) };
}

async function refusal(response: Response | Error): Promise<ApiError> {
  const { client } = answering(response);
  const cause = await client.jwks().catch((error: unknown) => error);
  expect(cause).toBeInstanceOf(ApiError);
  return cause as ApiError;
}

function problem(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
  });
}

test('a problem document becomes an error with its code and words', async () => {
  const error = await refusal(
    problem(403, { code: 'no_views_left', detail: 'every view was used', title: 'Forbidden' }),
  );
  expect(error).toMatchObject({
    status: 403,
    code: 'no_views_left',
    detail: 'every view was used',
    passing: false,
  });
});

test('Retry-After is kept in milliseconds', async () => {
  const error = await refusal(problem(429, { code: 'keys_too_fast' }, { 'retry-after': '3' }));
  expect(error).toMatchObject({ code: 'keys_too_fast', retry_after_ms: 3000, passing: true });
});

test.each([
  [
    'a page of a proxy',
    new Response('<h1>Bad gateway</h1>', { status: 502, headers: { 'content-type': 'text/html' } }),
    'http_502',
    true,
  ],
  [
    'broken JSON',
    new Response('{', { status: 404, headers: { 'content-type': 'application/json' } }),
    'http_404',
    false,
  ],
  ['success that is no JSON', new Response('hello', { status: 200 }), CODE_MALFORMED, false],
  ['no answer at all', new TypeError('fetch failed'), CODE_UNREACHABLE, true],
])('%s has a code too', async (_, response, code, passing) => {
  expect(await refusal(response)).toMatchObject({ code, passing });
});

test('opening a view sends a proof of the body, the key and no token', async () => {
  const device = await describe(await createKeys());
  const { client, send } = answering(Response.json({ view: 'v' }, { status: 201 }));
  await client.openView(device, 'entitlement', undefined, 'key-1');
  const [url, init] = send.mock.calls[0] ?? [];
  const headers = init?.headers as Headers;
  expect(url).toBe(`${SERVER}/v1/views`);
  expect(headers.get('idempotency-key')).toBe('key-1');
  expect(headers.get('authorization')).toBeNull();
  const claims = JSON.parse(Buffer.from(headers.get('dpop')?.split('.')[1] ?? '', 'base64url').toString());
  expect(claims).toMatchObject({ htm: 'POST', htu: `${SERVER}/v1/views`, body_sha256: expect.any(String) });
  expect(claims.ath).toBeUndefined();
  const body = JSON.parse(new TextDecoder().decode(init?.body as Uint8Array));
  expect(body).toEqual({ entitlement: 'entitlement', agreement_key: device.agreementPublic });
});

test('a renewal carries the token and its hash', async () => {
  const device = await describe(await createKeys());
  const { client, send } = answering(Response.json({ view_token: 'new', expires_at_ms: 1 }));
  expect(await client.renew({ device, token: 'old' }, 'v')).toEqual({ view_token: 'new', expires_at_ms: 1 });
  const headers = send.mock.calls[0]?.[1]?.headers as Headers;
  expect(headers.get('authorization')).toBe('DPoP old');
  const claims = JSON.parse(Buffer.from(headers.get('dpop')?.split('.')[1] ?? '', 'base64url').toString());
  expect(claims.ath).toMatch(/^[\w-]{43}$/);
});

test('204 is an answer', async () => {
  const { client } = answering(new Response(null, { status: 204 }));
  await expect(client.signOut()).resolves.toBeUndefined();
});
