import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import type { Entitlement, Plan, Title } from '../player/api.ts';
import { expect, firstPlayable, prepare } from '../player/prepare.ts';
import { bytes, duration } from '../player/wording.ts';
import { account, client, known, refresh } from './account.ts';
import { IdempotencyKey, Page } from './page.ts';
import { navigate, withNext } from './router.ts';
import { entitlementInWords, money, planInWords, playable } from './wording.ts';

/** One title: what it is, what it costs, and the button that plays it. */
export class TitlePage extends Page {
  static override properties = {
    ...Page.properties,
    titleId: { type: String, attribute: 'title-id' },
    found: { state: true },
    entitlement: { state: true },
  };

  declare titleId: string;
  declare found: Title | undefined;
  declare entitlement: Entitlement | undefined;
  private readonly key = new IdempotencyKey();

  constructor() {
    super();
    this.titleId = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('titleId') && this.titleId !== '') void this.load();
  }

  private async load(): Promise<void> {
    await this.attempt(async () => {
      [this.found] = await Promise.all([client.title(this.titleId), known()]);
      if (account() === undefined) return;
      const entitlements = await client.entitlements();
      this.entitlement = entitlements.find((owned) => owned.title === this.titleId && playable(owned));
      if (this.found.release !== null) prepare(client.server);
      this.foretell();
    });
  }

  /** Play is the likely next step: the player is told what that would be. */
  private foretell(): void {
    const { entitlement, found } = this;
    if (entitlement === undefined || found?.release == null) return;
    const { id, files } = found.release;
    expect({ entitlement: entitlement.id, release: id, file: firstPlayable(files) });
  }

  private async buy(plan: Plan): Promise<void> {
    const bought = await this.attempt(async () => {
      this.entitlement = await client.purchase(plan.id, this.key.for(plan.id));
      this.key.answered();
      await refresh();
    });
    this.foretell();
    if (bought && this.entitlement !== undefined) navigate(`/watch/${this.entitlement.id}`);
  }

  protected override render(): TemplateResult {
    const { found } = this;
    if (found === undefined) {
      const words = this.busy ? html`<p class="quiet" role="status">Loading…</p>` : nothing;
      return html`${this.heading('Title')} ${this.alert()} ${words}`;
    }
    return html`
      ${this.heading(found.name)} ${this.alert()}
      <p class="quiet">${found.publisher}</p>
      ${this.files(found)} ${this.ways(found)}
    `;
  }

  private files(title: Title): TemplateResult {
    if (title.release === null) return html`<p>Not released yet.</p>`;
    return html`<ul>
      ${title.release.files.map(
        (file) => html`<li>
          ${file.name}, ${bytes(file.size_bytes)}${file.duration_ms == null ? '' : `, ${duration(file.duration_ms)}`}
        </li>`,
      )}
    </ul>`;
  }

  private ways(title: Title): TemplateResult | typeof nothing {
    if (title.release === null) return nothing;
    const { entitlement } = this;
    if (entitlement !== undefined) {
      return html`<p id="entitlement">${entitlementInWords(entitlement)}</p>
        <p><a class="button" id="play" href="/watch/${entitlement.id}">Play</a></p>`;
    }
    return html`<ul class="cards">
      ${title.plans.map((plan) => html`<li class="card">${this.way(plan)}</li>`)}
    </ul>`;
  }

  private way(plan: Plan): TemplateResult {
    const here = `/titles/${this.titleId}`;
    const price = money(plan.price);
    const wallet = account()?.wallet;
    const words = html`<p>${planInWords(plan)}</p>`;
    if (wallet === undefined) {
      const link = withNext('/sign-in', here);
      return html`${words}<p><a class="button" id="sign-in-to-buy" href=${link}>Sign in to buy for ${price}</a></p>`;
    }
    if (wallet.minor < plan.price.minor) {
      const link = withNext('/wallet', here);
      return html`${words}
        <p>Your wallet holds ${money(wallet)}.</p>
        <p><a class="button" id="top-up-to-buy" href=${link}>Top up to buy for ${price}</a></p>`;
    }
    return html`${words}
      <p><button id="buy" ?disabled=${this.busy} @click=${() => this.buy(plan)}>Buy for ${price}</button></p>
      <p class="quiet">Paid from your wallet, which holds ${money(wallet)}.</p>`;
  }
}

customElements.define('title-page', TitlePage);
