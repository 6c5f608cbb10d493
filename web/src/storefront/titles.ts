import { html, nothing, type TemplateResult } from 'lit';
import type { Title } from '../player/api.ts';
import { duration } from '../player/wording.ts';
import { client } from './account.ts';
import { Page } from './page.ts';
import { money } from './wording.ts';

/** All titles. */
export class TitlesPage extends Page {
  static override properties = { ...Page.properties, titles: { state: true } };

  declare titles: Title[] | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(async () => {
      this.titles = await client.titles();
    });
  }

  protected override render(): TemplateResult {
    return html`${this.heading('Titles')} ${this.alert()} ${this.list()}`;
  }

  private list(): TemplateResult | typeof nothing {
    if (this.titles === undefined)
      return this.busy ? html`<p class="quiet" role="status">Loading…</p>` : nothing;
    if (this.titles.length === 0) return html`<p class="quiet">Nothing has been published yet.</p>`;
    return html`<ul class="cards">
      ${this.titles.map((title) => html`<li class="card">${card(title)}</li>`)}
    </ul>`;
  }
}

function card(title: Title): TemplateResult {
  const length = title.release?.files.find(({ duration_ms }) => duration_ms != null)?.duration_ms;
  const cheapest = [...title.plans].sort((one, other) => one.price.minor - other.price.minor)[0];
  return html`
    <h2><a href="/titles/${title.id}">${title.name}</a></h2>
    <p class="quiet">${title.publisher}${length == null ? '' : ` · ${duration(length)}`}</p>
    ${cheapest === undefined ? nothing : html`<p>${money(cheapest.price)}</p>`}
  `;
}

customElements.define('titles-page', TitlesPage);
