import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import type { Title } from '../player/api.ts';
import { expect, firstPlayable, prepare } from '../player/prepare.ts';
import { bytes, duration } from '../player/wording.ts';
import { account, client, known } from './account.ts';
import { framed } from './framed.ts';
import './offers.ts';
import { Page } from './page.ts';
import { poster } from './poster.ts';
import './premiere.ts';
import { navigate, watchPath, withNext } from './router.ts';
import { shop, type Way } from './shop.ts';
import { date, day, entitlementInWords, where } from './wording.ts';

/** Titles of bundles whose names are asked for. */
const BUNDLE_NAMES_MAX = 12;

/** One title: what it is, the button that plays it, and every way to have it. */
export class TitlePage extends Page {
  static override properties = {
    ...Page.properties,
    titleId: { type: String, attribute: 'title-id' },
    found: { state: true },
    ways: { state: true },
    names: { state: true },
  };

  declare titleId: string;
  declare found: Title | undefined;
  /** By what this account may play it, the best first. */
  declare ways: Way[];
  declare names: Map<string, string>;

  constructor() {
    super();
    this.titleId = '';
    this.ways = [];
    this.names = new Map();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('titleId') || this.titleId === '') return;
    if (this.found?.id !== this.titleId) [this.found, this.ways] = [undefined, []];
    void this.load();
  }

  private async load(): Promise<void> {
    const id = this.titleId;
    await this.attempt(
      async () => {
        const [found] = await Promise.all([client.title(id), known()]);
        // What is playable is shown with the title at once: what stands below does not move.
        const ways = account() === undefined ? [] : await shop.ways(id);
        [this.found, this.ways] = [found, ways];
        if (account() !== undefined && found.release !== null) prepare(client.server);
        this.foretell();
      },
      () => void this.load(),
    );
    if (this.found !== undefined) void this.learnNames(this.found);
  }

  private async learnNames({ id, name, plans, collections }: Title): Promise<void> {
    const names = new Map<string, string>([[id, name]]);
    for (const collection of collections ?? []) names.set(collection.id, collection.name);
    this.names = names;
    const others = new Set(plans.flatMap(({ titles }) => titles ?? []));
    others.delete(id);
    const few = [...others].slice(0, BUNDLE_NAMES_MAX);
    if (few.length === 0) return;
    const found = await Promise.all(few.map((other) => client.title(other).catch(() => undefined)));
    const all = new Map(names);
    for (const title of found) if (title !== undefined) all.set(title.id, title.name);
    this.names = all;
  }

  /** The way that a view opens by now. */
  private get way(): Way | undefined {
    return this.ways.find(({ code }) => code === null);
  }

  /** Play is the likely next step: the player is told what that would be. */
  private foretell(): void {
    const { way, found } = this;
    if (way === undefined || found?.release == null) return;
    const { id, files } = found.release;
    const { entitlement } = way;
    const title = entitlement.title === found.id ? undefined : found.id;
    expect({ entitlement: entitlement.id, title, release: id, file: firstPlayable(files) });
  }

  private async bought(): Promise<void> {
    const { found } = this;
    const before = new Set(this.ways.map(({ entitlement }) => entitlement.id));
    await this.attempt(async () => {
      this.ways = await shop.ways(this.titleId);
    });
    if (account() !== undefined && found?.release != null) prepare(client.server);
    this.foretell();
    const { way } = this;
    // What was bought to be seen now is shown now.
    if (way !== undefined && !before.has(way.entitlement.id))
      navigate(watchPath(way.entitlement, this.titleId));
  }

  private async preview(): Promise<void> {
    await this.attempt(async () => {
      const { id } = await shop.preview(this.titleId);
      // The title is named, so that the page which plays it leads back here.
      navigate(`/watch/${id}?title=${this.titleId}`);
    });
  }

  protected override render(): TemplateResult {
    const { found } = this;
    if (found === undefined) return html`${this.heading('Title')} ${this.alert()} ${this.waiting()}`;
    return html`
      <div class="head">
        ${poster(found.id, found.name)}
        <div>
          ${this.heading(found.name)} ${this.alert()}
          <p class="quiet">${this.facts(found)}</p>
          ${found.countries == null ? nothing : html`<p class="quiet" id="countries">${where(found.countries)}.</p>`}
          ${this.play(found)}
        </div>
      </div>
      ${framed ? nothing : html`${this.offers(found)} ${this.files(found)}`}
    `;
  }

  private facts(title: Title): TemplateResult {
    const length = title.release?.files.find(({ duration_ms }) => duration_ms != null)?.duration_ms;
    return html`${title.publisher}${length == null ? nothing : html` · ${duration(length)}`}${
      title.private ? html` · <span class="badge">For members of a group</span>` : nothing
    }`;
  }

  private play(title: Title): TemplateResult | typeof nothing {
    const now = client.clock.now();
    if (title.available_until_ms != null && title.available_until_ms <= now)
      return html`<p class="note">This title is no longer available.</p>`;
    if (title.release === null) return html`<p class="note">Not released yet.</p>`;
    const from = title.available_from_ms ?? 0;
    if (from > now) {
      const mine = this.ways.some(({ entitlement }) => entitlement.kind !== 'preview');
      return html`<premiere-countdown at=${from} @premiere=${() => this.load()}></premiere-countdown>
        ${mine ? html`<p id="entitlement">It is yours: it plays here from that moment on.</p>` : nothing}`;
    }
    const leaves =
      title.available_until_ms == null
        ? nothing
        : html`<p class="quiet">Here until ${date(title.available_until_ms)}.</p>`;
    const { way } = this;
    if (way === undefined || way.entitlement.kind === 'preview') {
      return html`${this.refused()} ${this.previews(title)} ${leaves}`;
    }
    const { entitlement } = way;
    return html`<p id="entitlement">${this.by(way)}${entitlementInWords(entitlement)}</p>
      <p><a class="button large" id="play" href=${watchPath(entitlement, title.id)}>Play</a></p>
      ${leaves}`;
  }

  /** Through which collection, where it is one. */
  private by({ entitlement }: Way): TemplateResult | typeof nothing {
    const name = entitlement.collection == null ? undefined : this.names.get(entitlement.collection);
    return name === undefined
      ? nothing
      : html`Yours through <a href="/collections/${entitlement.collection}">${name}</a>. `;
  }

  /** Why what the account has does not open it now. */
  private refused(): TemplateResult | typeof nothing {
    const refused = this.ways.find(({ message }) => message !== null);
    if (refused?.message == null) return nothing;
    const text = refused.message;
    return html`<p class="note" id="refused">${text.charAt(0).toUpperCase()}${text.slice(1)}.</p>`;
  }

  private previews(title: Title): TemplateResult | typeof nothing {
    if (!title.preview_ms) return nothing;
    const words = `Watch the first ${duration(title.preview_ms)} free`;
    return account() === undefined
      ? html`<p><a class="button second" id="sign-in-to-preview" href=${withNext('/sign-in', location.pathname)}>Sign in to watch the first ${duration(title.preview_ms)} free</a></p>`
      : html`<p><button class="second" id="preview" ?disabled=${this.busy} @click=${this.preview}>${words}</button></p>`;
  }

  private offers(title: Title): TemplateResult | typeof nothing {
    const over = title.available_until_ms != null && title.available_until_ms <= client.clock.now();
    if (over || title.plans.length === 0) return nothing;
    const list = html`<plan-offers .plans=${title.plans} .names=${this.names} @bought=${this.bought}></plan-offers>`;
    // Whoever has it is not asked to buy it again, but may.
    const early = (title.available_from_ms ?? 0) > client.clock.now();
    const has = ({ entitlement, code }: Way) => entitlement.kind !== 'preview' && (code === null || early);
    if (this.ways.some(has)) {
      return html`<details class="fold"><summary>Other ways to have it</summary>${list}</details>`;
    }
    return html`<h2>${title.plans.length > 1 ? 'Choose a plan' : 'The plan'}</h2>${list}`;
  }

  private files(title: Title): TemplateResult | typeof nothing {
    if (title.release === null) return nothing;
    return html`<details class="fold" ?open=${title.release.files.length > 1}>
      <summary>What is in it</summary>
      <ul class="plainlist">
        ${title.release.files.map(
          (file) => html`<li>
            ${file.name} <span class="quiet">${bytes(file.size_bytes)}${file.duration_ms == null ? '' : `, ${duration(file.duration_ms)}`}</span>
          </li>`,
        )}
      </ul>
    </details>`;
  }
}

customElements.define('title-page', TitlePage);

/** When a title opens, where that is still to come. */
export function opensLater(from_ms: number | null | undefined): TemplateResult | typeof nothing {
  if (from_ms == null || from_ms <= client.clock.now()) return nothing;
  return html`<span class="badge">Premiere ${day(from_ms)}</span>`;
}
