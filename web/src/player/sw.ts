// The service worker: a doorman without memory. `/play/<release>/<file>` is asked of the page that owns the release,
// by one MessageChannel a request, pull by pull. It holds no token, no key and no bytes, so a restarted one has lost
// nothing. Everything else goes to the network untouched.
import { ANSWER_HEAD_MS_MAX, ANSWER_OWNER_MS_MAX, ANSWER_PULL_MS_MAX } from './limit.ts';
import type { ReadAnswer, ReadCall, ReadRequest } from './messages.ts';
import { playPath } from './path.ts';
import type { ServiceWorkerScope, WindowClientHandle, WorkerFetchEvent } from './worker_scope.ts';

declare const self: ServiceWorkerScope;

type Head = Extract<ReadAnswer, { kind: 'head' }>;

self.addEventListener('install', () => void self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => {
  // A hard reload leaves its page without a controller until it is claimed.
  if ((event.data as { matinee?: string } | null)?.matinee === 'claim') event.waitUntil(self.clients.claim());
});
self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  const path = url.origin === self.location.origin ? playPath(url.pathname) : undefined;
  if (path === undefined) return;
  const { method } = event.request;
  if (method !== 'GET' && method !== 'HEAD') return event.respondWith(words(405, 'only GET and HEAD'));
  const range = event.request.headers.get('range');
  event.respondWith(answer(event, { matinee: 'read', ...path, method, range }));
});

async function answer(event: WorkerFetchEvent, request: ReadRequest): Promise<Response> {
  for (const client of await candidates(event)) {
    const exchange = new Exchange(client, request);
    if (!(await exchange.owned())) continue;
    return exchange.response();
  }
  return words(404, 'no open page plays this release');
}

/** The page that asked comes first; an iframe or a download has no client of its own, so any other may own it. */
async function candidates(event: WorkerFetchEvent): Promise<WindowClientHandle[]> {
  const asking = event.clientId === '' ? undefined : await self.clients.get(event.clientId);
  const windows = await self.clients.matchAll({ type: 'window' });
  return asking === undefined ? windows : [asking, ...windows.filter((window) => window.id !== asking.id)];
}

function words(status: number, text: string): Response {
  return new Response(text, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });
}

/** One request and the port on which it is answered. */
class Exchange {
  private readonly port: MessagePort;
  private readonly arrived: ReadAnswer[] = [];
  private waiting: ((answer: ReadAnswer) => void) | undefined;

  constructor(client: WindowClientHandle, request: ReadRequest) {
    const channel = new MessageChannel();
    this.port = channel.port1;
    this.port.onmessage = ({ data }: MessageEvent<ReadAnswer>) => {
      const { waiting } = this;
      this.waiting = undefined;
      if (waiting === undefined) this.arrived.push(data);
      else waiting(data);
    };
    client.postMessage(request, [channel.port2]);
  }

  async owned(): Promise<boolean> {
    const owned = (await this.next(ANSWER_OWNER_MS_MAX))?.kind === 'owned';
    if (!owned) this.close();
    return owned;
  }

  async response(): Promise<Response> {
    const head = await this.next(ANSWER_HEAD_MS_MAX);
    if (head?.kind === 'head') return this.streamed(head);
    this.close();
    if (head?.kind === 'error') return words(403, head.detail);
    return words(504, 'the page did not answer in time');
  }

  private streamed(head: Head): Response {
    const init = { status: head.status, headers: head.headers };
    if (!head.body) {
      this.close();
      return new Response(null, init);
    }
    const source: UnderlyingDefaultSource<Uint8Array> = {
      pull: async (controller) => {
        this.call({ kind: 'pull' });
        let part = await this.next(ANSWER_PULL_MS_MAX);
        while (part?.kind === 'waits') part = await this.next(ANSWER_PULL_MS_MAX);
        if (part?.kind === 'bytes') return controller.enqueue(part.bytes);
        this.close();
        if (part?.kind === 'end') controller.close();
        else
          controller.error(
            new Error(part?.kind === 'error' ? part.detail : 'the page did not answer in time'),
          );
      },
      cancel: () => this.close(),
    };
    // Nothing is asked for before the browser reads: a paused video pulls no bytes.
    return new Response(new ReadableStream(source, { highWaterMark: 0 }), init);
  }

  private next(ms_max: number): Promise<ReadAnswer | undefined> {
    const ready = this.arrived.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.waiting = undefined;
        resolve(undefined);
      }, ms_max);
      this.waiting = (answer) => {
        clearTimeout(timer);
        resolve(answer);
      };
    });
  }

  private call(call: ReadCall): void {
    this.port.postMessage(call);
  }

  private close(): void {
    this.call({ kind: 'cancel' });
    this.port.close();
  }
}
