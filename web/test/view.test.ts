import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiError, type Client, type License, type Opening } from '../src/player/api.ts';
import type { Device } from '../src/player/device.ts';
import { View, type ViewEvents } from '../src/player/view.ts';

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

const AWAY = new ApiError(0, 'unreachable', 'away');

function setup() {
  const opening = { view: 'v', view_token: 'one', expires_at_ms: 1_000_000 + 300_000 } as Opening;
  const client = {
    clock: { now: () => Date.now() },
    openView: vi.fn().mockResolvedValue(opening),
    renew: vi
      .fn()
      .mockImplementation(async () => ({ view_token: 'two', expires_at_ms: Date.now() + 300_000 })),
    license: vi.fn().mockResolvedValue({ license: 'l' } as License),
    startBreak: vi.fn().mockResolvedValue(undefined),
    completeBreak: vi.fn().mockResolvedValue({ skipped: 'last', list: [] }),
    endView: vi.fn().mockResolvedValue(undefined),
  };
  const events = {
    token: vi.fn(),
    license: vi.fn(),
    licenseWaits: vi.fn(),
    licenseFailed: vi.fn(),
    over: vi.fn(),
    waiting: vi.fn(),
  } satisfies ViewEvents;
  const open = (): Promise<View> =>
    View.open(
      client as unknown as Client,
      {} as Device,
      'e',
      undefined,
      events,
      new AbortController().signal,
    );
  return { client, events, open };
}

test('opening waits for a server that is away, with the same key', async () => {
  const { client, events, open } = setup();
  client.openView.mockRejectedValueOnce(AWAY).mockRejectedValueOnce(AWAY);
  const opened = open();
  await vi.advanceTimersByTimeAsync(10_000);
  (await opened).close();
  expect(new Set(client.openView.mock.calls.map(([, , , key]) => key)).size).toBe(1);
  expect(events.waiting.mock.calls).toEqual([[true], [true], [false]]);
});

test('a refusal to open is final', async () => {
  const { client, open } = setup();
  client.openView.mockRejectedValue(new ApiError(403, 'no_views_left', 'none left'));
  await expect(open()).rejects.toMatchObject({ code: 'no_views_left' });
  expect(client.openView).toHaveBeenCalledTimes(1);
});

test('the token is renewed before it runs out, again and again', async () => {
  const { client, events, open } = setup();
  const view = await open();
  await vi.advanceTimersByTimeAsync(239_000);
  expect(client.renew).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(events.token).toHaveBeenCalledWith('two');
  expect(view.currentToken).toBe('two');
  await vi.advanceTimersByTimeAsync(250_000);
  expect(client.renew).toHaveBeenCalledTimes(2);
  view.close();
});

test('a restarted server is waited for', async () => {
  const { client, events, open } = setup();
  const view = await open();
  client.renew.mockRejectedValueOnce(AWAY).mockRejectedValueOnce(new ApiError(503, 'starting', 'soon'));
  await vi.advanceTimersByTimeAsync(250_000);
  expect(events.token).toHaveBeenCalledTimes(1);
  expect(events.over).not.toHaveBeenCalled();
  view.close();
});

test('a view that the server has ended is over', async () => {
  const { client, events, open } = setup();
  await open();
  client.renew.mockRejectedValue(new ApiError(403, 'view_ended', 'ended'));
  await vi.advanceTimersByTimeAsync(1_000_000);
  expect(events.over).toHaveBeenCalledTimes(1);
  expect(client.renew).toHaveBeenCalledTimes(1);
});

test('one epoch is asked for once at a time; a refusal is told', async () => {
  const { client, events, open } = setup();
  const view = await open();
  view.requestLicense(0, 3);
  view.requestLicense(0, 3);
  await vi.advanceTimersByTimeAsync(0);
  expect(client.license).toHaveBeenCalledTimes(1);
  expect(events.license).toHaveBeenCalledTimes(1);
  client.license.mockRejectedValue(new ApiError(403, 'window_over', 'too late'));
  view.requestLicense(0, 4);
  await vi.advanceTimersByTimeAsync(0);
  expect(events.licenseFailed).toHaveBeenCalledWith(0, 4, expect.objectContaining({ code: 'window_over' }));
  view.close();
});

test('a license refused for its token is asked for with the next one', async () => {
  const { client, events, open } = setup();
  const view = await open();
  client.license.mockRejectedValueOnce(new ApiError(401, 'token_expired', 'expired'));
  view.requestLicense(0, 3);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(client.renew).toHaveBeenCalledTimes(1);
  expect(client.license).toHaveBeenLastCalledWith({ device: {}, token: 'two' }, 'v', 0, 3);
  expect(events.license).toHaveBeenCalledTimes(1);
  view.close();
});

test('keys behind a break come as soon as it was shown, and no sooner', async () => {
  const { client, events, open } = setup();
  client.license.mockRejectedValue(new ApiError(403, 'break_not_shown', 'a break comes first'));
  const view = await open();
  view.requestLicense(0, 3);
  await vi.advanceTimersByTimeAsync(65_000);
  expect(events.licenseWaits).toHaveBeenCalledWith(0, 3);
  expect(events.licenseFailed).not.toHaveBeenCalled();
  expect(client.license).toHaveBeenCalledTimes(3);
  const show = vi.fn().mockResolvedValue(undefined);
  client.completeBreak
    .mockRejectedValueOnce(new ApiError(403, 'break_not_over', 'not over'))
    .mockRejectedValueOnce(new ApiError(403, 'break_not_started', 'another tab'));
  client.license.mockResolvedValue({ license: 'l' } as License);
  await view.showBreak(1, show);
  await vi.advanceTimersByTimeAsync(0);
  expect(show.mock.calls).toEqual([[true], [false], [true]]);
  expect(client.startBreak).toHaveBeenCalledTimes(2);
  expect(events.license).toHaveBeenCalledTimes(1);
  view.close();
});
