// Connections to other peers. The page has to own them, as workers have no RTCPeerConnection; each data channel is
// handed to the engine worker in the task that creates it, and nothing of it is seen here again.
import type { IceServer } from './api.ts';
import type { Bytes } from './bytes.ts';
import { sha256Fingerprint } from './fingerprint.ts';
import {
  CANDIDATES_WAITING_MAX,
  CONNECT_MS_MAX,
  DISCONNECTED_MS_MAX,
  PEERS_MAX,
  PEERS_SOUGHT,
} from './limit.ts';
import type { PeerHint, Relay, ToServer } from './signaling.ts';

export interface ConnectionEvents {
  send(message: ToServer): void;
  channel(peer: string, channel: RTCDataChannel): void;
  fingerprints(peer: string, local: Bytes, remote: Bytes): void;
  gone(peer: string): void;
  /** How many connections there are or are being made. */
  count(count: number): void;
}

const CHANNEL: RTCDataChannelInit = { negotiated: true, id: 0, ordered: false };
const LABEL = 'matinee';
/** How often the server is asked for more peers while there are too few. */
const MORE_MS = 20_000;

interface Connection {
  pc: RTCPeerConnection;
  /** We made the offer. */
  offered: boolean;
  connected: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Candidates that came before the other side's description. */
  early: RTCIceCandidateInit[];
}

export class Connections {
  private readonly connections = new Map<string, Connection>();
  private readonly untried: string[] = [];
  private readonly more: ReturnType<typeof setInterval>;
  private own = '';

  constructor(
    private readonly ice_servers: IceServer[],
    private readonly relay_only: boolean,
    private readonly events: ConnectionEvents,
  ) {
    this.more = setInterval(() => {
      if (this.connections.size < PEERS_SOUGHT && this.untried.length === 0) events.send({ type: 'more' });
    }, MORE_MS);
  }

  get size(): number {
    return this.connections.size;
  }

  /** A new membership: what was still being connected under the old one will not be answered any more. */
  joined(own: string, peers: PeerHint[]): void {
    this.own = own;
    for (const [peer, connection] of this.connections) if (!connection.connected) this.drop(peer);
    this.untried.length = 0;
    this.learn(peers);
  }

  learn(peers: PeerHint[]): void {
    for (const { peer } of peers) {
      if (peer === this.own || this.connections.has(peer) || this.untried.includes(peer)) continue;
      this.untried.push(peer);
    }
    this.seek();
  }

  left(peer: string): void {
    const place = this.untried.indexOf(peer);
    if (place >= 0) this.untried.splice(place, 1);
    // An open channel outlives a membership: the peer may only be on its way back to the server.
    if (this.connections.get(peer)?.connected === false) this.drop(peer);
  }

  async relay(message: Relay): Promise<void> {
    try {
      if (message.type === 'offer') await this.answer(message.peer, message.sdp);
      else if (message.type === 'answer') await this.accept(message.peer, message.sdp);
      else await this.candidate(message);
    } catch {
      // A description or candidate that this browser does not take ends that connection and no other.
      this.drop(message.peer);
    }
  }

  drop(peer: string): void {
    const connection = this.connections.get(peer);
    if (connection === undefined) return;
    this.connections.delete(peer);
    clearTimeout(connection.timer);
    connection.pc.onicecandidate = null;
    connection.pc.onconnectionstatechange = null;
    connection.pc.close();
    this.events.gone(peer);
    this.events.count(this.connections.size);
    this.seek();
  }

  close(): void {
    clearInterval(this.more);
    this.untried.length = 0;
    for (const peer of [...this.connections.keys()]) this.drop(peer);
  }

  private seek(): void {
    while (this.connections.size < PEERS_SOUGHT) {
      const peer = this.untried.shift();
      if (peer === undefined) return;
      if (!this.connections.has(peer)) void this.offer(peer);
    }
  }

  private create(peer: string, offered: boolean): Connection {
    const pc = new RTCPeerConnection({
      iceServers: this.ice_servers,
      iceTransportPolicy: this.relay_only ? 'relay' : 'all',
    });
    const timer = setTimeout(() => this.drop(peer), CONNECT_MS_MAX);
    const connection: Connection = { pc, offered, connected: false, timer, early: [] };
    this.connections.set(peer, connection);
    this.events.channel(peer, pc.createDataChannel(LABEL, CHANNEL));
    pc.onicecandidate = ({ candidate }) => {
      if (candidate === null) return;
      this.events.send({
        type: 'candidate',
        peer,
        candidate: candidate.candidate,
        sdp_mid: candidate.sdpMid,
        sdp_m_line_index: candidate.sdpMLineIndex,
      });
    };
    pc.onconnectionstatechange = () => this.changed(peer, connection);
    this.events.count(this.connections.size);
    return connection;
  }

  private changed(peer: string, connection: Connection): void {
    const { connectionState } = connection.pc;
    if (connectionState === 'failed' || connectionState === 'closed') return this.drop(peer);
    if (connectionState === 'connected') {
      connection.connected = true;
      clearTimeout(connection.timer);
    } else if (connectionState === 'disconnected') {
      clearTimeout(connection.timer);
      connection.timer = setTimeout(() => this.drop(peer), DISCONNECTED_MS_MAX);
    }
  }

  private async offer(peer: string): Promise<void> {
    const connection = this.create(peer, true);
    try {
      await connection.pc.setLocalDescription();
      if (this.connections.get(peer) !== connection) return;
      this.events.send({ type: 'offer', peer, sdp: connection.pc.localDescription?.sdp ?? '' });
    } catch {
      this.drop(peer);
    }
  }

  private async answer(peer: string, sdp: string): Promise<void> {
    const crossing = this.connections.get(peer);
    if (crossing !== undefined) {
      // Both offered at once: the offer of the larger id stands.
      if (crossing.offered && !crossing.connected && this.own > peer) return;
      this.drop(peer);
    }
    if (this.connections.size >= PEERS_MAX) return;
    const connection = this.create(peer, false);
    const { pc } = connection;
    await pc.setRemoteDescription({ type: 'offer', sdp });
    await pc.setLocalDescription();
    if (this.connections.get(peer) !== connection) return;
    this.events.send({ type: 'answer', peer, sdp: pc.localDescription?.sdp ?? '' });
    await this.described(peer, connection);
  }

  private async accept(peer: string, sdp: string): Promise<void> {
    const connection = this.connections.get(peer);
    if (connection === undefined || connection.pc.signalingState !== 'have-local-offer') return;
    await connection.pc.setRemoteDescription({ type: 'answer', sdp });
    await this.described(peer, connection);
  }

  /** Both descriptions are there: the fingerprints are known, and early candidates can be taken. */
  private async described(peer: string, connection: Connection): Promise<void> {
    const local = sha256Fingerprint(connection.pc.localDescription?.sdp ?? '');
    const remote = sha256Fingerprint(connection.pc.remoteDescription?.sdp ?? '');
    if (local === undefined || remote === undefined) return this.drop(peer);
    this.events.fingerprints(peer, local, remote);
    for (const candidate of connection.early.splice(0)) await this.add(connection, candidate);
  }

  private async candidate(message: Extract<Relay, { type: 'candidate' }>): Promise<void> {
    const connection = this.connections.get(message.peer);
    if (connection === undefined) return;
    const candidate: RTCIceCandidateInit = {
      candidate: message.candidate,
      sdpMid: message.sdp_mid,
      sdpMLineIndex: message.sdp_m_line_index,
    };
    if (connection.pc.remoteDescription !== null) await this.add(connection, candidate);
    else if (connection.early.length < CANDIDATES_WAITING_MAX) connection.early.push(candidate);
  }

  private async add(connection: Connection, candidate: RTCIceCandidateInit): Promise<void> {
    // One candidate that is not understood (another address family, a name) does not spoil the others.
    await connection.pc.addIceCandidate(candidate).catch(() => undefined);
  }
}
