// Tracks in a list, and the player that goes through those that were published and that this account may play.
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { account, client, known } from './account.ts';
import { Part } from './page.ts';
import { navigate, withNext } from './router.ts';
import { shop, type Track } from './shop.ts';

/** `3:07`. */
export function clock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

interface Playing {
  at: number;
  entitlement: string;
  /** Where the entitlement is to a collection. */
  title: string | undefined;
}

/** `<track-list>`: plays on from the track that was chosen, passing over what cannot be played. */
export class TrackList extends Part {
  static override properties = {
    ...Part.properties,
    tracks: { attribute: false },
    numbered: { type: Boolean },
    playing: { state: true },
    skipped: { state: true },
    said: { state: true },
  };

  declare tracks: Track[];
  /** Whether the list is an album, whose tracks have places. */
  declare numbered: boolean;
  declare playing: Playing | undefined;
  /** Tracks that this account may not play, by number, as far as it was tried. */
  declare skipped: Set<number>;
  declare said: string;

  constructor() {
    super();
    this.tracks = [];
    this.numbered = false;
    this.skipped = new Set();
    this.said = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('tracks') && this.playing !== undefined) {
      const before = changed.get('tracks') as Track[] | undefined;
      // A list that grows goes on playing; another list does not.
      if (before?.[this.playing.at]?.id !== this.tracks[this.playing.at]?.id) this.playing = undefined;
    }
  }

  /** Plays the first that can be played from there on, in this direction. */
  private async play(from: number, step = 1): Promise<void> {
    this.said = '';
    await this.attempt(async () => {
      await known();
      if (account() === undefined) {
        navigate(withNext('/sign-in', `${location.pathname}${location.search}`));
        return;
      }
      for (let at = from; at >= 0 && at < this.tracks.length; at += step) {
        const track = this.tracks[at];
        if (track?.title === undefined) continue;
        const ways = await shop.ways(track.title).catch(() => []);
        const way = ways.find(({ code }) => code === null);
        if (way !== undefined) {
          const { entitlement } = way;
          const title = entitlement.title === track.title ? undefined : track.title;
          this.playing = { at, entitlement: entitlement.id, title };
          // Whoever is far down the list sees that it plays.
          await this.updateComplete;
          this.querySelector('.now')?.scrollIntoView({ block: 'nearest' });
          return;
        }
        this.skipped = new Set(this.skipped).add(track.id);
        // Asked for by name: the page where it is sold says more than a list can.
        if (at === from && step === 1 && this.playing === undefined) {
          this.said = `${track.name} is not yours yet: open it to see how to have it.`;
          return;
        }
      }
      this.playing = undefined;
      this.said = 'That was the last that you may play here.';
    });
  }

  private playAll(): void {
    void this.playFrom(0);
  }

  private async playFrom(first: number): Promise<void> {
    for (let at = first; at >= 0 && at < this.tracks.length; at += 1) {
      if (this.tracks[at]?.title === undefined) continue;
      await this.play(at);
      if (this.playing !== undefined || this.problem !== '' || account() === undefined) return;
    }
    this.said = 'None of these is yours yet: open one to see how to have it.';
  }

  protected override render(): TemplateResult {
    const published = this.tracks.some(({ title }) => title !== undefined);
    return html`${this.alert()} ${this.player()}
      ${
        published && this.playing === undefined
          ? html`<p><button id="play-all" ?disabled=${this.busy} @click=${this.playAll}>Play all</button></p>`
          : nothing
      }
      <p role="status" class="said">${this.said}</p>
      <ol class="rows tracks">
        ${this.tracks.map((track, at) => html`<li class=${this.playing?.at === at ? 'track on' : 'track'}>${this.row(track, at)}</li>`)}
      </ol>`;
  }

  private player(): TemplateResult | typeof nothing {
    const { playing } = this;
    const track = playing === undefined ? undefined : this.tracks[playing.at];
    if (playing === undefined || track === undefined) return nothing;
    return html`<section class="now" aria-label="Now playing">
      <p><strong>${track.name}</strong> <span class="quiet">${track.artist.name}</span></p>
      <matinee-player
        class="sound"
        entitlement=${playing.entitlement}
        .titleId=${playing.title}
        .server=${client.server}
        @matinee-ended=${() => this.play(playing.at + 1)}
      ></matinee-player>
      <p class="actions">
        <button class="second" ?disabled=${this.busy || playing.at === 0} @click=${() => this.play(playing.at - 1, -1)}>Back</button>
        <button class="second" id="next-track" ?disabled=${this.busy} @click=${() => this.play(playing.at + 1)}>Next</button>
      </p>
    </section>`;
  }

  private row(track: Track, at: number): TemplateResult {
    const name =
      track.title === undefined
        ? html`${track.name} <span class="badge">Not published</span>`
        : html`<a href="/titles/${track.title}">${track.name}</a>${this.skipped.has(track.id) ? html` <span class="badge">Not yours yet</span>` : nothing}`;
    const on = this.playing?.at === at;
    return html`
      ${this.numbered ? html`<span class="number">${track.number ?? ''}</span>` : nothing}
      <span class="grow">
        ${name}<br />
        <span class="quiet"><a href="/artists/${track.artist.id}">${track.artist.name}</a>${
          track.album === undefined || this.numbered
            ? nothing
            : html` · <a href="/albums/${track.album.id}">${track.album.name}</a>`
        }</span>
      </span>
      ${track.duration_ms === undefined ? nothing : html`<span class="quiet">${clock(track.duration_ms)}</span>`}
      ${
        track.title === undefined
          ? html`<span class="act"></span>`
          : html`<button class="second act" aria-label=${`Play ${track.name}`} aria-pressed=${on ? 'true' : 'false'} ?disabled=${this.busy} @click=${() => this.play(at)}>${on ? 'Playing' : 'Play'}</button>`
      }
    `;
  }
}

customElements.define('track-list', TrackList);
