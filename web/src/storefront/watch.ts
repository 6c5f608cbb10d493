import { html, nothing, type TemplateResult } from 'lit';
import type { MatineePlayer } from '../player/element.ts';
import type { Snapshot } from '../player/player.ts';
import { Page } from './page.ts';
import { navigate } from './router.ts';

/** Playing: the address alone is enough, so a reload goes on with the same view. */
export class WatchPage extends Page {
  static override properties = {
    ...Page.properties,
    entitlement: { type: String },
    snapshot: { state: true },
  };

  declare entitlement: string;
  declare snapshot: Snapshot | undefined;

  constructor() {
    super();
    this.entitlement = '';
  }

  private async end(): Promise<void> {
    const player = this.querySelector<MatineePlayer>('matinee-player');
    const ended = await this.attempt(async () => player?.end());
    if (ended) navigate('/library');
  }

  protected override render(): TemplateResult {
    const { snapshot } = this;
    return html`
      ${this.heading(snapshot?.title || 'Playing')} ${this.alert()}
      <matinee-player
        entitlement=${this.entitlement}
        @matinee-change=${(event: CustomEvent<Snapshot>) => {
          this.snapshot = event.detail;
        }}
      ></matinee-player>
      <div class="actions">
        ${
          snapshot?.state === 'playable'
            ? html`<p><button id="end" ?disabled=${this.busy} @click=${this.end}>Stop and end this view</button></p>`
            : nothing
        }
      </div>
    `;
  }
}

customElements.define('watch-page', WatchPage);
