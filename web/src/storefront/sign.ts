import { html, nothing, type TemplateResult } from 'lit';
import type { Account } from '../player/api.ts';
import { client, set } from './account.ts';
import { Page } from './page.ts';
import * as passkey from './passkey.ts';
import { navigate, withNext } from './router.ts';
import {
  goTo,
  LINK_RULE,
  PASSWORD_CHARACTERS_MIN,
  problemIn,
  sendLink,
  type Ways,
  ways,
} from './sign_in_ways.ts';

/** Signing in, or with `fresh` signing up. */
export class SignPage extends Page {
  static override properties = {
    ...Page.properties,
    fresh: { type: Boolean },
    next: { type: String },
    ways: { state: true },
    sent: { state: true },
  };

  declare fresh: boolean;
  declare next: string;
  declare ways: Ways | undefined;
  /** What is said once a link is on its way. */
  declare sent: string;

  constructor() {
    super();
    this.fresh = false;
    this.next = '/';
    this.sent = '';
  }

  protected override get signsIn(): boolean {
    return true;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.problem = problemIn(location.search);
    // Without an answer there is the password, which is always there.
    void ways().then(
      (found) => (this.ways = found),
      () => undefined,
    );
  }

  private async enter(work: () => Promise<Account>): Promise<void> {
    const went = await this.attempt(async () => set(await work()));
    if (went) navigate(this.next, true);
  }

  private submit(event: SubmitEvent): void {
    event.preventDefault();
    const { email, name, password } = read(event.currentTarget as HTMLFormElement);
    void this.enter(() =>
      this.fresh ? client.signUp(email, password, name) : client.signIn(email, password),
    );
  }

  private async sendLink(event: Event): Promise<void> {
    const { form } = event.currentTarget as HTMLButtonElement;
    const address = form?.querySelector<HTMLInputElement>('[name=email]');
    if (!address?.reportValidity()) return;
    this.sent = '';
    const email = address.value.trim();
    if (!(await this.attempt(() => sendLink(email)))) return;
    this.sent = `If there is an account with the address ${email}, a link is on its way to it. ${LINK_RULE}`;
  }

  private signUpByPasskey(event: Event): void {
    const { form } = event.currentTarget as HTMLButtonElement;
    if (form === null) return;
    // The password is asked for on the other way only.
    const wanted = [...form.querySelectorAll<HTMLInputElement>('[name=name], [name=email]')];
    if (!wanted.every((input) => input.reportValidity())) return;
    const { email, name } = read(form);
    void this.enter(() => passkey.signUp(email, name));
  }

  protected override render(): TemplateResult {
    const { fresh } = this;
    const words = fresh ? 'Sign up' : 'Sign in';
    const passkeys = this.ways?.passkeys === true && passkey.supported();
    return html`
      ${this.heading(words)} ${this.alert()}
      <form id=${fresh ? 'sign-up' : 'sign-in'} @submit=${this.submit}>
        ${fresh ? nothing : this.others(passkeys)}
        ${fresh ? html`<label>Name <input name="name" autocomplete="name" required maxlength="100" /></label>` : nothing}
        <label>Email <input name="email" type="email" autocomplete="email" required maxlength="254" /></label>
        ${
          fresh && passkeys
            ? html`<button
                  type="button"
                  id="passkey-sign-up"
                  ?disabled=${this.busy}
                  @click=${this.signUpByPasskey}
                >
                  Sign up with a passkey
                </button>
                <p class="or"><span>or with a password</span></p>`
            : nothing
        }
        <label>
          Password
          <input
            name="password"
            type="password"
            required
            minlength=${fresh ? PASSWORD_CHARACTERS_MIN : 1}
            maxlength="256"
            autocomplete=${fresh ? 'new-password' : 'current-password'}
            aria-describedby=${fresh ? 'password-rule' : nothing}
          />
        </label>
        ${
          fresh
            ? html`<p class="quiet hint" id="password-rule">At least ${PASSWORD_CHARACTERS_MIN} characters.</p>`
            : nothing
        }
        <div class="actions">
          <button type="submit" ?disabled=${this.busy}>${words}</button>
          ${
            !fresh && this.ways?.mail === true
              ? html`<button type="button" class="plain" id="send-link" ?disabled=${this.busy} @click=${this.sendLink}>
                  Send me a sign-in link
                </button>`
              : nothing
          }
        </div>
        ${this.sent === '' ? nothing : html`<p class="said" role="status" id="link-sent">${this.sent}</p>`}
      </form>
      ${
        fresh
          ? html`<p>Have an account? <a href=${withNext('/sign-in', this.next)}>Sign in</a></p>`
          : html`<p>New here? <a href=${withNext('/sign-up', this.next)}>Sign up</a></p>`
      }
    `;
  }

  /** The ways without a password, above it. */
  private others(passkeys: boolean): TemplateResult | typeof nothing {
    const providers = this.ways?.providers ?? [];
    if (!passkeys && providers.length === 0) return nothing;
    return html`
      ${
        passkeys
          ? html`<button
              type="button"
              id="passkey-sign-in"
              ?disabled=${this.busy}
              @click=${() => this.enter(passkey.signIn)}
            >
              Sign in with a passkey
            </button>`
          : nothing
      }
      ${providers.map(
        ({ name, label }) => html`<button
          type="button"
          class="second"
          data-provider=${name}
          ?disabled=${this.busy}
          @click=${() => goTo(name, this.next)}
        >
          Sign in with ${label}
        </button>`,
      )}
      <p class="or"><span>or with a password</span></p>
    `;
  }
}

function read(form: HTMLFormElement): { email: string; name: string; password: string } {
  const fields = new FormData(form);
  const text = (name: string): string => String(fields.get(name) ?? '');
  return { email: text('email').trim(), name: text('name').trim(), password: text('password') };
}

customElements.define('sign-page', SignPage);
