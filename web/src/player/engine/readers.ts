// Turns what browsers read and what the screen shows into the engine's playheads. Pure.
//
// A browser fills its own buffer ahead of what it shows, so the chunk it reads now is due only when the screen gets
// there. Without this every read would look urgent, and the origin would serve what peers bring in good time.
import { CHUNK_BYTES } from '../limit.ts';

/** Readers told apart at once: a film's own position, and its jumps to an index at the other end. */
export const READERS_MAX = 4;
/** A reader that has not asked for this long rests, unless it is the one being watched. */
const REST_MS = 15_000;
/** A report of the screen counts for this long. */
const SHOWN_MS = 4_000;
/** What is held ahead of the screen, in seconds of playback, and the bounds of that in chunks. */
const AHEAD_S = 60;
const AHEAD_CHUNKS_MIN = 8;
const AHEAD_CHUNKS_MAX = 512;
/** A read that has waited this long is due now, whatever the screen holds: it may be somebody else's (a download). */
const WAITING_S_MAX = 20;
/** How soon a reader that is no screen (a download, a test) needs its next chunk, in seconds. */
const PATIENCE_S = 3;
/** Speed of reading where neither duration nor screen tell one. */
const BYTES_PER_S_DEFAULT = 1024 * 1024;

export interface FileSpeed {
  chunks: number;
  size_bytes: number;
  duration_ms: number | null;
}

/** What the page says about its video element. */
export interface Shown {
  file: number;
  bytes_per_s: number;
  /** Seconds of playback that the browser holds ahead of what it shows. */
  buffered_s: number;
  playing: boolean;
}

export interface Playhead {
  reader: number;
  file: number;
  chunk: number;
  bytes_per_s: number;
  ahead_chunks: number;
}

interface Reader {
  file: number;
  /** Where this run of reading began: nothing before it is wanted. */
  anchor: number;
  next: number;
  /** `next` when the screen was last reported: what was read since is buffered too. */
  reported: number;
  /** Chunks asked for that have not been handed over yet. */
  waiting: number;
  asked_ms: number;
}

export class Readers {
  private readonly readers: (Reader | undefined)[] = new Array(READERS_MAX).fill(undefined);
  private shown: (Shown & { at_ms: number }) | undefined;

  constructor(private readonly speed: (file: number) => FileSpeed | undefined) {}

  /** A chunk is asked for; call the returned function when it was handed over or given up. */
  asks(file: number, chunk: number, now_ms: number): () => void {
    const reader = this.find(file, chunk) ?? this.replaceOldest(file, chunk);
    reader.next = chunk;
    reader.asked_ms = now_ms;
    reader.waiting += 1;
    return () => {
      reader.waiting -= 1;
    };
  }

  shows(shown: Shown, now_ms: number): void {
    this.shown = { ...shown, at_ms: now_ms };
    for (const reader of this.readers) if (reader !== undefined) reader.reported = reader.next;
  }

  /** All playheads as they are now; a reader that is not among them rests. */
  playheads(now_ms: number): Playhead[] {
    const latest = this.latest();
    const screen = this.shown !== undefined && now_ms - this.shown.at_ms < SHOWN_MS ? this.shown : undefined;
    const found: Playhead[] = [];
    this.readers.forEach((reader, number) => {
      if (reader === undefined) return;
      const watched = reader === latest && screen?.file === reader.file && screen.playing;
      if (!watched && reader.waiting === 0 && now_ms - reader.asked_ms > REST_MS) return;
      found.push(this.playhead(number, reader, now_ms, screen?.file === reader.file ? screen : undefined));
    });
    return found;
  }

  private playhead(number: number, reader: Reader, now_ms: number, screen: Shown | undefined): Playhead {
    const facts = this.speed(reader.file);
    const natural =
      facts?.duration_ms != null && facts.duration_ms > 0
        ? (facts.size_bytes * 1000) / facts.duration_ms
        : BYTES_PER_S_DEFAULT;
    const bytes_per_s = Math.max(1, Math.round(screen?.bytes_per_s || natural));
    const waited_s = reader.waiting > 0 ? (now_ms - reader.asked_ms) / 1000 : 0;
    const slack_s =
      screen === undefined ? PATIENCE_S : Math.min(screen.buffered_s, Math.max(0, WAITING_S_MAX - waited_s));
    const back = Math.floor((slack_s * bytes_per_s) / CHUNK_BYTES);
    const from = screen === undefined ? reader.next : reader.reported;
    // What lies between here and the chunk asked for is held already; it only stands for the time that is left.
    const chunk = Math.max(reader.anchor, from - back);
    const ahead = Math.ceil((AHEAD_S * bytes_per_s) / CHUNK_BYTES);
    const bounded = Math.min(Math.max(ahead, AHEAD_CHUNKS_MIN), AHEAD_CHUNKS_MAX);
    const left = (facts?.chunks ?? Number.MAX_SAFE_INTEGER) - chunk;
    const ahead_chunks = Math.min(bounded + (reader.next - chunk), left);
    return { reader: number, file: reader.file, chunk, bytes_per_s, ahead_chunks };
  }

  private latest(): Reader | undefined {
    let latest: Reader | undefined;
    for (const reader of this.readers) {
      if (reader !== undefined && (latest === undefined || reader.asked_ms >= latest.asked_ms))
        latest = reader;
    }
    return latest;
  }

  /** The reader whose run this chunk continues. */
  private find(file: number, chunk: number): Reader | undefined {
    return this.readers.find(
      (reader) => reader?.file === file && chunk >= reader.next - 1 && chunk <= reader.next + 1,
    );
  }

  private replaceOldest(file: number, chunk: number): Reader {
    const fresh: Reader = { file, anchor: chunk, next: chunk, reported: chunk, waiting: 0, asked_ms: 0 };
    let place = 0;
    for (const [number, reader] of this.readers.entries()) {
      if (reader === undefined) {
        place = number;
        break;
      }
      if (reader.asked_ms < (this.readers[place]?.asked_ms ?? 0)) place = number;
    }
    this.readers[place] = fresh;
    return fresh;
  }
}
