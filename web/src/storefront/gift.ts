import { html, type nothing, type PropertyValues, type TemplateResult } from 'lit';
import { account, isGuest, known } from './account.ts';
import { IdempotencyKey, Page } from './page.ts';
import { withNext } from './router.ts';
import { type Bought, shop } from './shop.ts';
import { entitlementInWords, kindOf } from './wording.ts';

/** Redeeming a gift code: it gives its plan, once. The code may stand in the address that came with the gift. */
export class GiftPage extends Page {
  static override properties = { ...Page.properties, code: { attribute: false }, given: { state: true } };

  declare code: string;
  declare given: Bought | undefined;
  private readonly key = new IdempotencyKey();

  constructor() {
    super();
    this.code = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(() => known());
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const code = String(new FormData(event.currentTarget as HTMLFormElement).get('code') ?? '').trim();
    await this.attempt(async () => {
      this.given = await this.key.once(code, (key) => shop.redeem(code, key));
    });
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    if (changed.has('given') && this.given !== undefined) this.querySelector<HTMLElement>('h1')?.focus();
  }

  protected override render(): TemplateResult {
    const { given } = this;
    if (given !== undefined) return html`${this.heading('It is yours')} ${this.gift(given)}`;
    return html`${this.heading('Redeem a gift code')} ${this.alert()} ${this.form()}`;
  }

  private gift(given: Bought): TemplateResult {
    const all = given.entitlements ?? [given.entitlement];
    const [first] = all;
    const path = first?.title == null ? `/collections/${first?.collection}` : `/titles/${first.title}`;
    return html`<ul class="plainlist" id="given">
        ${all.map((one) => html`<li><span class="badge">${kindOf(one)}</span> ${entitlementInWords(one)}</li>`)}
      </ul>
      <p class="actions"><a class="button" id="go-on" href=${path}>See what you were given</a> <a href="/library">Library</a></p>`;
  }

  private form(): TemplateResult | typeof nothing {
    const here = `${location.pathname}${location.search}`;
    if (account() === undefined || isGuest()) {
      return html`<p>A gift code gives a title or a subscription to an account.</p>
        <p class="actions">
          <a class="button" href=${withNext('/sign-in', here)}>Sign in</a>
          <a class="button second" href=${withNext('/sign-up', here)}>Sign up</a>
        </p>`;
    }
    return html`<form id="gift" @submit=${this.submit}>
      <label>
        Code
        <input
          name="code"
          .value=${this.code}
          required
          autocomplete="off"
          autocapitalize="characters"
          spellcheck="false"
          maxlength="64"
          aria-describedby="code-rule"
        />
      </label>
      <p class="quiet" id="code-rule">As it stands on the gift, such as ABCDE-FGHJK-MNPQR-STVWX. It works once.</p>
      <div class="actions"><button type="submit" ?disabled=${this.busy}>Redeem</button></div>
    </form>`;
  }
}

customElements.define('gift-page', GiftPage);
