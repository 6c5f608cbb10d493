// Drives the engine: tells it what happened and carries out what it asks, with channels, HTTP, disk and clock. One
// driver, one release, one worker.
import type { Engine } from '../../../wasm/pkg/matinee_web.js';
import { Client, type License } from '../api.ts';
import type { Bytes } from '../bytes.ts';
import { sign } from '../device.ts';
import type { ServerClock } from '../dpop.ts';
import { CHUNK_BYTES } from '../limit.ts';
import type { EngineStats, FileFacts, FromEngine, Start } from '../messages.ts';
import { runs } from '../range.ts';
import { pause } from '../retry.ts';
import type { Channels } from './channels.ts';
import { EpochKeys } from './keys.ts';
import { type Origin, START_CHUNKS } from './origin.ts';
import type { EngineFigures, ManifestFacts, Output } from './outputs.ts';
import type { Source } from './read.ts';
import { READERS_MAX, Readers, type Shown } from './readers.ts';
import { ReceiptBook } from './receipts.ts';
import type { Store } from './store.ts';
import { Transfers } from './transfers.ts';

const STATS_MS = 500;
const FLUSH_MS = 10_000;
/** Receipts of downloaders are handed in this often. */
const RECEIPTS_MS = 30_000;
/** A native peer's stack may lose what comes before its own end of the channel is open: the hello is said twice. */
const HELLO_AGAIN_MS = 1_500;
/** Playheads move on by themselves this often. */
const PLAYHEAD_MS = 1_000;
/** Rechecking the cache may hold up the start this long; the rest is done beside playing. */
const RECHECK_MS_MAX = 400;

/** The playhead of what is made ready before anybody reads; readers have the numbers below. */
const READY_READER = READERS_MAX;

/** Everything a driver is made of. */
export interface Parts {
  start: Start;
  clock: ServerClock;
  engine: Engine;
  facts: ManifestFacts;
  origin: Origin;
  store: Store;
  channels: Channels;
  /** `Engine.hello_frame`. */
  helloFrame(token: string, device: Bytes, signature: Bytes): Uint8Array;
  post(message: FromEngine): void;
}

export class Driver implements Source {
  private readonly stopped = new AbortController();
  private readonly engine: Engine;
  private readonly channels: Channels;
  private readonly readers: Readers;
  private readonly keys: EpochKeys;
  private readonly receipts: ReceiptBook;
  private readonly transfers: Transfers;
  private readonly waiting = new Map<string, Set<(bytes: Bytes) => void>>();
  private readonly moved = new Map<number, string>();
  private readonly timers: ReturnType<typeof setInterval>[] = [];
  private wakeup: ReturnType<typeof setTimeout> | undefined;
  private pumping = false;
  private token: string;
  /** Whether there is a view, which can ask for keys. */
  private viewing: boolean;
  /** Epochs whose keys were wanted before there was one. */
  private readonly unasked: { file: number; epoch: number }[] = [];
  /** Chunks whose bytes were counted, wherever they came from: each counts once. */
  private readonly counted = new Set<number>();
  private bytes_from_cache = 0;
  private first_peer_chunk_at_ms: number | null = null;
  private over: string | undefined;

  constructor(private readonly parts: Parts) {
    const { engine, facts, post, start } = parts;
    this.engine = engine;
    this.token = start.token;
    this.viewing = start.viewing;
    this.readers = new Readers((file) => facts.files[file]);
    this.keys = new EpochKeys(engine, (file, epoch) => this.askForKey(file, epoch));
    const client = new Client(start.server, parts.clock);
    this.receipts = new ReceiptBook((receipts) =>
      client.receipts({ device: start.device, token: this.token }, receipts),
    );
    this.transfers = new Transfers(parts.origin, engine, (what) => this.tell(what), {
      refused: () => post({ kind: 'token refused' }),
      reachable: (reachable) => post({ kind: 'origin', reachable }),
    });
    this.channels = parts.channels;
    for (const thumbprint of start.banned) engine.remember(this.now(), thumbprint);
    this.channels.listen({
      ready: (peer, local, remote) => void this.admit(peer, local, remote),
      message: (peer, bytes) => this.tell((now) => engine.frame(now, peer, bytes)),
      drained: (peer) => this.tell((now) => engine.drained(now, peer)),
      closed: (peer) => {
        this.tell((now) => engine.peer_closed(now, peer));
        post({ kind: 'drop peer', peer, reason: 'closed' });
      },
    });
  }

  /** Rechecks what the cache holds, then gets to work. */
  async begin(): Promise<void> {
    const right = (file: number, chunks: number[]): void => {
      const held = runs(chunks, chunks.length).flatMap(({ first, count }) => [first, count]);
      this.tell((now) => this.engine.held(now, file, Uint32Array.from(held)));
    };
    const page = (file: number, number: number): Promise<boolean> => this.transfers.page(file, number);
    const recheck = this.parts.store.recheck(page, right, () => this.stopped.signal.aborted);
    await Promise.race([recheck, pause(RECHECK_MS_MAX)]);
    this.timers.push(
      setInterval(() => this.parts.post({ kind: 'stats', stats: this.stats() }), STATS_MS),
      setInterval(() => this.movePlayheads(), PLAYHEAD_MS),
      setInterval(() => this.parts.store.flush(), FLUSH_MS),
      setInterval(() => void this.receipts.handIn(), RECEIPTS_MS),
    );
    this.pump();
    if (this.viewing) this.ready();
    else this.makeReady(this.parts.start.file);
  }

  // What the page says.

  /** There is a view now, of what was made ready. `opened` are the keys that came with it. */
  async view(start: Start, opened: Promise<Bytes> | undefined): Promise<void> {
    void this.renew(start.token);
    if (start.jwks !== this.parts.start.jwks) this.keysChanged(start.jwks);
    this.viewing = true;
    this.ready();
    if (start.license !== null && opened !== undefined) await this.license(start.license, opened);
    for (const { file, epoch } of this.unasked.splice(0)) {
      if (!this.engine.has_key(file, epoch)) this.askForKey(file, epoch);
    }
    this.tell((now) => this.engine.playhead_gone(now, READY_READER));
  }

  /** `opened` are its keys, or the reason why it does not open. */
  async license(license: License, opened: Promise<Bytes>): Promise<void> {
    try {
      const keys = await opened;
      if (!this.stopped.signal.aborted) this.engine.import_keys(keys);
      keys.fill(0);
      this.keys.imported();
    } catch {
      const detail = 'the license that came does not open with the keys of this device';
      for (const { file, first } of license.epochs) this.keys.failed(file, first, detail);
      this.parts.post({ kind: 'failed', code: 'license_does_not_open', detail });
    }
  }

  licenseWaits(file: number, epoch: number): void {
    this.keys.waits(file, epoch);
  }

  licenseFailed(file: number, epoch: number, detail: string): void {
    this.keys.failed(file, epoch, detail);
  }

  /** A newer token: every channel hears of it by a hello. */
  async renew(token: string): Promise<void> {
    this.token = token;
    for (const peer of this.channels.peers()) {
      const binding = this.channels.binding(peer);
      if (binding === undefined) continue;
      const hello = await this.hello(binding.local, binding.remote);
      if (this.channels.open(peer)) this.tell((now) => this.engine.hello_renewed(now, peer, hello));
    }
  }

  keysChanged(jwks: string): void {
    this.tell((now) => this.engine.keys_changed(now, jwks));
  }

  shown(shown: Shown): void {
    this.readers.shows(shown, performance.now());
    this.movePlayheads();
  }

  peersExpected(count: number): void {
    this.tell((now) => this.engine.peers_expected(now, count));
  }

  /** The view is over: nothing is opened any more, and peers are told. */
  end(detail: string): void {
    this.over = detail;
    this.engine.forget_keys();
    this.keys.over(detail);
    this.tell((now) => this.engine.leave(now));
    void this.receipts.handIn();
  }

  get currentToken(): string {
    return this.token;
  }

  /** Lets go of everything; the worker ends after that. */
  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
    clearTimeout(this.wakeup);
    this.stopped.abort();
    this.transfers.stop();
    this.engine.forget_keys();
    this.parts.store.close();
  }

  private ready(): void {
    const { files, title, publisher } = this.parts.facts;
    this.parts.post({ kind: 'ready', title, publisher, files });
  }

  /** Fetches what a file begins with, and no more of it. */
  private makeReady(file: number): void {
    const bytes = START_CHUNKS * CHUNK_BYTES;
    this.tell((now) => this.engine.playhead(now, READY_READER, file, 0, bytes, START_CHUNKS));
  }

  private askForKey(file: number, epoch: number): void {
    if (this.viewing) this.parts.post({ kind: 'license wanted', file, epoch });
    else this.unasked.push({ file, epoch });
  }

  // What the gateway reads.

  file(index: number): Promise<FileFacts | undefined> {
    if (this.over !== undefined) return Promise.reject(new Error(this.over));
    return Promise.resolve(this.parts.facts.files[index]);
  }

  async chunk(file: number, chunk: number, signal: AbortSignal, waits: () => void): Promise<Bytes> {
    if (this.over !== undefined) throw new Error(this.over);
    const facts = this.parts.facts.files[file];
    if (facts === undefined || chunk >= facts.chunks) throw new Error('there is no such part of the file');
    const handed = this.readers.asks(file, chunk, performance.now());
    this.movePlayheads();
    try {
      const key = this.keys.need(file, Math.floor(chunk / facts.epoch_chunks), signal, waits);
      // Both are waited for together; a refused key ends the read at once.
      const [sealed] = await Promise.all([this.sealed(file, chunk, signal), key]);
      return this.engine.open(file, chunk, sealed) as Bytes;
    } finally {
      handed();
    }
  }

  private async sealed(file: number, chunk: number, signal: AbortSignal): Promise<Bytes> {
    const { store } = this.parts;
    const kept = store.get(file, chunk);
    if (kept !== undefined) {
      if (this.countOnce(file, chunk)) this.bytes_from_cache += kept.byteLength;
      if (!this.engine.holds(file, chunk)) {
        this.tell((now) => this.engine.held(now, file, Uint32Array.of(chunk, 1)));
      }
      return kept;
    }
    if (this.engine.holds(file, chunk)) this.tell((now) => this.engine.lost(now, file, chunk));
    return this.arrival(file, chunk, signal);
  }

  private arrival(file: number, chunk: number, signal: AbortSignal): Promise<Bytes> {
    const name = `${file}.${chunk}`;
    return new Promise((resolve, reject) => {
      const waiters = this.waiting.get(name) ?? new Set();
      const arrived = (bytes: Bytes): void => {
        signal.removeEventListener('abort', given);
        resolve(bytes);
      };
      const given = (): void => {
        waiters.delete(arrived);
        if (waiters.size === 0) this.waiting.delete(name);
        reject(new Error('the read was cancelled'));
      };
      waiters.add(arrived);
      this.waiting.set(name, waiters);
      signal.addEventListener('abort', given, { once: true });
    });
  }

  // The engine's clockwork.

  private now(): number {
    return this.parts.clock.now();
  }

  private tell(what: (now: number) => void): void {
    if (this.stopped.signal.aborted) return;
    what(this.now());
    this.pump();
  }

  /** Carries out everything the engine has to say, then sets the alarm it asks for. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    try {
      for (;;) {
        const output = this.engine.poll() as Output | undefined;
        if (output !== undefined) this.carryOut(output);
        else if (!this.settled()) break;
      }
    } finally {
      this.pumping = false;
    }
    clearTimeout(this.wakeup);
    const at = this.engine.next_wakeup();
    if (at === undefined || this.stopped.signal.aborted) return;
    this.wakeup = setTimeout(
      () => this.tell((now) => this.engine.tick(now)),
      Math.max(0, Math.ceil(at - this.now())),
    );
  }

  /** Whether channels that are short again made the engine say something. */
  private settled(): boolean {
    const before = this.drained;
    this.channels.settleAll();
    return this.drained !== before;
  }

  private get drained(): number {
    return this.channels.drained_count;
  }

  private carryOut(output: Output): void {
    const { post } = this.parts;
    switch (output.kind) {
      case 'send':
        return this.channels.send(output.peer, output.frame);
      case 'close':
        void this.channels
          .close(output.peer)
          .then(() => post({ kind: 'drop peer', peer: output.peer, reason: `goodbye ${output.reason}` }));
        return;
      case 'store':
        return this.keep(output.file, output.chunk, output.bytes);
      case 'read': {
        const bytes = this.parts.store.get(output.file, output.chunk);
        return this.engine.read_done(this.now(), output.peer, output.file, output.chunk, bytes);
      }
      case 'fetch origin':
        return void this.transfers.run(output);
      case 'cancel origin':
        return this.transfers.cancel(output.request);
      case 'fetch page':
        return void this.transfers.page(output.file, output.page);
      case 'sign receipt':
        return void this.signReceipt(output);
      case 'remembered':
        if (output.fault === 'bad_data') post({ kind: 'ban', thumbprint: output.thumbprint });
        return;
      case 'report':
        return post({ kind: 'report', peer: output.peer, reason: output.fault });
      case 'receipt received':
        return this.receipts.add(output.downloader, output.total_bytes, output.receipt);
      case 'peer ready':
      case 'page kept':
        return;
    }
  }

  private keep(file: number, chunk: number, bytes: Bytes): void {
    for (const left of this.parts.store.keep(file, chunk, bytes)) {
      this.engine.lost(this.now(), left.file, left.chunk);
    }
    this.countOnce(file, chunk);
    if (this.first_peer_chunk_at_ms === null && (this.engine.stats() as EngineFigures).peer_bytes > 0) {
      this.first_peer_chunk_at_ms = Date.now();
    }
    const name = `${file}.${chunk}`;
    const waiters = this.waiting.get(name);
    this.waiting.delete(name);
    for (const arrived of waiters ?? []) arrived(bytes);
  }

  private countOnce(file: number, chunk: number): boolean {
    const place = file * 2 ** 32 + chunk;
    const fresh = !this.counted.has(place);
    this.counted.add(place);
    return fresh;
  }

  private movePlayheads(): void {
    const playheads = this.readers.playheads(performance.now());
    this.tell((now) => {
      const present = new Set<number>();
      for (const { reader, file, chunk, bytes_per_s, ahead_chunks } of playheads) {
        present.add(reader);
        const place = `${file}.${chunk}.${bytes_per_s}.${ahead_chunks}`;
        if (this.moved.get(reader) === place) continue;
        this.moved.set(reader, place);
        this.engine.playhead(now, reader, file, chunk, bytes_per_s, ahead_chunks);
      }
      for (const reader of this.moved.keys()) {
        if (present.has(reader)) continue;
        this.moved.delete(reader);
        this.engine.playhead_gone(now, reader);
      }
    });
  }

  // Peers.

  private async hello(local: Bytes, remote: Bytes): Promise<Uint8Array> {
    const { device } = this.parts.start;
    const { token } = this;
    const signed = this.engine.hello_signed_bytes(local, remote, token) as Bytes;
    return this.parts.helloFrame(token, device.signingPublic, await sign(device, signed));
  }

  private async admit(peer: string, local: Bytes, remote: Bytes): Promise<void> {
    const hello = await this.hello(local, remote);
    if (!this.channels.open(peer) || this.over !== undefined || this.stopped.signal.aborted) return;
    this.tell((now) => this.engine.peer_opened(now, peer, local, remote, hello));
    this.channels.admitted(peer);
    this.pump();
    const again = (): void => {
      if (this.channels.open(peer)) this.tell((now) => this.engine.hello_renewed(now, peer, hello));
    };
    setTimeout(again, HELLO_AGAIN_MS);
  }

  private async signReceipt(output: Extract<Output, { kind: 'sign receipt' }>): Promise<void> {
    const signature = await sign(this.parts.start.device, output.signed_bytes);
    this.tell((now) =>
      this.engine.receipt_signed(now, output.peer, output.total_bytes, output.at_ms, signature),
    );
  }

  private stats(): EngineStats {
    const figures = this.engine.stats() as EngineFigures;
    return {
      bytes_from_peers: figures.peer_bytes,
      bytes_from_origin: figures.origin_bytes,
      bytes_from_cache: this.bytes_from_cache,
      bytes_to_peers: figures.uploaded_bytes,
      bytes_wasted: figures.wasted_bytes,
      first_peer_chunk_at_ms: this.first_peer_chunk_at_ms,
      peers: figures.peers,
      chunks_held: figures.chunks_held,
      chunks: figures.chunks_total,
      buffered_ms: figures.buffered_ms,
      cache: this.parts.store.kind,
    };
  }
}
