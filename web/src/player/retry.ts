// Calm repetition: waits that double, spread by chance so that a restarted server is not met by all at once.
import { RETRY_MS_MAX, RETRY_MS_MIN } from './limit.ts';

export class Backoff {
  private attempt = 0;

  constructor(
    private readonly ms_min = RETRY_MS_MIN,
    private readonly ms_max = RETRY_MS_MAX,
    private readonly random: () => number = Math.random,
  ) {}

  reset(): void {
    this.attempt = 0;
  }

  /** The next wait in milliseconds, between half of the doubled step and all of it. */
  next(): number {
    const step = Math.min(this.ms_max, this.ms_min * 2 ** Math.min(this.attempt, 20));
    this.attempt += 1;
    return Math.round(step * (0.5 + this.random() / 2));
  }
}

/** Resolves after `ms`, or as soon as `signal` aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
  });
}
