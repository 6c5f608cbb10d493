import { html, nothing, type TemplateResult } from 'lit';
import { Listing } from './more.ts';
import { Part } from './page.ts';
import { type Payment, type Purchase, shop, type WalletEntry } from './shop.ts';
import { date, kindOf, money } from './wording.ts';

/** What moved money in a wallet (`server/src/store/ledger.rs`). */
const KINDS: Record<string, string> = {
  top_up: 'Paid in',
  purchase: 'Bought',
  renewal: 'Renewed',
  refund: 'Refunded',
  refund_failed: 'Refunded',
  refund_sent: 'Sent back to you',
  dispute: 'Taken back by the bank',
  dispute_won: 'Given again by the bank',
};

const STATES: Record<string, string> = {
  created: 'Begun',
  pending: 'Waiting for you to pay',
  succeeded: 'Paid',
  failed: 'Failed',
  refunded: 'Refunded',
  disputed: 'Taken back by the bank',
};

/** Purchases with what was paid for them, payments and how they stand, and every movement of the wallet. */
export class AccountPayments extends Part {
  static override properties = { ...Part.properties };

  private readonly purchases = new Listing<Purchase>(shop.purchases);
  private readonly payments = new Listing<Payment>(shop.payments);
  private readonly entries = new Listing<WalletEntry>(shop.entries);

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      async () => {
        await Promise.all([this.purchases.load(), this.payments.load(), this.entries.load()]);
      },
      () => void this.load(),
    );
  }

  private more(listing: { more(): Promise<void> }): void {
    void this.attempt(() => listing.more());
  }

  protected override render(): TemplateResult {
    return html`${this.alert()} ${this.bought()} ${this.paid()} ${this.moved()}`;
  }

  private bought(): TemplateResult {
    const { rows } = this.purchases;
    return html`<h2>Purchases</h2>
      ${
        rows === undefined
          ? this.waiting()
          : rows.length === 0
            ? html`<p class="quiet">Nothing was bought yet.</p>`
            : html`<ul class="rows">
                ${rows.map(
                  (one) => html`<li class="purchase">
                    <span class="grow"><a href="/purchases/${one.id}">${one.name || kindOf(one)}</a><br />
                      <span class="quiet">${one.renews === null ? '' : 'Renewal, '}${kindOf(one)}, ${date(one.created_at_ms)}</span></span>
                    <span class="amount">${money(one.amount)}${one.refunded_minor > 0 ? html`<br /><span class="quiet">${money({ ...one.amount, minor: one.refunded_minor })} back</span>` : nothing}</span>
                  </li>`,
                )}
              </ul>`
      }
      ${this.purchases.button(this.busy, () => this.more(this.purchases))}`;
  }

  private paid(): TemplateResult | typeof nothing {
    const { rows } = this.payments;
    if (rows === undefined) return nothing;
    return html`<h2>Payments</h2>
      ${
        rows.length === 0
          ? html`<p class="quiet">Nothing was paid yet.</p>`
          : html`<ul class="rows">
              ${rows.map(
                (one) => html`<li class="payment">
                  <span class="grow">${STATES[one.state] ?? one.state}${one.provider === 'simulated' ? ' (simulated, no real money)' : ''}<br />
                    <span class="quiet">${one.renews === undefined ? '' : 'Renewal, '}${date(one.created_at_ms)}${one.failure === undefined ? '' : `: ${one.failure}`}</span></span>
                  ${one.checkout_url === undefined ? nothing : html`<a class="button second" href=${one.checkout_url}>Go on paying</a>`}
                  <span class="amount">${money(one.amount)}</span>
                </li>`,
              )}
            </ul>`
      }
      ${this.payments.button(this.busy, () => this.more(this.payments))}`;
  }

  private moved(): TemplateResult | typeof nothing {
    const { rows } = this.entries;
    if (rows === undefined) return nothing;
    return html`<h2>Your wallet</h2>
      ${
        rows.length === 0
          ? html`<p class="quiet">Nothing has moved yet.</p>`
          : html`<ul class="rows">
              ${rows.map(
                (one) => html`<li class="entry">
                  <span class="grow">${KINDS[one.kind] ?? one.kind}<br /><span class="quiet">${date(one.at_ms)}</span></span>
                  <span class="amount">${one.amount.minor > 0 ? '+' : ''}${money(one.amount)}</span>
                </li>`,
              )}
            </ul>`
      }
      ${this.entries.button(this.busy, () => this.more(this.entries))}`;
  }
}

customElements.define('account-payments', AccountPayments);
