import { html, nothing, type TemplateResult } from 'lit';
import type { Entitlement } from '../player/api.ts';
import './acts.ts';
import { Page } from './page.ts';
import { poster } from './poster.ts';
import { watchPath } from './router.ts';
import { type Owned, type StatusDocument, shop } from './shop.ts';
import { date, day, entitlementInWords, kindOf, playable, statusInWords } from './wording.ts';

const EVENTS: Record<string, string> = {
  start: 'Started',
  renew: 'Renewed',
  expire: 'Expired',
  cancel: 'Cancelled',
  revoke: 'Revoked',
  return: 'Given back',
  renewal_failed: 'Could not be renewed',
  renewal_given_up: 'Renewal given up',
  renewal_resumed: 'Renewal taken up again',
};

const RENEWED_BY = {
  saved_method: ' The payment method that you saved is charged.',
  wallet: ' It comes out of your wallet.',
};

/** What this account may play, and what it could once; with what can be done about it. */
export class LibraryPage extends Page {
  static override properties = {
    ...Page.properties,
    owned: { state: true },
    told: { state: true },
    done: { state: true },
  };

  declare owned: Owned | undefined;
  /** Status documents that were asked for, by entitlement. */
  declare told: Map<string, StatusDocument>;
  declare done: string;

  constructor() {
    super();
    this.told = new Map();
    this.done = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      async () => {
        const owned = await shop.owned();
        this.owned = owned;
        const renewing = owned.entitlements.filter((one) => playable(one) && one.renews);
        const told = await Promise.all(renewing.map((one) => shop.status(one.id)));
        this.told = new Map([...this.told, ...told.map((one) => [one.entitlement.id, one] as const)]);
      },
      () => void this.load(),
    );
  }

  /** Does something to an entitlement and shows what became of it. */
  private async act(done: string, work: () => Promise<StatusDocument>): Promise<void> {
    this.done = '';
    await this.attempt(async () => {
      const document = await work();
      const { entitlement } = document;
      this.told = new Map(this.told).set(entitlement.id, document);
      if (this.owned === undefined) return;
      const entitlements = this.owned.entitlements.map((one) =>
        one.id === entitlement.id ? entitlement : one,
      );
      this.owned = { ...this.owned, entitlements };
      this.done = done;
    });
  }

  private async tell(entitlement: Entitlement, event: Event): Promise<void> {
    if (!(event.currentTarget as HTMLDetailsElement).open || this.told.has(entitlement.id)) return;
    await this.attempt(async () => {
      this.told = new Map(this.told).set(entitlement.id, await shop.status(entitlement.id));
    });
  }

  protected override render(): TemplateResult {
    return html`${this.heading('Library')} ${this.alert()}
      <p role="status" class="said" id="done">${this.done}</p>
      ${this.list()}`;
  }

  private list(): TemplateResult | typeof nothing {
    const { owned } = this;
    if (owned === undefined) return this.waiting();
    if (owned.entitlements.length === 0) {
      return html`<p class="quiet">Nothing here yet. <a href="/">Find a title</a> or <a href="/gift">redeem a gift code</a>.</p>`;
    }
    const names = new Map([...owned.titles, ...owned.collections].map(({ id, name }) => [id, name]));
    const open = owned.entitlements.filter(playable);
    const over = owned.entitlements.filter((one) => !playable(one));
    const cards = (list: Entitlement[]) =>
      html`<ul class="rights">
        ${list.map((one) => html`<li class="card right" data-entitlement=${one.id}>${this.card(one, names)}</li>`)}
      </ul>`;
    return html`
      ${open.length === 0 ? html`<p class="quiet">Nothing to play at the moment. <a href="/">Find a title</a>.</p>` : cards(open)}
      ${over.length === 0 ? nothing : html`<h2>Over</h2>${cards(over)}`}
    `;
  }

  private card(entitlement: Entitlement, names: Map<string, string>): TemplateResult {
    const { title, collection } = entitlement;
    const what = title ?? collection ?? '';
    const name = names.get(what) ?? 'Something that is no longer listed';
    const path = title == null ? `/collections/${collection}` : `/titles/${title}`;
    const by = this.told.get(entitlement.id)?.renewed_by;
    return html`
      <a class="thumb" href=${path} tabindex="-1" aria-hidden="true">${poster(what, name)}</a>
      <div class="grow">
        <h3><a href=${path}>${name}</a></h3>
        <p>
          <span class=${`badge ${entitlement.status}`}>${statusInWords(entitlement)}</span>
          <span class="badge">${kindOf(entitlement)}</span>
        </p>
        <p class="left">${entitlementInWords(entitlement)}${by === undefined ? '' : RENEWED_BY[by]}</p>
        <div class="actions">${this.acts(entitlement, name, path)}</div>
        <details @toggle=${(event: Event) => this.tell(entitlement, event)}>
          <summary>History</summary>
          ${this.history(entitlement)}
        </details>
      </div>
    `;
  }

  private acts(entitlement: Entitlement, name: string, path: string): TemplateResult | typeof nothing {
    if (!playable(entitlement)) return nothing;
    const { id, title, renews, paid_until_ms } = entitlement;
    const play =
      title == null
        ? html`<a class="button" href=${path} aria-label=${`Titles of ${name}`}>Choose a title</a>`
        : html`<a class="button" href=${watchPath(entitlement, title)} aria-label=${`Play ${name}`}>Play</a>`;
    const until = paid_until_ms == null ? '' : ` It holds until ${day(paid_until_ms)}.`;
    const renewal =
      renews == null
        ? nothing
        : renews
          ? html`<button class="second renewal" ?disabled=${this.busy} @click=${() => this.act(`Not renewed any more.${until}`, () => shop.renewal(id, false))}>Stop renewing</button>`
          : html`<button class="second renewal" ?disabled=${this.busy} @click=${() => this.act('Renewed again each period.', () => shop.renewal(id, true))}>Renew again</button>`;
    return html`${play} ${renewal}
      <careful-button
        text="Give back"
        question="Nothing is paid back for it."
        confirm="Give it back"
        ?disabled=${this.busy}
        @confirmed=${() => this.act(`${name} was given back.`, () => shop.giveBack(id))}
      ></careful-button>`;
  }

  private history({ id }: Entitlement): TemplateResult {
    const told = this.told.get(id);
    if (told === undefined) return html`<p class="quiet">Loading…</p>`;
    if (told.events.length === 0) return html`<p class="quiet">Nothing has happened to it yet.</p>`;
    return html`<ul class="plainlist">
      ${told.events.map(
        ({ type, note, at_ms }) =>
          html`<li>${date(at_ms)}: ${EVENTS[type] ?? type}${note === null ? '' : ` (${note})`}</li>`,
      )}
    </ul>`;
  }
}

customElements.define('library-page', LibraryPage);
