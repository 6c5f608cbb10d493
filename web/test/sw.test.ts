import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ReadAnswer, ReadCall, ReadRequest } from '../src/player/messages.ts';

const RELEASE = '0190d9e4-0000-7000-8000-000000000001';

type Listener = (event: Record<string, unknown>) => void;

/** A page that answers reads as the engine worker would. */
class FakePage {
  calls: string[] = [];
  constructor(
    readonly id: string,
    private readonly first: ReadAnswer,
    private readonly then: ReadAnswer[] = [],
  ) {}
  requests: ReadRequest[] = [];
  postMessage(request: ReadRequest, [port]: [MessagePort]): void {
    this.requests.push(request);
    const answers = [...this.then];
    port.postMessage(this.first);
    if (this.first.kind !== 'owned') return port.close();
    const head = answers.shift();
    if (head !== undefined) port.postMessage(head);
    port.onmessage = ({ data }: MessageEvent<ReadCall>) => {
      this.calls.push(data.kind);
      if (data.kind === 'cancel') return port.close();
      port.postMessage(answers.shift() ?? { kind: 'end' });
    };
  }
}

let listeners: Map<string, Listener>;
let pages: FakePage[];

beforeEach(async () => {
  listeners = new Map();
  pages = [];
  vi.stubGlobal('self', {
    location: { origin: 'https://matinee.example' },
    clients: {
      claim: vi.fn(async () => undefined),
      get: async (id: string) => pages.find((page) => page.id === id),
      matchAll: async () => pages,
    },
    skipWaiting: vi.fn(async () => undefined),
    addEventListener: (type: string, listener: Listener) => listeners.set(type, listener),
  });
  vi.resetModules();
  await import('../src/player/sw.ts');
});

afterEach(() => void vi.unstubAllGlobals());

const HEAD: ReadAnswer = { kind: 'head', status: 206, headers: [['content-type', 'video/mp4']], body: true };
const bytes = (...values: number[]): ReadAnswer => ({ kind: 'bytes', bytes: Uint8Array.from(values) });

function ask(path: string, clientId = 'a', init: RequestInit = {}): Promise<Response> | undefined {
  let answer: Promise<Response> | undefined;
  const request = new Request(`https://matinee.example${path}`, init);
  listeners.get('fetch')?.({
    request,
    clientId,
    respondWith: (response: Promise<Response> | Response) => {
      answer = Promise.resolve(response);
    },
  });
  return answer;
}

const play = (clientId = 'a', init: RequestInit = {}) => ask(`/play/${RELEASE}/0`, clientId, init);

test('only play addresses are answered', () => {
  for (const path of ['/', '/v1/jwks', '/assets/index.js', '/play/', '/playlist'])
    expect(ask(path)).toBeUndefined();
});

test('a read is asked of its page, pull by pull', async () => {
  pages = [new FakePage('a', { kind: 'owned' }, [HEAD, bytes(1, 2), bytes(3)])];
  const response = await play('a', { headers: { range: 'bytes=5-' } });
  expect(response?.status).toBe(206);
  expect(response?.headers.get('content-type')).toBe('video/mp4');
  expect(pages[0]?.requests).toEqual([
    { matinee: 'read', release: RELEASE, file: 0, method: 'GET', range: 'bytes=5-' },
  ]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(pages[0]?.calls).toEqual([]);
  expect([...new Uint8Array((await response?.arrayBuffer()) ?? new ArrayBuffer(0))]).toEqual([1, 2, 3]);
  await expect.poll(() => pages[0]?.calls).toEqual(['pull', 'pull', 'pull', 'cancel']);
});

test('the page that asks comes first, but another may own the release', async () => {
  pages = [new FakePage('b', { kind: 'owned' }, [HEAD, bytes(7)]), new FakePage('a', { kind: 'foreign' })];
  const response = await play('a');
  expect([...new Uint8Array((await response?.arrayBuffer()) ?? new ArrayBuffer(0))]).toEqual([7]);
  expect(pages[1]?.requests).toHaveLength(1);
});

test('a release that nobody plays is a 404', async () => {
  pages = [new FakePage('a', { kind: 'foreign' })];
  expect((await play())?.status).toBe(404);
  pages = [];
  expect((await play(''))?.status).toBe(404);
});

test('a refusal before the head is a 403 with its words', async () => {
  pages = [new FakePage('a', { kind: 'owned' }, [{ kind: 'error', detail: 'the view is over' }])];
  const response = await play();
  expect(response?.status).toBe(403);
  expect(await response?.text()).toBe('the view is over');
});

test('an error in the middle breaks the body off', async () => {
  pages = [new FakePage('a', { kind: 'owned' }, [HEAD, bytes(1), { kind: 'error', detail: 'gone' }])];
  const response = await play();
  await expect(response?.arrayBuffer()).rejects.toThrow('gone');
});

test('a reader that goes away cancels the read', async () => {
  pages = [new FakePage('a', { kind: 'owned' }, [HEAD, bytes(1), bytes(2)])];
  const response = await play();
  const reader = response?.body?.getReader();
  await reader?.read();
  await reader?.cancel();
  await expect.poll(() => pages[0]?.calls.at(-1)).toBe('cancel');
});

test('other methods are refused', async () => {
  expect((await play('a', { method: 'POST' }))?.status).toBe(405);
});

test('a page can have itself claimed', () => {
  const waitUntil = vi.fn();
  listeners.get('message')?.({ data: { matinee: 'claim' }, waitUntil });
  expect(waitUntil).toHaveBeenCalledTimes(1);
  listeners.get('message')?.({ data: null, waitUntil });
  expect(waitUntil).toHaveBeenCalledTimes(1);
});
