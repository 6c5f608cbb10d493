import { expect, test, vi } from 'vitest';
import type { Bytes } from '../src/player/bytes.ts';
import { Channels } from '../src/player/engine/channels.ts';

class FakeChannel {
  readyState: RTCDataChannelState = 'connecting';
  bufferedAmount = 0;
  sent: unknown[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onbufferedamountlow: (() => void) | null = null;
  close = vi.fn(() => {
    this.readyState = 'closed';
  });
  send(frame: Bytes): void {
    this.sent.push(frame);
    this.bufferedAmount += frame.byteLength;
  }
  open(): void {
    this.readyState = 'open';
    this.onopen?.();
  }
  receive(...bytes: number[]): void {
    this.onmessage?.({ data: Uint8Array.from(bytes).buffer });
  }
}

function setup() {
  const events = { ready: vi.fn(), message: vi.fn(), drained: vi.fn(), closed: vi.fn() };
  const channels = new Channels();
  const channel = new FakeChannel();
  return { events, channels, channel, raw: channel as unknown as RTCDataChannel };
}

const LOCAL = new Uint8Array(32).fill(1);
const REMOTE = new Uint8Array(32).fill(2);

test('a peer is ready when its channel is open and both fingerprints are known, in whichever sequence', () => {
  for (const openFirst of [true, false]) {
    const { events, channels, channel, raw } = setup();
    channels.listen(events);
    channels.add('p', raw);
    if (openFirst) channel.open();
    channels.fingerprints('p', LOCAL, REMOTE);
    if (!openFirst) channel.open();
    expect(events.ready.mock.calls).toEqual([['p', LOCAL, REMOTE]]);
  }
});

test('what comes before there is an engine waits for it', () => {
  const { events, channels, channel, raw } = setup();
  channels.add('p', raw);
  channel.open();
  channels.fingerprints('p', LOCAL, REMOTE);
  channel.receive(1, 2);
  channels.listen(events);
  expect(events.ready).toHaveBeenCalledTimes(1);
  expect(events.message).not.toHaveBeenCalled();
  channels.admitted('p');
  channel.receive(3);
  expect(events.message.mock.calls).toEqual([
    ['p', Uint8Array.of(1, 2)],
    ['p', Uint8Array.of(3)],
  ]);
});

test('a text message is handed on as one that does not decode', () => {
  const { events, channels, channel, raw } = setup();
  channels.listen(events);
  channels.add('p', raw);
  channels.admitted('p');
  channel.onmessage?.({ data: 'hello' });
  expect(events.message).toHaveBeenCalledWith('p', new Uint8Array(0));
});

test('drained is told once for what was sent, when the queue is short', () => {
  const { events, channels, channel, raw } = setup();
  channels.listen(events);
  channels.add('p', raw);
  channel.open();
  channels.admitted('p');
  channels.settleAll();
  expect(events.drained).not.toHaveBeenCalled();
  channels.send('p', new Uint8Array(300_000));
  channels.settleAll();
  expect(events.drained).not.toHaveBeenCalled();
  channel.bufferedAmount = 1000;
  channel.onbufferedamountlow?.();
  channels.settleAll();
  expect(events.drained).toHaveBeenCalledTimes(1);
});

test('a channel that breaks while sending is gone', () => {
  const { events, channels, channel, raw } = setup();
  channels.listen(events);
  channels.add('p', raw);
  channel.open();
  channel.send = () => {
    throw new DOMException('full', 'OperationError');
  };
  channels.send('p', new Uint8Array(1));
  expect(events.closed).toHaveBeenCalledWith('p');
  expect(channels.peers()).toEqual([]);
});

test('closing lets what waits go out first', async () => {
  const { events, channels, channel, raw } = setup();
  channels.listen(events);
  channels.add('p', raw);
  channel.open();
  channels.send('p', new Uint8Array(10));
  const closed = channels.close('p');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(channel.close).not.toHaveBeenCalled();
  channel.bufferedAmount = 0;
  await closed;
  expect(channel.close).toHaveBeenCalled();
  expect(events.closed).not.toHaveBeenCalled();
});
