// The plans of a title or a collection: terms, price, a coupon that lowers it before anything is paid, and the buttons.
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { ApiError, type Plan } from '../player/api.ts';
import { account, isGuest, refresh, set } from './account.ts';
import { IdempotencyKey, Part } from './page.ts';
import { backFromPaying } from './payment-notice.ts';
import { withNext } from './router.ts';
import { type Quote, shop } from './shop.ts';
import { money, priceInWords, span, terms } from './wording.ts';

/** Plans that a coupon is tried on. */
const COUPON_PLANS_MAX = 20;

/** `<plan-offers>` tells of a purchase by the event `bought`. */
export class PlanOffers extends Part {
  static override properties = {
    ...Part.properties,
    plans: { attribute: false },
    names: { attribute: false },
    highest: { attribute: false },
    quotes: { state: true },
    coupon: { state: true },
    said: { state: true },
  };

  declare plans: Plan[];
  /** What ids in a plan are called: titles of a bundle, the collection. */
  declare names: Map<string, string>;
  /** The highest tier that is known of the collection. */
  declare highest: number;
  /** What this account would pay, by plan; only where it was asked. */
  declare quotes: Map<string, Quote>;
  /** The code that the quotes were made with. */
  declare coupon: string;
  declare said: string;
  private readonly key = new IdempotencyKey();

  constructor() {
    super();
    this.plans = [];
    this.names = new Map();
    this.highest = 1;
    this.quotes = new Map();
    this.coupon = '';
    this.said = '';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('plans')) {
      this.quotes = new Map();
      this.coupon = '';
      void this.askTrials();
    }
  }

  /** Whether a trial is still there for this account is the server's to say; until it has, it is. */
  private async askTrials(): Promise<void> {
    if (account() === undefined || isGuest()) return;
    const tried = this.plans.filter((plan) => plan.trial_ms != null).slice(0, COUPON_PLANS_MAX);
    const quotes = await Promise.all(tried.map((plan) => shop.quote(plan.id, '').catch(() => undefined)));
    const known = new Map(this.quotes);
    for (const quote of quotes) if (quote !== undefined) known.set(quote.plan.id, quote);
    this.quotes = known;
  }

  private async apply(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const code = String(new FormData(form).get('coupon') ?? '').trim();
    this.said = '';
    if (code === '') return;
    await this.attempt(async () => {
      const quotes = new Map<string, Quote>();
      let refused: unknown;
      const priced = this.plans.filter((plan) => plan.price.minor > 0).slice(0, COUPON_PLANS_MAX);
      await Promise.all(
        priced.map(async (plan) => {
          try {
            quotes.set(plan.id, await shop.quote(plan.id, code));
          } catch (cause) {
            if (!(cause instanceof ApiError && cause.code === 'coupon_refused')) throw cause;
            refused = cause;
          }
        }),
      );
      if (quotes.size === 0) throw refused ?? new Error('nothing here costs anything');
      this.quotes = quotes;
      this.coupon = code;
      this.said =
        quotes.size === priced.length
          ? `${code.toUpperCase()} lowers the price.`
          : `${code.toUpperCase()} lowers the price of some of these plans.`;
    });
  }

  private takeOff(): void {
    this.coupon = '';
    this.said = '';
    this.quotes = new Map();
    void this.askTrials();
  }

  private async buy(plan: Plan, trial: boolean): Promise<void> {
    const coupon = this.coupon !== '' && this.quotes.has(plan.id) ? this.coupon : undefined;
    await this.attempt(async () => {
      if (account() === undefined && plan.guests) set(await shop.guest());
      const body = {
        plan: plan.id,
        ...(coupon === undefined ? {} : { coupon }),
        ...(trial ? { trial } : {}),
      };
      await this.key.once(JSON.stringify(body), (key) => shop.buy(body, key));
      await this.tell();
    });
  }

  /** Buys past the wallet: the provider's own page takes the payment and sends the payer back. */
  private async pay(plan: Plan): Promise<void> {
    await this.attempt(async () => {
      const { payment } = await this.key.once(`pay ${plan.id}`, (key) => shop.checkout(plan.id, key));
      if (payment.checkout_url !== undefined) {
        backFromPaying.keep(payment.id, `${location.pathname}${location.search}`);
        location.assign(payment.checkout_url);
        return;
      }
      this.said = payment.provider === 'simulated' ? `${money(plan.price)} paid by a simulated payment.` : '';
      await this.tell();
    });
  }

  private async tell(): Promise<void> {
    await refresh().catch(() => undefined);
    this.dispatchEvent(new CustomEvent('bought'));
  }

  protected override render(): TemplateResult | typeof nothing {
    if (this.plans.length === 0) return nothing;
    return html`${this.alert()}
      <ul class="offers">
        ${this.plans.map((plan, at) => html`<li class="card offer">${this.offer(plan, at === 0)}</li>`)}
      </ul>
      ${this.couponForm()}`;
  }

  private offer(plan: Plan, first: boolean): TemplateResult {
    const tiers = this.plans
      .filter(({ collection }) => collection === plan.collection)
      .map(({ tier }) => tier ?? 1);
    const { name, lines } = terms(plan, Math.max(this.highest, ...tiers));
    const quote = this.quotes.get(plan.id);
    const lowered = quote !== undefined && quote.amount.minor < plan.price.minor;
    const price = lowered
      ? html`<del><span class="hidden">Before: </span>${money(plan.price)}</del>
          <ins class="lowered">${money(quote.amount)}</ins>${plan.period == null ? nothing : html` <span class="quiet">for the first ${plan.period}, then ${priceInWords(plan)}</span>`}`
      : priceInWords(plan);
    return html`
      <h3>${name}</h3>
      <p class="price">${price}</p>
      <ul class="terms">
        ${this.bundled(plan)} ${lines.map((line) => html`<li>${line}</li>`)}
        ${quote?.tax == null ? nothing : html`<li>With ${quote.tax.rate_basis_points / 100} % tax in ${quote.tax.country}: ${money({ ...quote.amount, minor: quote.tax.tax_minor })}</li>`}
      </ul>
      <div class="actions">${this.buttons(plan, quote, first)}</div>
    `;
  }

  private bundled(plan: Plan): TemplateResult | typeof nothing {
    const many = plan.titles ?? [];
    if (many.length > 1) {
      const named = many.map((title, at) => {
        const name = this.names.get(title);
        const comma = at === 0 ? '' : ', ';
        return name === undefined ? nothing : html`${comma}<a href="/titles/${title}">${name}</a>`;
      });
      return html`<li>${many.length} titles: ${named}</li>`;
    }
    const collection = plan.collection == null ? undefined : this.names.get(plan.collection);
    return collection === undefined
      ? nothing
      : html`<li>Part of <a href="/collections/${plan.collection}">${collection}</a></li>`;
  }

  private buttons(plan: Plan, quote: Quote | undefined, first: boolean): TemplateResult {
    const amount = quote?.amount ?? plan.price;
    const free = amount.minor === 0;
    const id = (name: string) => (first ? name : nothing);
    const here = `${location.pathname}${location.search}`;
    const signedIn = account();
    if (signedIn === undefined || (isGuest() && !plan.guests)) {
      if (plan.guests && signedIn === undefined)
        return this.button(plan, false, 'Play free, without an account', id('buy'));
      const words = free ? 'Sign in to have it' : `Sign in to buy for ${money(amount)}`;
      return html`<a class="button" id=${id('sign-in-to-buy')} href=${withNext('/sign-in', here)}>${words}</a>`;
    }
    const trial = plan.trial_ms != null && quote?.trial !== false && this.coupon === '';
    const tries = trial
      ? this.button(plan, true, `Try ${span(plan.trial_ms ?? 0)} for nothing`, id('try'))
      : nothing;
    if (free) return html`${tries} ${this.button(plan, false, 'Get it free', id('buy'))}`;
    const byCard =
      amount.minor === plan.price.minor && !isGuest() ? this.cardButton(plan, id('pay')) : nothing;
    if (signedIn.wallet.minor < amount.minor) {
      return html`${tries}
        <a class="button" id=${id('top-up-to-buy')} href=${withNext('/wallet', here)}>Top up to buy for ${money(amount)}</a>
        ${byCard} <span class="quiet">Your wallet holds ${money(signedIn.wallet)}.</span>`;
    }
    return html`${tries} ${this.button(plan, false, `Buy for ${money(amount)}`, id('buy'), trial)} ${byCard}`;
  }

  /** A coupon lowers what the wallet pays; by card a plan costs its price. */
  private cardButton(plan: Plan, id: string | typeof nothing): TemplateResult {
    const saved =
      plan.period == null
        ? nothing
        : html` <span class="quiet">The card is saved, and charged each ${plan.period}.</span>`;
    return html`<button id=${id} class="second" data-plan=${plan.id} ?disabled=${this.busy} @click=${() => this.pay(plan)}>
        Pay by card</button>${saved}`;
  }

  private button(
    plan: Plan,
    trial: boolean,
    text: string,
    id: string | typeof nothing,
    second = false,
  ): TemplateResult {
    return html`<button
      id=${id}
      class=${second ? 'buy second' : 'buy'}
      data-plan=${plan.id}
      ?disabled=${this.busy}
      @click=${() => this.buy(plan, trial)}
    >
      ${text}
    </button>`;
  }

  private couponForm(): TemplateResult | typeof nothing {
    const priced = this.plans.some((plan) => plan.price.minor > 0);
    if (!priced || account() === undefined || isGuest()) return nothing;
    const off =
      this.coupon === ''
        ? nothing
        : html`<button type="button" class="plain" id="coupon-off" @click=${this.takeOff}>Take it off</button>`;
    return html`<form class="inline" id="coupon" @submit=${this.apply}>
        <label>Coupon <input name="coupon" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="64" /></label>
        <button type="submit" class="second" ?disabled=${this.busy}>Apply</button>
        ${off}
      </form>
      <p role="status" class="said" id="coupon-said">${this.said}</p>
      <p class="quiet">Have a gift code instead? <a href="/gift">Redeem it</a>.</p>`;
  }
}

customElements.define('plan-offers', PlanOffers);
