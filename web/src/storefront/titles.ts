import { html, nothing, type TemplateResult } from 'lit';
import type { Title } from '../player/api.ts';
import { duration } from '../player/wording.ts';
import { known } from './account.ts';
import { Listing } from './more.ts';
import { Page } from './page.ts';
import { poster } from './poster.ts';
import { type Offered, shop, type Track } from './shop.ts';
import { opensLater } from './title.ts';
import { fromPrice, terms } from './wording.ts';

/** All titles, and before them the collections that are sold together. */
export class TitlesPage extends Page {
  static override properties = { ...Page.properties, offered: { state: true }, music: { state: true } };

  declare offered: Offered[];
  declare music: Track[];
  private readonly titles = new Listing(shop.titles);

  constructor() {
    super();
    this.offered = [];
    this.music = [];
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      async () => {
        // Private titles are listed for their group: who is asking has to be known to the server, not to this page.
        const [offered, music] = await Promise.all([
          shop.collections(null),
          shop.tracks(null),
          this.titles.load(),
          known(),
        ]);
        this.offered = offered.rows;
        this.music = music.rows;
      },
      () => void this.load(),
    );
  }

  private more(): void {
    void this.attempt(() => this.titles.more());
  }

  protected override render(): TemplateResult {
    return html`${this.heading('Titles')} ${this.alert()} ${this.collections()} ${this.list()} ${this.listen()}`;
  }

  private collections(): TemplateResult | typeof nothing {
    if (this.offered.length === 0) return html`<h2 class="hidden">All titles</h2>`;
    return html`<h2>Collections</h2>
      <ul class="cards">
        ${this.offered.map(({ collection, plans }) => {
          const [first] = plans;
          return html`<li class="card">
            <a class="cover" href="/collections/${collection.id}">${poster(collection.id, collection.name)}<h3>${collection.name}</h3></a>
            <p class="quiet">${collection.publisher}${first === undefined ? nothing : html` · ${terms(first).name}`}</p>
            <p>${fromPrice(plans)}</p>
          </li>`;
        })}
      </ul>
      <h2>All titles</h2>`;
  }

  private list(): TemplateResult | typeof nothing {
    const { rows } = this.titles;
    if (rows === undefined) return this.waiting();
    if (rows.length === 0) return html`<p class="quiet">Nothing has been published yet.</p>`;
    return html`<ul class="cards">
        ${rows.map((title) => html`<li class="card">${card(title)}</li>`)}
      </ul>
      ${this.titles.button(this.busy, () => this.more())}`;
  }

  private listen(): TemplateResult | typeof nothing {
    if (this.music.length === 0) return nothing;
    return html`<h2>Music</h2>
      <p>
        <a class="button second" href="/music">Most played</a> <a class="button second" href="/artists">Artists</a>
      </p>`;
  }
}

export function card(title: Title): TemplateResult {
  const length = title.release?.files.find(({ duration_ms }) => duration_ms != null)?.duration_ms;
  return html`
    <a class="cover" href="/titles/${title.id}">${poster(title.id, title.name)}<h3>${title.name}</h3></a>
    <p class="quiet">${title.publisher}${length == null ? nothing : html` · ${duration(length)}`}</p>
    <p>
      ${fromPrice(title.plans)} ${opensLater(title.available_from_ms)}
      ${title.private ? html`<span class="badge">Members</span>` : nothing}
    </p>
  `;
}

customElements.define('titles-page', TitlesPage);
