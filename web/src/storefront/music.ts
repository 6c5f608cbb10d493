// Looking through the catalogue: most played, artists, one artist, one album, one genre.
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { Listing } from './more.ts';
import { Page } from './page.ts';
import { type Album, type CatalogueName, type Rows, shop, type Track } from './shop.ts';
import './tracks.ts';

function albums(list: Album[]): TemplateResult {
  return html`<ul class="rows">
    ${list.map(
      (album) =>
        html`<li><span class="grow"><a href="/albums/${album.id}">${album.name}</a></span>${
          album.year === undefined ? nothing : html`<span class="quiet">${album.year}</span>`
        }</li>`,
    )}
  </ul>`;
}

/** A page of tracks with something above them. */
abstract class TracksPage extends Page {
  protected readonly listing = new Listing<Track>((cursor) => this.fetchTracks(cursor));

  protected abstract fetchTracks(cursor: string | null): Promise<Rows<Track>>;

  protected abstract fetchHead(): Promise<void>;

  protected load(): Promise<boolean> {
    return this.attempt(
      async () => {
        await Promise.all([this.fetchHead(), this.listing.load()]);
      },
      () => void this.load(),
    );
  }

  protected tracks(): TemplateResult | typeof nothing {
    const { rows } = this.listing;
    if (rows === undefined) return this.waiting();
    if (rows.length === 0) return html`<p class="quiet">No tracks here yet.</p>`;
    return html`<track-list .tracks=${rows}></track-list>
      ${this.listing.button(this.busy, () => void this.attempt(() => this.listing.more()))}`;
  }
}

export class MusicPage extends TracksPage {
  static override properties = { ...Page.properties, genres: { state: true } };

  declare genres: CatalogueName[];

  constructor() {
    super();
    this.genres = [];
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  protected override fetchTracks(cursor: string | null): Promise<Rows<Track>> {
    return shop.tracks(cursor);
  }

  protected override async fetchHead(): Promise<void> {
    this.genres = await shop.genres();
  }

  protected override render(): TemplateResult {
    return html`${this.heading('Music')} ${this.alert()}
      <p class="chips">
        <a class="chip" href="/artists">Artists</a>
        ${this.genres.map(({ id, name }) => html`<a class="chip" href="/genres/${id}">${name}</a>`)}
      </p>
      <h2>Most played</h2>
      ${this.tracks()}`;
  }
}

export class GenrePage extends TracksPage {
  static override properties = { ...Page.properties, genre: { type: String }, name: { state: true } };

  declare genre: string;
  declare name: string;

  constructor() {
    super();
    this.genre = '';
    this.name = 'Genre';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('genre')) void this.load();
  }

  protected override fetchTracks(cursor: string | null): Promise<Rows<Track>> {
    return shop.genreTracks(this.genre, cursor);
  }

  protected override async fetchHead(): Promise<void> {
    const genres = await shop.genres();
    this.name = genres.find(({ id }) => String(id) === this.genre)?.name ?? 'Genre';
  }

  protected override render(): TemplateResult {
    return html`${this.heading(this.name)} ${this.alert()} ${this.tracks()}`;
  }
}

export class ArtistPage extends TracksPage {
  static override properties = { ...Page.properties, artist: { type: String }, found: { state: true } };

  declare artist: string;
  declare found: { artist: CatalogueName; albums: Album[] } | undefined;

  constructor() {
    super();
    this.artist = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('artist')) void this.load();
  }

  protected override fetchTracks(cursor: string | null): Promise<Rows<Track>> {
    return shop.artistTracks(this.artist, cursor);
  }

  protected override async fetchHead(): Promise<void> {
    this.found = await shop.artist(this.artist);
  }

  protected override render(): TemplateResult {
    const { found } = this;
    return html`${this.heading(found?.artist.name ?? 'Artist')} ${this.alert()}
      ${found === undefined || found.albums.length === 0 ? nothing : html`<h2>Albums</h2>${albums(found.albums)}`}
      <h2>Most played</h2>
      ${this.tracks()}`;
  }
}

export class AlbumPage extends Page {
  static override properties = { ...Page.properties, album: { type: String }, found: { state: true } };

  declare album: string;
  declare found: { album: Album; tracks: Track[] } | undefined;

  constructor() {
    super();
    this.album = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('album')) void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      async () => {
        this.found = await shop.album(this.album);
      },
      () => void this.load(),
    );
  }

  protected override render(): TemplateResult {
    const { found } = this;
    if (found === undefined) return html`${this.heading('Album')} ${this.alert()} ${this.waiting()}`;
    const { name, year, artist } = found.album;
    return html`${this.heading(name)} ${this.alert()}
      <p class="quiet"><a href="/artists/${artist.id}">${artist.name}</a>${year === undefined ? nothing : html` · ${year}`}</p>
      <track-list numbered .tracks=${found.tracks}></track-list>`;
  }
}

export class ArtistsPage extends Page {
  private readonly listing = new Listing<CatalogueName>(shop.artists);

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      () => this.listing.load(),
      () => void this.load(),
    );
  }

  protected override render(): TemplateResult {
    const { rows } = this.listing;
    return html`${this.heading('Artists')} ${this.alert()}
      ${
        rows === undefined
          ? this.waiting()
          : rows.length === 0
            ? html`<p class="quiet">No artists yet.</p>`
            : html`<ul class="columns">${rows.map(({ id, name }) => html`<li><a href="/artists/${id}">${name}</a></li>`)}</ul>`
      }
      ${this.listing.button(this.busy, () => void this.attempt(() => this.listing.more()))}`;
  }
}

customElements.define('music-page', MusicPage);
customElements.define('genre-page', GenrePage);
customElements.define('artist-page', ArtistPage);
customElements.define('album-page', AlbumPage);
customElements.define('artists-page', ArtistsPage);
