import { html, nothing, type TemplateResult } from 'lit';
import { type Account, ApiError } from '../player/api.ts';
import { account, client, isGuest, set } from './account.ts';
import { newPassword } from './new-password.ts';
import { Page } from './page.ts';
import { navigate } from './router.ts';

/** Where a link out of a mailbox leads. It signs in only when somebody says so: mail programs look at links too. */
export class LinkPage extends Page {
  static override properties = {
    ...Page.properties,
    token: { state: true },
    renews: { state: true },
    elsewhere: { state: true },
    ended: { state: true },
  };

  /** Empty when there is nothing to sign in with, or not any more. */
  declare token: string;
  /** Whether another password is set. */
  declare renews: boolean;
  /** Whether the link was asked for in another browser. */
  declare elsewhere: boolean;
  /** Whether what opened the account before ended with it. */
  declare ended: boolean;

  constructor() {
    super();
    this.renews = false;
    this.elsewhere = false;
    this.ended = false;
    this.token = '';
  }

  protected override get signsIn(): boolean {
    return true;
  }

  private readonly take = (): void => {
    if (location.hash === '') return;
    this.token = location.hash.slice(1);
    this.problem = '';
    this.ended = false;
    // Gone from the address before anything else can read it there.
    history.replaceState(null, '', location.pathname);
  };

  override connectedCallback(): void {
    super.connectedCallback();
    this.take();
    // Another link in the same tab loads no page.
    addEventListener('hashchange', this.take);
    if (this.token === '') this.problem = 'Open the link in the email once more, or ask for another.';
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener('hashchange', this.take);
  }

  /** Whether somebody is signed in here whose address is not confirmed; of which account the link is, only using it tells. */
  private get confirms(): boolean {
    return account()?.email_verified === false && !isGuest();
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const confirming = this.confirms ? account()?.id : undefined;
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const body: Record<string, unknown> = { token: this.token };
    if (this.elsewhere) body.email = String(fields.get('email') ?? '').trim();
    if (this.renews) body.new_password = String(fields.get('password') ?? '');
    const went = await this.attempt(() => this.enter(body));
    const next = confirming !== undefined && confirming === account()?.id ? '/account' : '/';
    if (went && this.token === '' && !this.ended) navigate(next, true);
  }

  private async enter(body: Record<string, unknown>): Promise<void> {
    try {
      const call = { method: 'POST', path: '/v1/sign-in-link-sessions', body } as const;
      const answer = await client.call<{ account: Account; ways_ended?: boolean }>(call);
      this.token = '';
      // Whoever sets a password anyway need not be told that the one before is gone.
      this.ended = answer.ways_ended === true && !this.renews;
      set(answer.account);
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      if (cause.code.startsWith('link_') && cause.status === 401) this.token = '';
      if (cause.code !== 'link_elsewhere' || this.elsewhere) throw cause;
      this.elsewhere = true;
      await this.updateComplete;
      this.querySelector<HTMLInputElement>('[name=email]')?.focus();
    }
  }

  protected override render(): TemplateResult {
    if (this.ended) {
      return html`
        ${this.heading('Your address is confirmed')}
        <p role="status" id="ways-ended">
          You are signed in. Nobody had confirmed this address before, and whoever opened the account may not have been
          you: so the password and passkeys from before no longer work, every other browser is signed out, and the devices
          from before are removed.
        </p>
        <p class="actions">
          <a class="button" href="/">All titles</a>
          <a class="button second" href="/account">Set a password</a>
        </p>
      `;
    }
    return html`
      ${this.heading(this.confirms ? 'Confirm an address' : 'Sign in')} ${this.alert()}
      ${this.token === '' ? html`<p><a href="/sign-in">Back to signing in</a></p>` : this.form()}
    `;
  }

  private form(): TemplateResult {
    const { renews } = this;
    const go = this.confirms ? 'Confirm the address and sign in' : 'Sign in';
    const what =
      'This signs you in to the account that the link was sent to, and confirms that its address is yours.';
    return html`
      <form id="link" @submit=${this.submit}>
        ${this.confirms ? html`<p>${what}</p>` : nothing}
        ${this.elsewhere ? this.address() : nothing} ${renews ? newPassword('password') : nothing}
        <div class="actions">
          <button type="submit" ?disabled=${this.busy}>${renews ? 'Set it and sign in' : go}</button>
          <button type="button" class="plain" id="renew" @click=${() => (this.renews = !renews)}>
            ${renews ? 'Keep the password' : 'Set another password'}
          </button>
        </div>
      </form>
    `;
  }

  private address(): TemplateResult {
    return html`
      <p class="told" role="status">
        This link was asked for in another browser. If you asked for it, say which address it was sent to. If somebody gave
        it to you, do not: you would be signed in to an account that is not yours.
      </p>
      <label>Email <input name="email" type="email" autocomplete="email" required maxlength="254" /></label>
    `;
  }
}

customElements.define('link-page', LinkPage);
