import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { account, known } from './account.ts';
import { Page } from './page.ts';
import { type Purchase, shop } from './shop.ts';
import { date, kindOf, money } from './wording.ts';

/** What was bought and paid, with the tax inside: to be read, and to be printed. */
export class PurchasePage extends Page {
  static override properties = { ...Page.properties, purchase: { type: String }, found: { state: true } };

  declare purchase: string;
  declare found: Purchase | undefined;

  constructor() {
    super();
    this.purchase = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('purchase') && this.purchase !== '') void this.load();
  }

  private async load(): Promise<void> {
    await this.attempt(
      async () => {
        await known();
        this.found = await shop.purchase(this.purchase);
      },
      () => void this.load(),
    );
  }

  protected override render(): TemplateResult {
    const { found } = this;
    if (found === undefined) return html`${this.heading('Purchase')} ${this.alert()} ${this.waiting()}`;
    const { amount, tax } = found;
    const of = (minor: number) => money({ ...amount, minor });
    const row = (name: string, value: unknown) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
    return html`${this.heading(found.name || kindOf(found))} ${this.alert()}
      <dl class="facts bill">
        ${row('What', kindOf(found))} ${row('When', date(found.created_at_ms))}
        ${row('Who', `${account()?.name ?? ''} (${account()?.email ?? ''})`)}
        ${found.coupon === null ? nothing : row('Coupon', found.coupon)}
        ${tax === null ? nothing : html`${row('Without tax', of(tax.net_minor))} ${row(`Tax, ${tax.rate_basis_points / 100} % in ${tax.country}`, of(tax.tax_minor))}`}
        ${row('Paid', html`<strong>${money(amount)}</strong>`)}
        ${found.refunded_minor === 0 ? nothing : row('Paid back', of(found.refunded_minor))}
        ${row('Number', html`<code>${found.id}</code>`)}
      </dl>
      <p class="actions noprint">
        <button class="second" @click=${() => print()}>Print</button> <a href="/account/payments">All payments</a>
      </p>`;
  }
}

customElements.define('purchase-page', PurchasePage);
