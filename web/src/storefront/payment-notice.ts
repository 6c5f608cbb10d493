import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { refresh } from './account.ts';
import { Part } from './page.ts';
import { type Payment, shop } from './shop.ts';
import { money } from './wording.ts';

/** How often, and how far apart, a payment that the provider has not told of is asked about. */
const LOOKS_MAX = 20;
const LOOK_MS = 3_000;

/** Where a payer was when the provider's page took over, for this tab and as long as it is open. */
export const backFromPaying = {
  keep(payment: string, path: string): void {
    sessionStorage.setItem(`paying/${payment}`, path);
  },
  /** Nothing where it was another tab, or another device. */
  path: (payment: string): string | null => sessionStorage.getItem(`paying/${payment}`),
};

/** How a payment stands whose payer comes back from the provider's page. */
export class PaymentNotice extends Part {
  static override properties = { ...Part.properties, payment: { type: String }, found: { state: true } };

  declare payment: string;
  declare found: Payment | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.payment = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('payment') && this.payment !== '') void this.look(LOOKS_MAX);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
  }

  private async look(left: number): Promise<void> {
    await this.attempt(async () => {
      this.found = await shop.payment(this.payment);
      if (this.found.state === 'succeeded') await refresh();
    });
    const open = this.found?.state === 'created' || this.found?.state === 'pending';
    if (open && left > 0 && this.isConnected)
      this.timer = setTimeout(() => void this.look(left - 1), LOOK_MS);
  }

  protected override render(): TemplateResult | typeof nothing {
    const { found } = this;
    return html`${this.alert()}${found === undefined ? nothing : html`<p class="note" role="status">${this.said(found)}</p>`}`;
  }

  private said(found: Payment): TemplateResult {
    const amount = money(found.amount);
    const back = backFromPaying.path(this.payment);
    switch (found.state) {
      case 'succeeded':
        return html`${amount} was paid. ${back === null ? nothing : html`<a class="button" id="go-on" href=${back}>Go on</a>`}
          <a href="/library">Your library</a>`;
      case 'failed':
        return html`The payment of ${amount} failed${found.failure === undefined ? '' : `: ${found.failure}`}.
          <a href=${back ?? '/wallet'}>Try again</a>`;
      case 'created':
      case 'pending':
        return html`The payment of ${amount} is on its way. ${found.checkout_url === undefined ? nothing : html`<a href=${found.checkout_url}>Go on paying</a>`}`;
      default:
        return html`The payment of ${amount} was taken back.`;
    }
  }
}

customElements.define('payment-notice', PaymentNotice);
