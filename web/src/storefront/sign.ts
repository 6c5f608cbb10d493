import { html, nothing, type TemplateResult } from 'lit';
import { client, set } from './account.ts';
import { Page } from './page.ts';
import { navigate, withNext } from './router.ts';

const PASSWORD_CHARACTERS_MIN = 8;

/** Signing in, or with `fresh` signing up. */
export class SignPage extends Page {
  static override properties = {
    ...Page.properties,
    fresh: { type: Boolean },
    next: { type: String },
  };

  declare fresh: boolean;
  declare next: string;

  constructor() {
    super();
    this.fresh = false;
    this.next = '/';
  }

  protected override get signsIn(): boolean {
    return true;
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(fields.get(name) ?? '');
    const went = await this.attempt(async () => {
      const [email, password] = [text('email').trim(), text('password')];
      set(
        this.fresh
          ? await client.signUp(email, password, text('name').trim())
          : await client.signIn(email, password),
      );
    });
    if (went) navigate(this.next, true);
  }

  protected override render(): TemplateResult {
    const { fresh } = this;
    const words = fresh ? 'Sign up' : 'Sign in';
    return html`
      ${this.heading(words)} ${this.alert()}
      <form id=${fresh ? 'sign-up' : 'sign-in'} @submit=${this.submit}>
        ${fresh ? html`<label>Name <input name="name" autocomplete="name" required maxlength="100" /></label>` : nothing}
        <label>Email <input name="email" type="email" autocomplete="email" required maxlength="254" /></label>
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
            ? html`<p class="quiet" id="password-rule">At least ${PASSWORD_CHARACTERS_MIN} characters.</p>`
            : nothing
        }
        <div class="actions"><button type="submit" ?disabled=${this.busy}>${words}</button></div>
      </form>
      ${
        fresh
          ? html`<p>Have an account? <a href=${withNext('/sign-in', this.next)}>Sign in</a></p>`
          : html`<p>New here? <a href=${withNext('/sign-up', this.next)}>Sign up</a></p>`
      }
    `;
  }
}

customElements.define('sign-page', SignPage);
