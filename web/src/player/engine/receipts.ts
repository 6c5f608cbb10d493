// Receipts of those who downloaded from this device, on their way to the server: the last one of each, as only what
// grows counts.

import { ApiError } from '../api.ts';

const RECEIPTS_MAX = 64;
const DOWNLOADERS_MAX = 1024;

interface Last {
  total_bytes: number;
  receipt: string;
}

export class ReceiptBook {
  private readonly last = new Map<string, Last>();
  private busy = false;

  constructor(private readonly send: (receipts: string[]) => Promise<unknown>) {}

  /** `receipt` is empty where the downloader's key is not known. */
  add(downloader: string, total_bytes: number, receipt: string): void {
    const kept = this.last.get(downloader);
    if (receipt === '' || (kept !== undefined && kept.total_bytes >= total_bytes)) return;
    if (kept === undefined && this.last.size >= DOWNLOADERS_MAX) return;
    this.last.set(downloader, { total_bytes, receipt });
  }

  /** Hands in what there is. What the server could not be told now is told the next time, unless more came since. */
  async handIn(): Promise<void> {
    if (this.busy || this.last.size === 0) return;
    this.busy = true;
    const some = [...this.last].slice(0, RECEIPTS_MAX);
    for (const [downloader] of some) this.last.delete(downloader);
    try {
      await this.send(some.map(([, { receipt }]) => receipt));
    } catch (cause) {
      // Refused for what they say, they would be refused again.
      if (cause instanceof ApiError && !cause.passing && cause.status !== 401) return;
      for (const [downloader, { total_bytes, receipt }] of some) this.add(downloader, total_bytes, receipt);
    } finally {
      this.busy = false;
    }
  }
}
