import { html, nothing, type TemplateResult } from 'lit';
import { account, isGuest, refresh } from './account.ts';
import { newPassword } from './new-password.ts';
import { Part } from './page.ts';
import { shop } from './shop.ts';

/** The password: another one, or the first. */
export class AccountPassword extends Part {
  static override properties = { ...Part.properties, opened: { state: true }, done: { state: true } };

  /** Whether the form is shown. */
  declare opened: boolean;
  declare done: boolean;

  constructor() {
    super();
    this.opened = false;
    this.done = false;
  }

  /** Being refused means a wrong password. */
  protected override get signsIn(): boolean {
    return true;
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const old = fields.get('password');
    const next = String(fields.get('new_password') ?? '');
    const went = await this.attempt(async () => {
      await shop.setPassword(old === null ? undefined : String(old), next);
      await refresh();
    });
    if (!went) return;
    this.done = true;
    await this.show(false);
  }

  private async show(opened: boolean): Promise<void> {
    this.opened = opened;
    this.problem = '';
    await this.updateComplete;
    this.querySelector<HTMLElement>(opened ? 'input' : 'button')?.focus();
  }

  protected override render(): TemplateResult | typeof nothing {
    const signedIn = account();
    if (signedIn === undefined || isGuest()) return nothing;
    const has = signedIn.has_password;
    return html`
      <section id="password" aria-labelledby="password-heading">
        <h2 id="password-heading">Password</h2>
        ${this.alert()}
        ${
          this.opened
            ? this.form(has)
            : html`<button
                class="second"
                @click=${() => {
                  this.done = false;
                  void this.show(true);
                }}
              >
                ${has ? 'Change the password' : 'Set a password'}
              </button>`
        }
        ${
          this.done
            ? html`<p class="said" role="status">The password is set. Every other browser is signed out.</p>`
            : nothing
        }
      </section>
    `;
  }

  private form(has: boolean): TemplateResult {
    return html`
      <form @submit=${this.submit}>
        ${
          has
            ? html`<label>
                Your password until now
                <input name="password" type="password" required autocomplete="current-password" maxlength="256" />
              </label>`
            : nothing
        }
        ${newPassword('new_password')}
        <div class="actions">
          <button type="submit" ?disabled=${this.busy}>Set it</button>
          <button type="button" class="second" @click=${() => this.show(false)}>
            ${has ? 'Keep the old one' : 'Leave it'}
          </button>
        </div>
      </form>
    `;
  }
}

customElements.define('account-password', AccountPassword);
