// The data channels that the page handed over, each with its hello and its back-pressure.
import type { Bytes } from '../bytes.ts';
import { CHANNEL_BUFFER_BYTES_LOW } from '../limit.ts';

/** How long a channel that is being closed may take to send what waits in it. */
const FLUSH_MS_MAX = 1_000;
const FLUSH_STEP_MS = 20;
/** Messages kept that came before the channel was told to the engine. */
const EARLY_MESSAGES_MAX = 64;

/** What the engine is told. */
export interface ChannelEvents {
  /** Open, and both fingerprints are known. */
  ready(peer: string, local: Bytes, remote: Bytes): void;
  message(peer: string, bytes: Bytes): void;
  drained(peer: string): void;
  closed(peer: string): void;
}

interface Entry {
  channel: RTCDataChannel;
  local?: Bytes;
  remote?: Bytes;
  /** The engine knows of it. */
  known: boolean;
  /** Something was sent since the engine was last told that the channel is drained. */
  sent: boolean;
  early: Bytes[];
}

export class Channels {
  /** How often the engine was told that a channel is drained. */
  drained_count = 0;
  private readonly entries = new Map<string, Entry>();
  private events: ChannelEvents | undefined;

  /** Channels may come before there is an engine to be told; from now on there is. */
  listen(events: ChannelEvents): void {
    this.events = events;
    for (const [peer, entry] of this.entries) this.announce(peer, entry);
  }

  add(peer: string, channel: RTCDataChannel): void {
    this.drop(peer);
    const entry: Entry = { channel, known: false, sent: false, early: [] };
    this.entries.set(peer, entry);
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = CHANNEL_BUFFER_BYTES_LOW;
    channel.onopen = () => this.announce(peer, entry);
    channel.onclose = () => this.gone(peer, entry);
    channel.onerror = () => this.gone(peer, entry);
    channel.onbufferedamountlow = () => this.settle(peer, entry);
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      // Text is no frame; an empty message does not decode and ends the connection by the protocol's rules.
      const bytes = typeof data === 'string' ? new Uint8Array(0) : new Uint8Array(data);
      if (entry.known) this.events?.message(peer, bytes);
      else if (entry.early.length < EARLY_MESSAGES_MAX) entry.early.push(bytes);
    };
    this.announce(peer, entry);
  }

  fingerprints(peer: string, local: Bytes, remote: Bytes): void {
    const entry = this.entries.get(peer);
    if (entry === undefined) return;
    entry.local = local;
    entry.remote = remote;
    this.announce(peer, entry);
  }

  /** The fingerprints of a channel that is open. */
  binding(peer: string): { local: Bytes; remote: Bytes } | undefined {
    const entry = this.entries.get(peer);
    if (entry?.local === undefined || entry.remote === undefined || !this.open(peer)) return undefined;
    return { local: entry.local, remote: entry.remote };
  }

  open(peer: string): boolean {
    return this.entries.get(peer)?.channel.readyState === 'open';
  }

  peers(): string[] {
    return [...this.entries.keys()];
  }

  /** The engine took the peer in: what came early is handed over. */
  admitted(peer: string): void {
    const entry = this.entries.get(peer);
    if (entry === undefined) return;
    entry.known = true;
    const early = entry.early.splice(0);
    for (const bytes of early) this.events?.message(peer, bytes);
  }

  send(peer: string, frame: Bytes): void {
    const entry = this.entries.get(peer);
    if (entry?.channel.readyState !== 'open') return;
    try {
      entry.channel.send(frame);
      entry.sent = true;
    } catch {
      // The buffer is full beyond reason, or the channel closed just now: this peer is of no more use.
      this.gone(peer, entry);
    }
  }

  /** Tells the engine of channels whose queue is already short again; call after sending. */
  settleAll(): void {
    for (const [peer, entry] of this.entries) this.settle(peer, entry);
  }

  /** Lets what waits go out, then closes. */
  async close(peer: string): Promise<void> {
    const entry = this.entries.get(peer);
    if (entry === undefined) return;
    this.entries.delete(peer);
    silence(entry.channel);
    for (let waited = 0; waited < FLUSH_MS_MAX && entry.channel.bufferedAmount > 0; waited += FLUSH_STEP_MS) {
      await new Promise((resolve) => setTimeout(resolve, FLUSH_STEP_MS));
    }
    entry.channel.close();
  }

  /** The page says that the connection is gone. */
  drop(peer: string): void {
    const entry = this.entries.get(peer);
    if (entry !== undefined) this.gone(peer, entry);
  }

  private announce(peer: string, entry: Entry): void {
    if (entry.known || this.entries.get(peer) !== entry) return;
    if (entry.channel.readyState !== 'open' || entry.local === undefined || entry.remote === undefined)
      return;
    this.events?.ready(peer, entry.local, entry.remote);
  }

  private settle(peer: string, entry: Entry): void {
    if (!entry.sent || !entry.known || entry.channel.bufferedAmount > CHANNEL_BUFFER_BYTES_LOW) return;
    entry.sent = false;
    this.drained_count += 1;
    this.events?.drained(peer);
  }

  private gone(peer: string, entry: Entry): void {
    if (this.entries.get(peer) !== entry) return;
    this.entries.delete(peer);
    silence(entry.channel);
    entry.channel.close();
    this.events?.closed(peer);
  }
}

function silence(channel: RTCDataChannel): void {
  channel.onopen = null;
  channel.onclose = null;
  channel.onerror = null;
  channel.onmessage = null;
  channel.onbufferedamountlow = null;
}
