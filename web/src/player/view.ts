// One view on this device: opened once, its token renewed, its licenses asked for, ended on request. Knows nothing of
// playing. A server that is away for a while is waited for; a refusal is final and told in words.
import { ApiError, type Client, type License, type Opening, type Possession } from './api.ts';
import type { Breaks } from './breaks.ts';
import type { Device } from './device.ts';
import { TOKEN_RENEW_EARLY_MS } from './limit.ts';
import { Backoff, pause } from './retry.ts';

export interface ViewEvents {
  /** A newer token took the place of the last. */
  token(token: string): void;
  license(license: License): void;
  /** This epoch is not given before a break was shown; told again and again. */
  licenseWaits(file: number, epoch: number): void;
  /** This epoch will not be had now: refused, or (`passing`) the server stayed away too long. */
  licenseFailed(file: number, epoch: number, cause: ApiError): void;
  /** The view is over: refused for good. */
  over(cause: ApiError): void;
  /** Whether the server is being waited for. */
  waiting(waiting: boolean): void;
}

/** How long an epoch is asked for before the reader is told that it has to wait for the server. */
const LICENSE_PATIENCE_MS = 120_000;
/** How long keys behind a break are waited for before they are asked for again: another tab may have shown it. */
const BREAK_PATIENCE_MS = 30_000;

export class View {
  private readonly stopped = new AbortController();
  private readonly asked = new Map<string, Promise<void>>();
  private renewal: Promise<void> | undefined;
  /** Epochs behind a break wait for the next one that was shown. */
  private shown = new AbortController();
  private token: string;
  private expires_at_ms: number;

  private constructor(
    private readonly client: Client,
    private readonly device: Device,
    readonly opening: Opening,
    private readonly events: ViewEvents,
  ) {
    this.token = opening.view_token;
    this.expires_at_ms = opening.expires_at_ms;
    void this.keepRenewed();
  }

  /** Opens the view, or goes on with the one this device has. Waits for a server that is away. */
  static async open(
    client: Client,
    device: Device,
    entitlement: string,
    title: string | undefined,
    events: ViewEvents,
    signal: AbortSignal,
  ): Promise<View> {
    const idempotency_key = crypto.randomUUID();
    const backoff = new Backoff();
    for (;;) {
      try {
        const opening = await client.openView(device, entitlement, title, idempotency_key);
        events.waiting(false);
        return new View(client, device, opening, events);
      } catch (cause) {
        if (!(cause instanceof ApiError) || !cause.passing || signal.aborted) throw cause;
        events.waiting(true);
        await pause(Math.max(backoff.next(), cause.retry_after_ms ?? 0), signal);
      }
    }
  }

  get currentToken(): string {
    return this.token;
  }

  /** Asks for the keys of an epoch; many asking at once are one request. */
  requestLicense(file: number, epoch: number): void {
    const name = `${file}.${epoch}`;
    if (this.stopped.signal.aborted || this.asked.has(name)) return;
    this.asked.set(
      name,
      this.fetchLicense(file, epoch).finally(() => this.asked.delete(name)),
    );
  }

  /** Shows a break: `show` is asked to show it for its time. Resolves with the breaks when the server says that it was shown. */
  async showBreak(number: number, show: (restart: boolean) => Promise<void>): Promise<Breaks> {
    const { view } = this.opening;
    let restart = true;
    for (;;) {
      if (restart) await this.insist(() => this.client.startBreak(this.possession(), view, number));
      await show(restart);
      try {
        const breaks = await this.insist(() => this.client.completeBreak(this.possession(), view, number));
        this.shown.abort();
        this.shown = new AbortController();
        return breaks;
      } catch (cause) {
        if (!(cause instanceof ApiError) || this.stopped.signal.aborted) throw cause;
        // The server's clock is behind, or another tab's break took this one's place.
        restart = cause.code === 'break_not_started';
        if (!restart && cause.code !== 'break_not_over') throw cause;
      }
    }
  }

  /** Waits for a server that is away, and for a new token. */
  private async insist<T>(ask: () => Promise<T>): Promise<T> {
    const backoff = new Backoff();
    const { signal } = this.stopped;
    for (;;) {
      try {
        return await ask();
      } catch (cause) {
        if (!(cause instanceof ApiError) || signal.aborted) throw cause;
        if (cause.status === 401) await this.renewNow();
        else if (!cause.passing) throw cause;
        await pause(Math.max(backoff.next(), cause.retry_after_ms ?? 0), signal);
        if (signal.aborted) throw cause;
      }
    }
  }

  /** Renews now: somebody refused the token. */
  async renewNow(): Promise<void> {
    this.renewal ??= this.renew().finally(() => {
      this.renewal = undefined;
    });
    await this.renewal;
  }

  /** Ends the view at the server, so that the next one may begin elsewhere. */
  async end(): Promise<void> {
    this.close();
    await this.client.endView(this.possession(), this.opening.view);
  }

  /** Lets go without ending: the view can be gone on with after a reload. */
  close(): void {
    this.stopped.abort();
    this.shown.abort();
  }

  private possession(): Possession {
    return { device: this.device, token: this.token };
  }

  private async fetchLicense(file: number, epoch: number): Promise<void> {
    const backoff = new Backoff();
    const { signal } = this.stopped;
    const until = performance.now() + LICENSE_PATIENCE_MS;
    while (!signal.aborted) {
      try {
        const license = await this.client.license(this.possession(), this.opening.view, file, epoch);
        this.events.waiting(false);
        return this.events.license(license);
      } catch (cause) {
        if (!(cause instanceof ApiError)) throw cause;
        if (signal.aborted) return;
        if (cause.code === 'break_not_shown') {
          this.events.licenseWaits(file, epoch);
          await pause(BREAK_PATIENCE_MS, this.shown.signal);
          continue;
        }
        const stale = cause.status === 401;
        if (stale) await this.renewNow();
        if (performance.now() > until || !(stale || cause.passing)) {
          return this.events.licenseFailed(file, epoch, cause);
        }
        if (cause.passing) this.events.waiting(cause.status !== 429);
        await pause(Math.max(backoff.next(), cause.retry_after_ms ?? 0), signal);
      }
    }
  }

  private async keepRenewed(): Promise<void> {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      const left_ms = this.expires_at_ms - this.client.clock.now();
      await pause(Math.max(left_ms - TOKEN_RENEW_EARLY_MS, 1_000), signal);
      if (!signal.aborted) await this.renewNow();
    }
  }

  private async renew(): Promise<void> {
    const backoff = new Backoff();
    const { signal } = this.stopped;
    while (!signal.aborted) {
      try {
        const renewal = await this.client.renew(this.possession(), this.opening.view);
        this.token = renewal.view_token;
        this.expires_at_ms = renewal.expires_at_ms;
        this.events.waiting(false);
        return this.events.token(this.token);
      } catch (cause) {
        if (!(cause instanceof ApiError)) throw cause;
        if (signal.aborted) return;
        if (!cause.passing) {
          this.close();
          return this.events.over(cause);
        }
        this.events.waiting(true);
        await pause(Math.max(backoff.next(), cause.retry_after_ms ?? 0), signal);
      }
    }
  }
}
