import { expect, test, vi } from 'vitest';
import { EpochKeys } from '../src/player/engine/keys.ts';

function setup(epochs = 10) {
  const held = new Set<string>();
  const asked: string[] = [];
  let now = 0;
  const holder = {
    has_key: (file: number, epoch: number) => held.has(`${file}.${epoch}`),
    epochs: () => epochs,
  };
  const keys = new EpochKeys(
    holder,
    (file, epoch) => void asked.push(`${file}.${epoch}`),
    () => now,
  );
  return { held, asked, keys, wait: (ms: number) => (now += ms) };
}

const { signal } = new AbortController();

test('a missing key is asked for once and waited for', async () => {
  const { held, asked, keys } = setup();
  const both = Promise.all([keys.need(0, 4, signal), keys.need(0, 4, signal)]);
  expect(asked).toEqual(['0.4']);
  held.add('0.4');
  keys.imported();
  await both;
});

test('the next epoch is asked for while this one plays', async () => {
  const { held, asked, keys } = setup();
  held.add('0.4');
  await keys.need(0, 4, signal);
  await keys.need(0, 4, signal);
  expect(asked).toEqual(['0.5']);
});

test('the last epoch has none after it', async () => {
  const { held, asked, keys } = setup(5);
  held.add('0.4');
  await keys.need(0, 4, signal);
  expect(asked).toEqual([]);
});

test('a refusal is told and not repeated at once', async () => {
  const { asked, keys, wait } = setup();
  const refused = keys.need(0, 4, signal);
  keys.failed(0, 4, 'no view left');
  await expect(refused).rejects.toThrow('no view left');
  await expect(keys.need(0, 4, signal)).rejects.toThrow('at the moment');
  expect(asked).toEqual(['0.4']);
  wait(20_000);
  void keys.need(0, 4, signal);
  expect(asked).toEqual(['0.4', '0.4']);
});

test('a cancelled read waits no longer', async () => {
  const { keys } = setup();
  const cancelled = new AbortController();
  const waiting = keys.need(0, 4, cancelled.signal);
  cancelled.abort();
  await expect(waiting).rejects.toThrow('cancelled');
});

test('when the view is over everybody is told', async () => {
  const { keys } = setup();
  const waiting = vi.fn();
  const done = keys.need(0, 1, signal).catch(waiting);
  keys.over('the view has ended');
  await done;
  expect(waiting).toHaveBeenCalledWith(new Error('the view has ended'));
});
