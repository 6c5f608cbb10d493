import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CONNECT_MS_MAX, PEERS_MAX, PEERS_SOUGHT } from '../src/player/limit.ts';
import { type ConnectionEvents, Connections } from '../src/player/rtc.ts';
import type { Relay, ToServer } from '../src/player/signaling.ts';

const PRINT = Array.from({ length: 32 }, () => 'AB').join(':');
const SDP = `v=0\r\na=fingerprint:sha-256 ${PRINT}\r\n`;

/** As much of a connection as is needed to see who does what when. */
class FakeConnection {
  static all: FakeConnection[] = [];
  connectionState: RTCPeerConnectionState = 'new';
  signalingState: RTCSignalingState = 'stable';
  localDescription: { sdp: string } | null = null;
  remoteDescription: { sdp: string } | null = null;
  candidates: RTCIceCandidateInit[] = [];
  closed = false;
  onconnectionstatechange: (() => void) | null = null;
  onicecandidate: unknown = null;
  constructor() {
    FakeConnection.all.push(this);
  }
  createDataChannel(label: string, options: RTCDataChannelInit): unknown {
    return { label, ...options };
  }
  async setLocalDescription(): Promise<void> {
    this.localDescription = { sdp: SDP };
    this.signalingState = this.remoteDescription === null ? 'have-local-offer' : 'stable';
  }
  async setRemoteDescription({ type, sdp }: { type: string; sdp: string }): Promise<void> {
    if (!sdp.startsWith('v=0')) throw new Error('no description');
    this.remoteDescription = { sdp };
    this.signalingState = type === 'offer' ? 'have-remote-offer' : 'stable';
  }
  async addIceCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    if (this.remoteDescription === null) throw new Error('too early');
    this.candidates.push(candidate);
  }
  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
  close(): void {
    this.closed = true;
  }
}

let connections: Connections;
let sent: ToServer[];
let gone: string[];
let events: ConnectionEvents;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('RTCPeerConnection', FakeConnection);
  FakeConnection.all = [];
  sent = [];
  gone = [];
  events = {
    send: (message) => void sent.push(message),
    channel: vi.fn(),
    fingerprints: vi.fn(),
    gone: (peer) => void gone.push(peer),
    count: vi.fn(),
  };
  connections = new Connections([], false, events);
});

afterEach(() => {
  connections.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
const hints = (...peers: string[]) => peers.map((peer) => ({ peer, near: 'far' as const }));
const answer = (peer: string): Relay => ({ type: 'answer', peer, sdp: SDP });
const offer = (peer: string): Relay => ({ type: 'offer', peer, sdp: SDP });
const candidate = (peer: string): Relay => ({
  type: 'candidate',
  peer,
  candidate: 'candidate:1',
  sdp_mid: '0',
  sdp_m_line_index: 0,
});

test('the newcomer makes the offers, and tells fingerprints when answered', async () => {
  connections.joined('me', hints('a', 'me'));
  await settle();
  expect(sent).toEqual([{ type: 'offer', peer: 'a', sdp: SDP }]);
  expect(events.channel).toHaveBeenCalledWith('a', {
    label: 'matinee',
    negotiated: true,
    id: 0,
    ordered: false,
  });
  expect(events.fingerprints).not.toHaveBeenCalled();
  await connections.relay(answer('a'));
  const print = new Uint8Array(32).fill(0xab);
  expect(events.fingerprints).toHaveBeenCalledWith('a', print, print);
});

test('candidates that come early are kept for the description', async () => {
  connections.joined('me', hints('a'));
  await settle();
  await connections.relay(candidate('a'));
  expect(FakeConnection.all[0]?.candidates).toEqual([]);
  await connections.relay(answer('a'));
  await connections.relay(candidate('a'));
  expect(FakeConnection.all[0]?.candidates).toHaveLength(2);
});

test('an offer is answered', async () => {
  connections.joined('me', []);
  await connections.relay(offer('b'));
  expect(sent).toEqual([{ type: 'answer', peer: 'b', sdp: SDP }]);
  expect(events.fingerprints).toHaveBeenCalledTimes(1);
});

test.each([
  ['z-mine-stands', 0],
  ['a-theirs-stands', 1],
])('when both offer, the offer of the larger id stands: %s', async (own, answers) => {
  connections.joined(own, hints('m'));
  await settle();
  await connections.relay(offer('m'));
  expect(sent.filter(({ type }) => type === 'answer')).toHaveLength(answers);
});

test('a description that is none ends that connection only', async () => {
  connections.joined('me', hints('a', 'b'));
  await settle();
  await connections.relay({ type: 'answer', peer: 'a', sdp: 'rubbish' });
  expect(gone).toEqual(['a']);
  expect(connections.size).toBe(1);
});

test('no more than so many are sought, and the next is tried when one fails', async () => {
  connections.joined('me', hints(...Array.from({ length: PEERS_SOUGHT + 2 }, (_, at) => `p${at}`)));
  await settle();
  expect(connections.size).toBe(PEERS_SOUGHT);
  FakeConnection.all[0]?.become('failed');
  await settle();
  expect(gone).toEqual(['p0']);
  expect(sent.filter(({ type }) => type === 'offer')).toHaveLength(PEERS_SOUGHT + 1);
});

test('no more than so many are taken in', async () => {
  connections.joined('me', []);
  for (let at = 0; at < PEERS_MAX + 3; at += 1) await connections.relay(offer(`p${at}`));
  expect(connections.size).toBe(PEERS_MAX);
});

test('a connection that does not come about is given up', async () => {
  connections.joined('me', hints('a'));
  await vi.advanceTimersByTimeAsync(CONNECT_MS_MAX + 1);
  expect(gone).toEqual(['a']);
  expect(FakeConnection.all[0]?.closed).toBe(true);
});

test('a connection that stands outlives the membership, one that is being made does not', async () => {
  connections.joined('me', hints('a', 'b'));
  await settle();
  FakeConnection.all[0]?.become('connected');
  connections.left('a');
  connections.left('b');
  expect(gone).toEqual(['b']);
  connections.joined('me-again', hints('a'));
  expect(connections.size).toBe(1);
});

test('a broken connection may come back for a moment', async () => {
  connections.joined('me', hints('a'));
  await settle();
  const [connection] = FakeConnection.all;
  connection?.become('connected');
  connection?.become('disconnected');
  await vi.advanceTimersByTimeAsync(3_000);
  connection?.become('connected');
  await vi.advanceTimersByTimeAsync(30_000);
  expect(gone).toEqual([]);
  connection?.become('disconnected');
  await vi.advanceTimersByTimeAsync(30_000);
  expect(gone).toEqual(['a']);
});

test('too few peers: the server is asked for more', async () => {
  connections.joined('me', []);
  await vi.advanceTimersByTimeAsync(21_000);
  expect(sent).toEqual([{ type: 'more' }]);
});
