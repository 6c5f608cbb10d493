import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import type { Title } from '../player/api.ts';
import { Page } from './page.ts';
import { shop, type Track } from './shop.ts';
import { card } from './titles.ts';
import './tracks.ts';

/** How long typing rests before the server is asked. */
const REST_MS = 150;
const TITLES_MAX = 12;
const TRACKS_MAX = 50;

/** Titles and tracks as one types. */
export class SearchPage extends Page {
  static override properties = {
    ...Page.properties,
    words: { attribute: false },
    titles: { state: true },
    tracks: { state: true },
    found: { state: true },
  };

  declare words: string;
  declare titles: Title[];
  declare tracks: Track[];
  /** What the results are for; another text than `words` while the server is being asked. */
  declare found: string;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.words = '';
    this.titles = [];
    this.tracks = [];
    this.found = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    // Typed, gone to with words in the address, or back to them.
    if (changed.has('words') && this.words !== this.found && this.timer === undefined) void this.look();
  }

  protected override firstUpdated(): void {
    // The field says what the page is.
    this.querySelector('input')?.focus();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
  }

  private typed(event: Event): void {
    const { value } = event.currentTarget as HTMLInputElement;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.words = value;
      // The address says what is looked for, without a step back for each letter.
      const query = value.trim() === '' ? '' : `?${new URLSearchParams({ q: value })}`;
      history.replaceState(null, '', `${location.pathname}${query}`);
    }, REST_MS);
  }

  private async look(): Promise<void> {
    const asked = this.words;
    if (asked.trim() === '') {
      [this.titles, this.tracks, this.found] = [[], [], ''];
      return;
    }
    await this.attempt(
      async () => {
        const [titles, tracks] = await Promise.all([
          shop.titlesNamed(asked, TITLES_MAX),
          shop.tracksFound(asked, TRACKS_MAX),
        ]);
        // An answer that comes late is not for what stands there now.
        if (asked !== this.words) return;
        [this.titles, this.tracks, this.found] = [titles, tracks, asked];
      },
      () => void this.look(),
    );
  }

  protected override render(): TemplateResult {
    return html`${this.heading('Search')}
      <search>
        <form class="inline" role="search" @submit=${(event: Event) => event.preventDefault()}>
          <label class="wide">
            Titles, tracks, artists
            <input type="search" name="q" .value=${this.words} @input=${this.typed} autocomplete="off" spellcheck="false" maxlength="200" />
          </label>
        </form>
      </search>
      ${this.alert()}
      <p role="status" class="said">${this.said()}</p>
      ${
        this.titles.length === 0
          ? nothing
          : html`<h2>Titles</h2><ul class="cards">${this.titles.map((title) => html`<li class="card">${card(title)}</li>`)}</ul>`
      }
      ${this.tracks.length === 0 ? nothing : html`<h2>Tracks</h2><track-list .tracks=${this.tracks}></track-list>`}`;
  }

  private said(): string {
    if (this.found === '') return this.words.trim() === '' ? 'Type what you are looking for.' : '';
    const found = this.titles.length + this.tracks.length;
    return found === 0 ? `Nothing is called “${this.found}”. Try fewer letters.` : `${found} found.`;
  }
}

customElements.define('search-page', SearchPage);
