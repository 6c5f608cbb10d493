// Which epochs can be opened, which are being asked for, and who waits for one. The keys themselves are in the engine's
// memory.

/** After a refusal the same epoch is not asked for again for this long. */
const REFUSED_MS = 10_000;

export interface KeyHolder {
  has_key(file: number, epoch: number): boolean;
  epochs(file: number): number;
}

interface Waiter {
  file: number;
  epoch: number;
  resolve(): void;
  waits(): void;
  reject(cause: Error): void;
}

export class EpochKeys {
  private readonly asked = new Set<string>();
  private readonly refused = new Map<string, number>();
  private readonly waiters = new Set<Waiter>();

  constructor(
    private readonly holder: KeyHolder,
    private readonly ask: (file: number, epoch: number) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Resolves when the epoch can be opened, and sees to it that the next one will be too. */
  async need(file: number, epoch: number, signal: AbortSignal, waits = (): void => {}): Promise<void> {
    const next = epoch + 1;
    if (this.holder.has_key(file, epoch)) {
      if (next < this.holder.epochs(file) && !this.holder.has_key(file, next)) this.request(file, next);
      return;
    }
    this.request(file, epoch);
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { file, epoch, resolve, waits, reject };
      this.waiters.add(waiter);
      signal.addEventListener('abort', () => {
        this.waiters.delete(waiter);
        reject(new Error('the read was cancelled'));
      });
    });
  }

  /** Keys came in. */
  imported(): void {
    for (const waiter of this.waiters) {
      if (!this.holder.has_key(waiter.file, waiter.epoch)) continue;
      this.waiters.delete(waiter);
      waiter.resolve();
    }
    for (const name of this.asked) {
      const [file, epoch] = name.split('.').map(Number);
      if (this.holder.has_key(file ?? 0, epoch ?? 0)) this.asked.delete(name);
    }
  }

  /** A break comes before this epoch. */
  waits(file: number, epoch: number): void {
    for (const waiter of this.waiters) if (waiter.file === file && waiter.epoch === epoch) waiter.waits();
  }

  /** No license for this epoch. */
  failed(file: number, epoch: number, detail: string): void {
    const name = `${file}.${epoch}`;
    this.asked.delete(name);
    this.refused.set(name, this.now());
    for (const waiter of this.waiters) {
      if (waiter.file !== file || waiter.epoch !== epoch) continue;
      this.waiters.delete(waiter);
      waiter.reject(new Error(detail));
    }
  }

  /** Nothing will come any more. */
  over(detail: string): void {
    for (const waiter of this.waiters) waiter.reject(new Error(detail));
    this.waiters.clear();
    this.asked.clear();
  }

  private request(file: number, epoch: number): void {
    const name = `${file}.${epoch}`;
    const refused = this.refused.get(name);
    if (this.asked.has(name)) return;
    if (refused !== undefined && this.now() - refused < REFUSED_MS) {
      // Whoever waits is told at once; asking in a loop would only be refused again.
      queueMicrotask(() => this.failedAgain(file, epoch));
      return;
    }
    this.refused.delete(name);
    this.asked.add(name);
    this.ask(file, epoch);
  }

  private failedAgain(file: number, epoch: number): void {
    const at = this.refused.get(`${file}.${epoch}`);
    this.failed(file, epoch, 'the server gives no key for this part at the moment');
    if (at !== undefined) this.refused.set(`${file}.${epoch}`, at);
  }
}
