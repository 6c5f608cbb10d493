import { html, nothing, type TemplateResult } from 'lit';
import type { Entitlement, Title } from '../player/api.ts';
import { client } from './account.ts';
import { Page } from './page.ts';
import { entitlementInWords, playable } from './wording.ts';

/** What this account may play, and what it could once. */
export class LibraryPage extends Page {
  static override properties = { ...Page.properties, entitlements: { state: true }, titles: { state: true } };

  declare entitlements: Entitlement[] | undefined;
  declare titles: Map<string, Title>;

  constructor() {
    super();
    this.titles = new Map();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(async () => {
      const [entitlements, titles] = await Promise.all([client.entitlements(), client.titles()]);
      this.titles = new Map(titles.map((title) => [title.id, title]));
      this.entitlements = entitlements;
    });
  }

  protected override render(): TemplateResult {
    return html`${this.heading('Library')} ${this.alert()} ${this.list()}`;
  }

  private list(): TemplateResult | typeof nothing {
    const { entitlements } = this;
    if (entitlements === undefined)
      return this.busy ? html`<p class="quiet" role="status">Loading…</p>` : nothing;
    if (entitlements.length === 0) {
      return html`<p class="quiet">Nothing here yet. <a href="/">Find a title</a>.</p>`;
    }
    return html`<ul class="cards">
      ${entitlements.map((entitlement) => html`<li class="card">${this.card(entitlement)}</li>`)}
    </ul>`;
  }

  private card(entitlement: Entitlement): TemplateResult {
    const name = this.titles.get(entitlement.title)?.name ?? 'A title that is no longer listed';
    return html`
      <h2><a href="/titles/${entitlement.title}">${name}</a></h2>
      <p class="quiet">${entitlementInWords(entitlement)}</p>
      ${
        playable(entitlement)
          ? html`<p><a class="button" href="/watch/${entitlement.id}" aria-label=${`Play ${name}`}>Play</a></p>`
          : nothing
      }
    `;
  }
}

customElements.define('library-page', LibraryPage);
