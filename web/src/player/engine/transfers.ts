// Carries out what the engine asks of the origin, and tells it what came of it.
import { ApiError } from '../api.ts';
import type { Bytes } from '../bytes.ts';
import { Backoff, pause } from '../retry.ts';
import type { Origin } from './origin.ts';
import type { Output } from './outputs.ts';

const PAGE_ATTEMPTS_MAX = 3;

/** What of the engine is needed here. */
export interface Receiver {
  travel_bytes(file: number, chunk: number): number | undefined;
  travel_offset(file: number, chunk: number): number | undefined;
  origin_chunk(now: number, request: number, file: number, chunk: number, bytes: Bytes): void;
  origin_ended(now: number, request: number, error?: string): void;
  page_arrived(now: number, file: number, page: number, bytes: Bytes): boolean;
  page_failed(now: number, file: number, page: number): void;
}

export interface TransferEvents {
  /** The token was refused. */
  refused(): void;
  /** Whether the last attempt was answered; told when it changes. */
  reachable(reachable: boolean): void;
}

export class Transfers {
  private readonly stopped = new AbortController();
  private readonly running = new Map<number, AbortController>();
  private reached = true;

  constructor(
    private readonly origin: Origin,
    private readonly engine: Receiver,
    /** Calls the engine with the time, and carries out what it says to that. */
    private readonly tell: (what: (now: number) => void) => void,
    private readonly events: TransferEvents,
  ) {}

  async run(output: Extract<Output, { kind: 'fetch origin' }>): Promise<void> {
    const { request, file, first, count } = output;
    const transfer = new AbortController();
    this.running.set(request, transfer);
    const lengths = Array.from({ length: count }, (_, at) => this.engine.travel_bytes(file, first + at) ?? 0);
    const offset = this.engine.travel_offset(file, first) ?? 0;
    const signal = AbortSignal.any([transfer.signal, this.stopped.signal]);
    let error: string | undefined;
    try {
      await this.origin.run({ file, offset, lengths }, signal, (at, bytes) => {
        // The engine cancels a run that it needs nothing more of; one that is whole ends by itself.
        if (at === count - 1) this.running.delete(request);
        this.answered(true);
        this.tell((now) => this.engine.origin_chunk(now, request, file, first + at, bytes));
      });
    } catch (cause) {
      if (!signal.aborted) error = this.inWords(cause);
    }
    this.running.delete(request);
    if (!signal.aborted) this.tell((now) => this.engine.origin_ended(now, request, error));
  }

  cancel(request: number): void {
    this.running.get(request)?.abort();
  }

  /** Gets a hash page and gives it to the engine; whether it was right. */
  async page(file: number, page: number): Promise<boolean> {
    const backoff = new Backoff();
    const { signal } = this.stopped;
    for (let attempt = 0; attempt < PAGE_ATTEMPTS_MAX && !signal.aborted; attempt += 1) {
      try {
        const bytes = await this.origin.page(file, page, signal);
        this.answered(true);
        let right = false;
        this.tell((now) => {
          right = this.engine.page_arrived(now, file, page, bytes);
        });
        return right;
      } catch (cause) {
        if (this.inWords(cause) === 'not_found') break;
        await pause(backoff.next(), signal);
      }
    }
    this.tell((now) => this.engine.page_failed(now, file, page));
    return false;
  }

  stop(): void {
    this.stopped.abort();
  }

  /** The failure as the engine knows it. */
  private inWords(cause: unknown): string {
    if (!(cause instanceof ApiError)) return cause instanceof Error ? cause.message : String(cause);
    this.answered(!cause.passing);
    if (cause.status === 401) this.events.refused();
    if (cause.status === 401 || cause.status === 403) return 'not_authorized';
    return cause.status === 404 || cause.status === 416 ? 'not_found' : cause.detail;
  }

  private answered(answered: boolean): void {
    if (this.reached === answered) return;
    this.reached = answered;
    this.events.reachable(answered);
  }
}
