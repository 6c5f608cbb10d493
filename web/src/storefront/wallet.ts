import { html, nothing, type TemplateResult } from 'lit';
import { account, known, setWallet } from './account.ts';
import { IdempotencyKey, Page } from './page.ts';
import { navigate, withNext } from './router.ts';
import { shop } from './shop.ts';
import { money } from './wording.ts';

/** Amounts to choose from, in minor units of the wallet's currency. */
const AMOUNTS_MINOR = [500, 1_000, 2_000, 5_000];

/** What is in the wallet, and topping it up. */
export class WalletPage extends Page {
  static override properties = { ...Page.properties, next: { type: String }, done: { state: true } };

  declare next: string;
  declare done: string;
  private readonly key = new IdempotencyKey();

  constructor() {
    super();
    this.next = '/';
    this.done = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(async () => {
      await known();
      if (account() === undefined) navigate(withNext('/sign-in', '/wallet'), true);
    });
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const wallet = account()?.wallet;
    if (wallet === undefined) return;
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const amount = { minor: Number(fields.get('amount')), currency: wallet.currency };
    this.done = '';
    await this.attempt(async () => {
      const { wallet, payment } = await this.key.once(String(amount.minor), (key) => shop.topUp(amount, key));
      setWallet(wallet);
      // The provider's own page takes the payment, and sends the payer back here.
      if (payment.checkout_url !== undefined) location.assign(payment.checkout_url);
      else
        this.done = `${money(amount)} added${payment.provider === 'simulated' ? ' by a simulated payment' : ''}.`;
    });
  }

  protected override render(): TemplateResult {
    const wallet = account()?.wallet;
    return html`${this.heading('Wallet')} ${this.alert()} ${wallet === undefined ? nothing : this.form(wallet)}`;
  }

  private form(wallet: { minor: number; currency: string }): TemplateResult {
    return html`
      <p class="balance" id="balance">${money(wallet)}</p>
      <h2>Top up</h2>
      <p class="note">
        No card is asked for here: a payment provider's own page takes the payment. Where none is set up, the payment is
        <strong>simulated</strong> and no real money moves.
      </p>
      <form id="top-up" @submit=${this.submit}>
        <label>
          Amount
          <select name="amount">
            ${AMOUNTS_MINOR.map(
              (minor) => html`<option value=${minor}>${money({ minor, currency: wallet.currency })}</option>`,
            )}
          </select>
        </label>
        <div class="actions">
          <button type="submit" ?disabled=${this.busy}>Top up</button>
        </div>
      </form>
      <p role="status" id="topped-up">${this.done}</p>
      <p><a href="/account/payments">What moved your money</a> · <a href="/gift">Redeem a gift code</a></p>
      ${this.next === '/' ? nothing : html`<p><a class="button" id="go-on" href=${this.next}>Go on</a></p>`}
    `;
  }
}

customElements.define('wallet-page', WalletPage);
