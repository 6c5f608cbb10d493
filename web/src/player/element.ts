// `<matinee-player entitlement="…">`: a video with the browser's own controls, and a panel that says where the bytes
// come from. `title-id` names the title where the entitlement is to a collection. `server` is the server's origin when it is not this page's, `file` the file to play when it is not the first
// that can be.

import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { cameBy, due } from './breaks.ts';
import { position } from './gateway.ts';
import { register } from './inspection.ts';
import type { FileFacts } from './messages.ts';
import { Player, type Snapshot } from './player.ts';
import { keepPosition, keptPosition } from './position.ts';
import { firstPlayable } from './prepare.ts';
import { Backoff, pause } from './retry.ts';
import { bytes, seconds } from './wording.ts';

const REPORT_MS = 500;
/** How much longer a break is shown whose time has not passed by the server's clock. */
const BREAK_AGAIN_MS = 1_000;

/** A break on the screen. */
interface Pausing {
  clip_url: string | null;
  left_s: number;
}
/** Neither the first nor the last seconds of a film are worth coming back to. */
const RESUME_S_MIN = 3;
/** MediaError codes (HTML §4.8.11.1). */
const MEDIA_NETWORK = 2;
const MEDIA_DECODE = 3;

export class MatineePlayer extends LitElement {
  static override properties = {
    entitlement: { type: String },
    titleId: { type: String, attribute: 'title-id' },
    server: { type: String },
    file: { type: Number },
    snapshot: { state: true },
    buffered_s: { state: true },
    media_error: { state: true },
    stalled: { state: true },
    pausing: { state: true },
  };

  static override styles = css`
    :host { display: block; }
    .stage { position: relative; background: #000; border-radius: 8px; overflow: hidden; aspect-ratio: 16 / 9;
      width: 100%; max-height: 75vh; }
    video { width: 100%; height: 100%; display: block; background: #000; }
    .words { position: absolute; inset: 0; display: grid; place-items: center; padding: 2rem; text-align: center;
      color: #fff; background: #000c; }
    .words[data-over] { background: #000; }
    .words button { font: inherit; padding: 0.4rem 1rem; cursor: pointer; }
    .break { position: absolute; inset: 0; background: #000; color: #fff; display: grid; place-items: center; text-align: center; }
    .break video { position: absolute; inset: 0; }
    .break p { position: relative; align-self: end; margin: 1rem; padding: 0.25rem 0.75rem; background: #000a; border-radius: 8px;
      font-variant-numeric: tabular-nums; }
    .break[data-card] p { align-self: center; font-size: 1.25rem; }
    .notice { position: absolute; left: 0; right: 0; top: 0; padding: 0.5rem 1rem; color: #fff; background: #000a; margin: 0; }
    dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.75rem; margin: 1rem 0 0; }
    dl > div { border: 1px solid color-mix(in srgb, currentcolor 20%, transparent); border-radius: 8px; padding: 0.5rem 0.75rem; }
    dt { font-size: 0.8rem; opacity: 0.75; }
    dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; }
  `;

  declare entitlement: string;
  /** What to play, where the entitlement is to a collection. */
  declare titleId: string | undefined;
  declare server: string;
  declare file: number | undefined;
  declare snapshot: Snapshot | undefined;
  declare buffered_s: number;
  declare media_error: string;
  /** The screen waits for bytes. */
  declare stalled: boolean;

  /** The break that is being shown. */
  declare pausing: Pausing | undefined;

  private player: Player | undefined;
  private played_ms = 0;
  private unregister: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private resume_s = 0;
  /** The video asked before the view was open; if that failed it asks again when it is. */
  private early = false;
  private readonly leaving = (): void => this.player?.close();
  private readonly returning = (event: PageTransitionEvent): void => {
    // Brought back from the browser's own cache, with everything closed by `leaving`.
    if (event.persisted) this.open();
  };

  constructor() {
    super();
    this.entitlement = '';
    this.server = location.origin;
    this.buffered_s = 0;
    this.media_error = '';
    this.stalled = false;
    this.pausing = undefined;
  }

  /** Ends the view at the server. */
  async end(): Promise<void> {
    this.video?.removeAttribute('src');
    this.video?.load();
    await this.player?.end();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setInterval(() => this.report(), REPORT_MS);
    addEventListener('pagehide', this.leaving);
    addEventListener('pageshow', this.returning);
    if (this.hasUpdated) this.open();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
    removeEventListener('pagehide', this.leaving);
    removeEventListener('pageshow', this.returning);
    this.shut();
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has('entitlement') || changed.has('titleId') || changed.has('server')) this.open();
    if (changed.has('file') && changed.get('file') !== undefined) this.video?.removeAttribute('src');
    if (changed.has('snapshot') || changed.has('file')) this.attach();
    // A film that begins with a break has nothing to play before it.
    if (changed.has('snapshot') && this.snapshot?.state === 'playable') void this.meetBreak(true);
  }

  private get video(): HTMLVideoElement | null {
    return this.renderRoot.querySelector('.stage > video');
  }

  private open(): void {
    this.shut();
    if (this.entitlement === '') return;
    const player = new Player(this.server, (snapshot) => {
      this.snapshot = snapshot;
      this.dispatchEvent(new CustomEvent('matinee-change', { detail: snapshot }));
    });
    this.player = player;
    this.unregister = register(() => ({ ...player.snapshot, file: this.chosen() }));
    void player.open(this.entitlement, this.titleId);
  }

  private shut(): void {
    clearTimeout(this.retry);
    this.unregister?.();
    this.player?.close();
    this.player = undefined;
    this.pausing = undefined;
    this.snapshot = undefined;
  }

  /** What positions are kept under: one entitlement may be to many titles. */
  private get what(): string {
    return this.titleId === undefined ? this.entitlement : `${this.entitlement}.${this.titleId}`;
  }

  /** The file to play: the one asked for, else the first with picture or sound. */
  private chosen(): number {
    if (this.file !== undefined) return this.file;
    const { files = [], file = 0 } = this.snapshot ?? {};
    return files.length === 0 ? file : firstPlayable(files);
  }

  private facts(): FileFacts | undefined {
    return this.snapshot?.files[this.chosen()];
  }

  private attach(): void {
    const { video, player, snapshot } = this;
    if (video === null || player === undefined || snapshot === undefined) return;
    const expected = snapshot.state === 'opening' && snapshot.file !== undefined;
    if (snapshot.state === 'playable' || expected) {
      const address = player.address(this.chosen());
      const failed_early = this.early && !expected && video.error !== null;
      this.early = expected;
      if (video.getAttribute('src') === address && !failed_early) return;
      video.setAttribute('src', address);
      this.report();
    } else if (snapshot.state === 'over' || snapshot.state === 'failed') {
      video.pause();
      video.removeAttribute('src');
      video.load();
    }
  }

  private report(): void {
    const { video, player } = this;
    const facts = this.facts();
    if (video === null || player === undefined || facts === undefined) return;
    const { currentTime, duration, paused, ended, seeking } = video;
    this.buffered_s = seeking ? 0 : ahead(video);
    const { bytes_per_s } = position(currentTime, duration, facts.size_bytes);
    const playing = !paused && !ended;
    player.shown({ file: this.chosen(), bytes_per_s, buffered_s: this.buffered_s, playing });
    if (playing && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) {
      this.resume_s = currentTime;
      keepPosition(this.what, this.chosen(), currentTime);
      this.backoff.reset();
    }
  }

  /** Shows the break that is due here; the film stands still meanwhile. */
  private async meetBreak(seeks = false): Promise<void> {
    const { video, player, snapshot } = this;
    if (video === null || player === undefined || this.pausing !== undefined) return;
    const at_ms = video.currentTime * 1000;
    const from_ms = seeks ? at_ms : this.played_ms;
    this.played_ms = at_ms;
    const number = due(snapshot?.breaks, at_ms) ?? cameBy(snapshot?.breaks, from_ms, at_ms);
    const one = number === undefined ? undefined : snapshot?.breaks?.list[number];
    if (number === undefined || one === undefined) return;
    this.pausing = {
      clip_url: snapshot?.breaks?.clip_url ?? null,
      left_s: Math.ceil(one.duration_ms / 1000),
    };
    video.pause();
    try {
      await player.showBreak(number, (restart) => this.countDown(restart ? one.duration_ms : BREAK_AGAIN_MS));
      this.pausing = undefined;
      // Another may be due at the same place.
      await this.meetBreak(true);
      if (this.pausing === undefined) await video.play().catch(() => undefined);
    } catch {
      // The view is over, and says so.
      this.pausing = undefined;
    }
  }

  private async countDown(duration_ms: number): Promise<void> {
    for (let left_ms = duration_ms; left_ms > 0; left_ms -= 1_000) {
      if (this.pausing !== undefined) this.pausing = { ...this.pausing, left_s: Math.ceil(left_ms / 1000) };
      this.video?.pause();
      await pause(Math.min(left_ms, 1_000));
    }
  }

  private breakCard(): TemplateResult | typeof nothing {
    const { pausing } = this;
    if (pausing === undefined) return nothing;
    const words = html`<p>Advertisement: the film goes on in ${pausing.left_s} s</p>`;
    if (pausing.clip_url === null) return html`<div class="break" data-card role="status">${words}</div>`;
    return html`<div class="break" role="status">
      <video
        src=${pausing.clip_url}
        autoplay
        loop
        playsinline
        @error=${() => {
          // What cannot be shown is a card.
          if (this.pausing !== undefined) this.pausing = { ...this.pausing, clip_url: null };
        }}
      ></video>
      ${words}
    </div>`;
  }

  /** A reload goes on where it was. */
  private resume(): void {
    const { video } = this;
    if (video === null || video.currentTime > 0) return;
    const kept_s = keptPosition(this.what, this.chosen());
    if (kept_s > RESUME_S_MIN && kept_s < video.duration - RESUME_S_MIN) video.currentTime = kept_s;
  }

  private stall(): void {
    this.stalled = true;
    this.report();
  }

  private flow(): void {
    this.stalled = false;
    this.report();
  }

  /** A connection cut beyond the browser's own patience: go on from the same place as soon as it works. */
  private failedMedia(): void {
    const { video } = this;
    const error = video?.error;
    if (video === null || error == null || this.snapshot?.state !== 'playable') return;
    if (error.code === MEDIA_DECODE) {
      this.media_error = 'This browser cannot play the format of this file.';
      return;
    }
    this.media_error =
      error.code === MEDIA_NETWORK ? 'Waiting for the film to arrive…' : 'Waiting for the film…';
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      const address = this.player?.address(this.chosen());
      if (address === undefined || this.snapshot?.state !== 'playable') return;
      video.src = address;
      video.currentTime = this.resume_s;
      void video.play().catch(() => undefined);
    }, this.backoff.next());
  }

  protected override render(): TemplateResult {
    return html`
      <div class="stage" part="stage">
        <video
          controls
          autoplay
          playsinline
          preload="auto"
          @error=${this.failedMedia}
          @loadedmetadata=${this.resume}
          @loadeddata=${() => {
            this.media_error = '';
          }}
          @waiting=${this.stall}
          @timeupdate=${() => void this.meetBreak()}
          @seeking=${() => {
            this.stall();
            void this.meetBreak(true);
          }}
          @seeked=${this.flow}
          @playing=${this.flow}
          @pause=${this.report}
          @play=${() => {
            if (this.pausing !== undefined) this.video?.pause();
            this.report();
          }}
          @ended=${() => this.dispatchEvent(new Event('matinee-ended'))}
        ></video>
        ${this.words()} ${this.breakCard()}
      </div>
      ${this.panel()}
    `;
  }

  private words(): TemplateResult | typeof nothing {
    const { snapshot } = this;
    const state = snapshot?.state ?? 'idle';
    if (state === 'failed' || state === 'over') {
      return html`<div class="words" part="words" data-over role="alert">
        <div>
          <p>${snapshot?.detail}</p>
          <button @click=${this.open}>Try again</button>
        </div>
      </div>`;
    }
    if (state !== 'playable') {
      const words = snapshot?.waiting ? 'Waiting for the server…' : 'Opening…';
      return html`<div class="words" part="words" role="status">${words}</div>`;
    }
    const notice =
      this.media_error || snapshot?.detail || (snapshot?.waiting ? 'Waiting for the server…' : '');
    return notice === '' ? nothing : html`<p class="notice" role="status">${notice}</p>`;
  }

  private panel(): TemplateResult | typeof nothing {
    const { snapshot } = this;
    if (snapshot === undefined) return nothing;
    const { stats } = snapshot;
    const figures: [id: string, name: string, value: string][] = [
      ['peer-bytes', 'From peers', bytes(stats.bytes_from_peers)],
      ['origin-bytes', 'From the origin', bytes(stats.bytes_from_origin)],
      ['cache-bytes', 'From this device', bytes(stats.bytes_from_cache)],
      ['upload-bytes', 'Given to peers', bytes(stats.bytes_to_peers)],
      ['peers', 'Peers', String(stats.peers)],
      ['buffered', 'Buffered', seconds(this.buffered_s)],
      ['state', 'State', stateInWords(snapshot)],
    ];
    return html`<dl part="panel" aria-label="Where the bytes come from">
      ${figures.map(([id, name, value]) => html`<div><dt>${name}</dt><dd id=${id}>${value}</dd></div>`)}
    </dl>`;
  }
}

function stateInWords(snapshot: Snapshot): string {
  if (snapshot.waiting) return 'waiting for the server';
  return snapshot.state;
}

/** Seconds of playback buffered from the current position on. */
function ahead(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let at = 0; at < buffered.length; at += 1) {
    if (buffered.start(at) <= currentTime + 0.1 && currentTime <= buffered.end(at)) {
      return buffered.end(at) - currentTime;
    }
  }
  return 0;
}

customElements.define('matinee-player', MatineePlayer);

declare global {
  interface HTMLElementTagNameMap {
    'matinee-player': MatineePlayer;
  }
}
