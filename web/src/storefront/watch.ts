import { html, nothing, type TemplateResult } from 'lit';
import type { MatineePlayer } from '../player/element.ts';
import type { FileFacts } from '../player/messages.ts';
import type { Snapshot } from '../player/player.ts';
import { framed } from './framed.ts';
import { Page } from './page.ts';
import { navigate, withNext } from './router.ts';

/** Playing: the address alone is enough, so a reload goes on with the same view. */
export class WatchPage extends Page {
  static override properties = {
    ...Page.properties,
    entitlement: { type: String },
    titleId: { attribute: false },
    snapshot: { state: true },
    file: { state: true },
  };

  declare entitlement: string;
  /** What to play, where the entitlement is to a collection. */
  declare titleId: string | undefined;
  declare snapshot: Snapshot | undefined;
  /** The file chosen; undefined leaves it to the player. */
  declare file: number | undefined;

  constructor() {
    super();
    this.entitlement = '';
  }

  private changed({ detail }: CustomEvent<Snapshot>): void {
    this.snapshot = detail;
    if (detail.code === 'session_required')
      navigate(withNext('/sign-in', `${location.pathname}${location.search}`), true);
  }

  private async end(): Promise<void> {
    const player = this.querySelector<MatineePlayer>('matinee-player');
    const ended = await this.attempt(async () => player?.end());
    if (!ended) return;
    if (framed) history.back();
    else navigate('/library');
  }

  protected override render(): TemplateResult {
    const { snapshot } = this;
    return html`
      ${this.heading(snapshot?.title || 'Playing')} ${this.alert()}
      <matinee-player
        entitlement=${this.entitlement}
        .titleId=${this.titleId}
        .file=${this.file}
        @matinee-change=${this.changed}
      ></matinee-player>
      ${this.files()} ${this.about()}
      <div class="actions">
        ${
          snapshot?.state === 'playable'
            ? html`<p><button id="end" ?disabled=${this.busy} @click=${this.end}>Stop and end this view</button></p>`
            : nothing
        }
      </div>
    `;
  }

  /** A release of several files: those that play are chosen here, the others opened or saved. */
  private files(): TemplateResult | typeof nothing {
    const { snapshot } = this;
    if (snapshot?.state !== 'playable' || snapshot.files.length < 2) return nothing;
    const entry = ({ name, media_type }: FileFacts, at: number): TemplateResult =>
      /^(video|audio)\//.test(media_type)
        ? html`<li><button class="plain" @click=${() => this.choose(at)}>${name}</button></li>`
        : html`<li><a href=${`/play/${snapshot.release}/${at}/${encodeURIComponent(name)}`} target="_blank">${name}</a></li>`;
    return html`<h2>Files</h2>
      <ul>
        ${snapshot.files.map(entry)}
      </ul>`;
  }

  /** Back to the title: its other plans, and what to buy when a preview ends. */
  private about(): TemplateResult | typeof nothing {
    if (this.titleId === undefined || framed) return nothing;
    return html`<p><a id="about" href="/titles/${this.titleId}">About this title</a></p>`;
  }

  private choose(file: number): void {
    this.file = file;
  }
}

customElements.define('watch-page', WatchPage);
