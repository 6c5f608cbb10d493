// One film being played: device, view, engine worker, signaling and connections, brought together. No markup.
import { ApiError, Client } from './api.ts';
import type { Breaks } from './breaks.ts';
import type { Device } from './device.ts';
import type { Shown } from './engine/readers.ts';
import { addressOf, own } from './gateway.ts';
import type { EngineStats, FileFacts, FromEngine, ToEngine } from './messages.ts';
import { type Expected, type Prepared, take } from './prepare.ts';
import { ban } from './reputation.ts';
import { Backoff, pause } from './retry.ts';
import { Connections } from './rtc.ts';
import { Signaling } from './signaling.ts';
import { startMessage } from './start.ts';
import { View, type ViewEvents } from './view.ts';

/** `opening` until the release can be read, `playable` from then on, `over` when the view has ended, `failed` with words. */
export type State = 'idle' | 'opening' | 'playable' | 'over' | 'failed';

/** Everything there is to show; a new object at every change. */
export interface Snapshot {
  state: State;
  /** Words for a person: why it failed or is over. */
  detail: string;
  /** The stable code of a failure. */
  code: string;
  /** The server is away and being waited for. */
  waiting: boolean;
  view: string;
  release: string;
  /** The file that is likely to be played, known before the release's files are. */
  file: number | undefined;
  title: string;
  publisher: string;
  files: FileFacts[];
  /** When signaling first took this device in, by this machine's clock. */
  joined_at_ms: number | null;
  stats: EngineStats;
  /** The breaks of an ad-supported view. */
  breaks: Breaks | null;
}

const NOTHING: EngineStats = {
  bytes_from_peers: 0,
  bytes_from_origin: 0,
  bytes_from_cache: 0,
  bytes_to_peers: 0,
  bytes_wasted: 0,
  first_peer_chunk_at_ms: null,
  peers: 0,
  chunks_held: 0,
  chunks: 0,
  buffered_ms: 0,
  cache: 'off',
};

const EMPTY: Snapshot = {
  state: 'idle',
  detail: '',
  code: '',
  waiting: false,
  view: '',
  release: '',
  file: undefined,
  title: '',
  publisher: '',
  files: [],
  joined_at_ms: null,
  stats: NOTHING,
  breaks: null,
};

export class Player {
  snapshot: Snapshot = EMPTY;
  private readonly client: Client;
  private readonly stopped = new AbortController();
  private view: View | undefined;
  private worker: Worker | undefined;
  private signaling: Signaling | undefined;
  private connections: Connections | undefined;
  private disown: (() => void) | undefined;
  private jwks = '';

  constructor(
    server: string,
    private readonly changed: (snapshot: Snapshot) => void,
  ) {
    this.client = new Client(server);
  }

  /**
   * Opens a view on an entitlement, or goes on with this device's. The title is named where the entitlement is to a
   * collection. Everything else is told by snapshots.
   */
  async open(entitlement: string, title?: string): Promise<void> {
    this.show({ state: 'opening' });
    try {
      const prepared = take(this.client.server, entitlement, title);
      this.startWorker(prepared);
      const { signal } = this.stopped;
      const jwks = prepared.jwks.catch(() => this.fetchJwks());
      jwks.catch(() => undefined);
      // A view is opened, and counted, only where it can be played.
      const device = await prepared.device;
      if (prepared.expected !== undefined) this.expect(prepared.expected);
      const view = await View.open(this.client, device, entitlement, title, this.viewEvents(), signal);
      this.view = view;
      if (signal.aborted) return view.close();
      this.jwks = await jwks;
      // What was prepared long ago may lack the key that signs now.
      await this.learnKeys(view.currentToken);
      this.startEngine(device, view);
      this.startSwarm(device, view);
    } catch (cause) {
      this.fail(cause);
    }
  }

  /** The address that a video element plays. */
  address(file: number): string {
    return addressOf(this.snapshot.release, file);
  }

  /** Shows a break by `show`, and tells when the server says that it was shown. */
  async showBreak(number: number, show: (restart: boolean) => Promise<void>): Promise<void> {
    const breaks = await this.view?.showBreak(number, show);
    if (breaks !== undefined) this.show({ breaks });
  }

  shown(shown: Shown): void {
    this.tell({ kind: 'shown', shown });
  }

  /** Ends the view at the server. */
  async end(): Promise<void> {
    const { view } = this;
    this.close();
    await view?.end();
  }

  /** Lets go of everything; the view can be gone on with. */
  close(): void {
    this.stopped.abort();
    this.view?.close();
    this.signaling?.close();
    this.disown?.();
    // The worker says goodbye to the peers and ends itself, so their connections stay open that long.
    this.tell({ kind: 'stop' });
    const { connections } = this;
    setTimeout(() => connections?.close(), 500);
  }

  private startWorker({ worker }: Prepared): void {
    this.worker = worker;
    worker.onmessage = ({ data }: MessageEvent<FromEngine>) => this.take(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.fail(new Error(`the engine could not be started: ${event.message ?? 'unknown reason'}`));
    };
  }

  /** Takes reads before the view is open; they wait for it in the worker. */
  private expect({ release, file }: Expected): void {
    this.show({ release, file });
    this.own(release);
  }

  private own(release: string): void {
    this.disown?.();
    this.disown = own(release, (request, port) => this.tell({ kind: 'read', request, port }, [port]));
  }

  private startEngine(device: Device, view: View): void {
    const { opening } = view;
    this.show({ view: opening.view, release: opening.release, breaks: opening.breaks ?? null });
    const beginning = { device, opening, token: view.currentToken, jwks: this.jwks };
    this.tell(startMessage(this.client, { ...beginning, file: this.snapshot.file ?? 0 }, true));
    this.own(opening.release);
  }

  /** Peers are sought while the engine is still being loaded. */
  private startSwarm(device: Device, view: View): void {
    if (!view.opening.delivery.peers) return;
    const { ice_servers, delivery } = view.opening;
    const connections = new Connections(ice_servers, delivery.relay_only, {
      send: (message) => this.signaling?.send(message),
      channel: (peer, channel) => this.tell({ kind: 'channel', peer, channel }, [channel]),
      fingerprints: (peer, local, remote) => this.tell({ kind: 'fingerprints', peer, local, remote }),
      gone: (peer) => this.tell({ kind: 'peer gone', peer }),
      count: (count) => this.tell({ kind: 'peers expected', count }),
    });
    this.connections = connections;
    const token = (): string => view.currentToken;
    this.signaling = new Signaling(this.client.server, device, this.client.clock, token, {
      joined: (self, peers) => {
        this.tell({ kind: 'peers expected', count: peers.length });
        connections.joined(self, peers);
        if (this.snapshot.joined_at_ms === null) this.show({ joined_at_ms: Date.now() });
      },
      peers: (peers) => connections.learn(peers),
      left: (peer) => connections.left(peer),
      relay: (message) => void connections.relay(message),
      revoked: (reason) => this.finish(`the server ended this view: ${reason}`, 'revoked'),
      refused: () => void view.renewNow(),
    });
  }

  private take(message: FromEngine): void {
    switch (message.kind) {
      case 'ready': {
        const { title, publisher, files } = message;
        return this.show({ state: 'playable', title, publisher, files });
      }
      case 'stats':
        return this.show({ stats: message.stats });
      case 'license wanted':
        return this.view?.requestLicense(message.file, message.epoch);
      case 'drop peer':
        return this.connections?.drop(message.peer);
      case 'report':
        return this.signaling?.send({ type: 'report', peer: message.peer, reason: message.reason });
      case 'ban':
        return ban(message.thumbprint);
      case 'token refused':
        return void this.view?.renewNow();
      case 'origin':
        return this.show({ waiting: !message.reachable });
      case 'failed':
        return this.fail(new ApiError(0, message.code, message.detail));
    }
  }

  private viewEvents(): ViewEvents {
    return {
      token: (token) => {
        this.tell({ kind: 'token', token });
        void this.signaling?.renew();
        void this.learnKeys(token);
      },
      license: (license) => this.tell({ kind: 'license', license }),
      licenseWaits: (file, epoch) => this.tell({ kind: 'license waits', file, epoch }),
      licenseFailed: (file, epoch, cause) => {
        this.tell({ kind: 'license failed', file, epoch, detail: cause.detail });
        if (!cause.passing) this.show({ detail: cause.detail, code: cause.code });
      },
      over: (cause) => this.finish(cause.detail, cause.code),
      waiting: (waiting) => {
        if (waiting !== this.snapshot.waiting) this.show({ waiting });
      },
    };
  }

  /** A token signed by a key that is not known yet: the server has rotated, and peers will show such tokens too. */
  private async learnKeys(token: string): Promise<void> {
    const kid = keyId(token);
    if (kid === undefined || this.jwks.includes(JSON.stringify(kid))) return;
    this.jwks = await this.fetchJwks();
    this.tell({ kind: 'jwks', jwks: this.jwks });
  }

  private async fetchJwks(): Promise<string> {
    const backoff = new Backoff();
    const { signal } = this.stopped;
    for (;;) {
      try {
        return await this.client.jwks();
      } catch (cause) {
        if (!(cause instanceof ApiError) || !cause.passing || signal.aborted) throw cause;
        this.show({ waiting: true });
        await pause(backoff.next(), signal);
      }
    }
  }

  private tell(message: ToEngine, transfer: Transferable[] = []): void {
    this.worker?.postMessage(message, transfer);
  }

  private finish(detail: string, code: string): void {
    this.view?.close();
    this.signaling?.close();
    this.tell({ kind: 'over', detail });
    this.show({ state: 'over', detail, code, waiting: false });
  }

  private fail(cause: unknown): void {
    if (this.stopped.signal.aborted) return;
    const code = cause instanceof ApiError ? cause.code : 'player_failed';
    const detail = cause instanceof Error ? cause.message : String(cause);
    this.show({ state: 'failed', detail, code, waiting: false });
  }

  private show(change: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...change };
    if (!this.stopped.signal.aborted) this.changed(this.snapshot);
  }
}

/** The `kid` of a compact JWS. */
function keyId(token: string): string | undefined {
  try {
    const header = token.split('.')[0] ?? '';
    const { kid } = JSON.parse(atob(header.replaceAll('-', '+').replaceAll('_', '/'))) as { kid?: string };
    return kid;
  } catch {
    return undefined;
  }
}
