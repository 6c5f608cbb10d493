// The WebSocket to the server's signaling (docs/PROTOCOL.md §7): joins with a challenge, keeps the membership alive over
// token renewals, and comes back calmly after every cut.
import type { Device } from './device.ts';
import { prove, type ServerClock } from './dpop.ts';
import { RETRY_MS_MAX, SIGNALING_BYTES_MAX } from './limit.ts';
import { Backoff, pause } from './retry.ts';

export interface PeerHint {
  peer: string;
  near: 'lan' | 'far';
}

export type Relay =
  | { type: 'offer'; peer: string; sdp: string }
  | { type: 'answer'; peer: string; sdp: string }
  | {
      type: 'candidate';
      peer: string;
      candidate: string;
      sdp_mid: string | null;
      sdp_m_line_index: number | null;
    };

export type ToServer =
  | Relay
  | { type: 'join'; token: string; proof: string }
  | { type: 'renew'; token: string; proof: string }
  | { type: 'report'; peer: string; reason: string }
  | { type: 'more' };

export type ToPeer =
  | Relay
  | { type: 'challenge'; nonce: string }
  | { type: 'joined'; peer: string; peers: PeerHint[] }
  | { type: 'peers'; peers: PeerHint[] }
  | { type: 'left'; peer: string }
  | { type: 'revoked'; reason: string }
  | { type: 'error'; code: string; detail: string };

export interface SignalingEvents {
  joined(own: string, peers: PeerHint[]): void;
  peers(peers: PeerHint[]): void;
  left(peer: string): void;
  relay(message: Relay): void;
  /** The view was ended by the server; nothing is tried any more. */
  revoked(reason: string): void;
  /** The token was not accepted: it has to be renewed before the next attempt. */
  refused(): void;
}

/** A socket that was open this long was a good one: the next wait is short again. */
const GOOD_MS = 10_000;
const JOIN_MS_MAX = 15_000;

export class Signaling {
  private readonly stopped = new AbortController();
  private readonly backoff = new Backoff(1_000, RETRY_MS_MAX);
  private readonly address: URL;
  private socket: WebSocket | undefined;
  private nonce: string | undefined;
  private joined = false;

  constructor(
    server: string,
    private readonly device: Device,
    private readonly clock: ServerClock,
    private readonly token: () => string,
    private readonly events: SignalingEvents,
  ) {
    this.address = new URL('/v1/signaling', server);
    void this.keepConnected();
  }

  get connected(): boolean {
    return this.joined;
  }

  send(message: ToServer): void {
    if (this.joined && this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Tells the server of a newer token. */
  async renew(): Promise<void> {
    if (this.joined) this.send({ type: 'renew', token: this.token(), proof: await this.proof() });
  }

  close(): void {
    this.stopped.abort();
    this.socket?.close();
  }

  private async keepConnected(): Promise<void> {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      const began = performance.now();
      await this.connectOnce();
      this.joined = false;
      if (performance.now() - began > GOOD_MS) this.backoff.reset();
      await pause(this.backoff.next(), signal);
    }
  }

  /** Resolves when the socket is closed. */
  private connectOnce(): Promise<void> {
    return new Promise((resolve) => {
      const url = new URL(this.address);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      const socket = new WebSocket(url);
      this.socket = socket;
      const late = setTimeout(() => this.joined || socket.close(), JOIN_MS_MAX);
      socket.onmessage = ({ data }: MessageEvent<unknown>) => {
        const message = decode(data);
        if (message !== undefined && this.socket === socket) void this.take(message);
      };
      socket.onclose = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }

  private async take(message: ToPeer): Promise<void> {
    const { events } = this;
    switch (message.type) {
      case 'challenge': {
        this.nonce = message.nonce;
        const join: ToServer = { type: 'join', token: this.token(), proof: await this.proof() };
        if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(join));
        return;
      }
      case 'joined':
        this.joined = true;
        return events.joined(message.peer, message.peers);
      case 'peers':
        return events.peers(message.peers);
      case 'left':
        return events.left(message.peer);
      case 'revoked':
        this.close();
        return events.revoked(message.reason);
      case 'error':
        // Before joining the only thing to be refused is the token or its proof.
        if (!this.joined) events.refused();
        return;
      default:
        return events.relay(message);
    }
  }

  private proof(): Promise<string> {
    const { nonce } = this;
    return prove(this.device, this.clock, {
      method: 'GET',
      url: this.address.href,
      token: this.token(),
      nonce,
    });
  }
}

const KNOWN = new Set([
  'challenge',
  'joined',
  'peers',
  'left',
  'revoked',
  'error',
  'offer',
  'answer',
  'candidate',
]);

/** Undefined for anything that is no known message; later versions may have others. */
export function decode(data: unknown): ToPeer | undefined {
  if (typeof data !== 'string' || data.length > SIGNALING_BYTES_MAX) return undefined;
  try {
    const message: unknown = JSON.parse(data);
    if (typeof message !== 'object' || message === null) return undefined;
    return KNOWN.has((message as { type?: string }).type ?? '') ? (message as ToPeer) : undefined;
  } catch {
    return undefined;
  }
}
