import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import type { Entitlement } from '../player/api.ts';
import { account, client, known } from './account.ts';
import { Listing } from './more.ts';
import './offers.ts';
import { Page } from './page.ts';
import { poster } from './poster.ts';
import { watchPath } from './router.ts';
import { type CollectionPage as Answer, type Held, shop } from './shop.ts';
import { opensLater } from './title.ts';
import { entitlementInWords, kindOf, playable } from './wording.ts';

/** Titles that are sold together: the plans, and each title with Play for those who may. */
export class CollectionPage extends Page {
  static override properties = {
    ...Page.properties,
    collectionId: { type: String, attribute: 'collection-id' },
    found: { state: true },
    mine: { state: true },
  };

  declare collectionId: string;
  declare found: Answer | undefined;
  /** The account's rights to this collection that are open, the widest first. */
  declare mine: Entitlement[];
  private readonly titles = new Listing<Held>(async (cursor) => {
    const page = await shop.collection(this.collectionId, cursor);
    this.found ??= page;
    return { rows: page.titles, next: page.next };
  });

  constructor() {
    super();
    this.collectionId = '';
    this.mine = [];
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('collectionId') && this.collectionId !== '') void this.load();
  }

  private async load(): Promise<void> {
    await this.attempt(
      async () => {
        this.found = undefined;
        await known();
        // Both are there before anything is shown: what stands below the plans does not move.
        const [mine] = await Promise.all([this.rights(), this.titles.load()]);
        this.mine = mine;
      },
      () => void this.load(),
    );
  }

  private async rights(): Promise<Entitlement[]> {
    if (account() === undefined) return [];
    const { entitlements } = await shop.owned();
    return entitlements
      .filter((owned) => owned.collection === this.collectionId && playable(owned))
      .sort((one, other) => (other.tier ?? 0) - (one.tier ?? 0));
  }

  private bought(): void {
    void this.attempt(async () => {
      this.mine = await this.rights();
    });
    this.querySelector<HTMLElement>('h1')?.focus();
  }

  private more(): void {
    void this.attempt(() => this.titles.more());
  }

  protected override render(): TemplateResult {
    const { found } = this;
    if (found === undefined) return html`${this.heading('Collection')} ${this.alert()} ${this.waiting()}`;
    const { collection, plans } = found;
    const names = new Map<string, string>();
    const highest = Math.max(1, ...(this.titles.rows ?? []).map(({ tier }) => tier));
    const offers = html`<plan-offers .plans=${plans} .names=${names} .highest=${highest} @bought=${this.bought}></plan-offers>`;
    return html`
      <div class="head">
        ${poster(collection.id, collection.name)}
        <div>
          ${this.heading(collection.name)} ${this.alert()}
          <p class="quiet">${collection.publisher}</p>
          ${this.standing()}
        </div>
      </div>
      ${
        this.mine.length === 0
          ? html`<h2>${plans.length > 1 ? 'Choose a plan' : 'The plan'}</h2>${offers}`
          : html`<details class="fold"><summary>Other plans</summary>${offers}</details>`
      }
      <h2>In this collection</h2>
      ${this.list(plans.some(({ tier }) => (tier ?? 1) > 1))}
    `;
  }

  private standing(): TemplateResult | typeof nothing {
    if (this.mine.length === 0) return nothing;
    return html`<div id="entitlement">
        ${this.mine.map(
          (right) => html`<p><span class="badge">${kindOf(right)}</span> ${entitlementInWords(right)}</p>`,
        )}
      </div>
      <p><a href="/library">Give up or see its history in your library</a></p>`;
  }

  private list(tiers: boolean): TemplateResult {
    const { rows = [] } = this.titles;
    if (rows.length === 0)
      return html`<p class="quiet">No titles yet. What is added later is part of every plan.</p>`;
    return html`<ul class="rows">
        ${rows.map(
          (held) => html`<li>
            <span class="grow">
              <a href="/titles/${held.title}">${held.name}</a>
              ${tiers && held.tier > 1 ? html`<span class="badge">Tier ${held.tier}</span>` : nothing}
              ${opensLater(held.available_from_ms)}
            </span>
            ${this.play(held)}
          </li>`,
        )}
      </ul>
      ${this.titles.button(this.busy, () => this.more())}`;
  }

  private play(held: Held): TemplateResult | typeof nothing {
    if ((held.available_from_ms ?? 0) > client.clock.now()) return nothing;
    const right = this.mine.find(({ tier }) => (tier ?? 0) >= held.tier);
    if (right === undefined) return nothing;
    return html`<a class="button play" href=${watchPath(right, held.title)} aria-label=${`Play ${held.name}`}>Play</a>`;
  }
}

customElements.define('collection-page', CollectionPage);
