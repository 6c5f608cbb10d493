import { html, nothing, type TemplateResult } from 'lit';
import { account, set } from './account.ts';
import { Part } from './page.ts';
import { shop } from './shop.ts';
import { money } from './wording.ts';

/** What is kept about the account, to take along; and the end of it. */
export class AccountData extends Part {
  static override properties = {
    ...Part.properties,
    done: { state: true },
    closing: { state: true },
  };

  declare done: string;
  declare closing: boolean;

  constructor() {
    super();
    this.done = '';
    this.closing = false;
  }

  protected override get signsIn(): boolean {
    return true;
  }

  private async save(): Promise<void> {
    await this.attempt(async () => {
      const whole = await shop.export();
      const address = URL.createObjectURL(
        new Blob([JSON.stringify(whole, null, 2)], { type: 'application/json' }),
      );
      const link = document.createElement('a');
      link.href = address;
      link.download = 'matinee-account.json';
      link.click();
      // The browser has taken it up by then.
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      this.done = 'Saved as matinee-account.json.';
    });
  }

  private async close(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const password = new FormData(event.currentTarget as HTMLFormElement).get('password');
    const went = await this.attempt(() => shop.close(password === null ? undefined : String(password)));
    if (!went) return;
    this.dispatchEvent(new Event('closed', { bubbles: true }));
    set(undefined);
  }

  protected override render(): TemplateResult {
    return html`${this.alert()}
      <h2>Take it along</h2>
      <p>Everything that is kept about your account, as one JSON file.</p>
      <p><button id="export" class="second" ?disabled=${this.busy} @click=${this.save}>Save my data</button></p>
      <p role="status" class="said">${this.done}</p>
      <h2>Close the account</h2>
      <p>
        Your name, address, sign-ins, devices and keys are forgotten, and everything you may play ends. The books keep what was
        paid, under an id that names nobody. This cannot be undone.
      </p>
      ${this.closure()}`;
  }

  private closure(): TemplateResult | typeof nothing {
    const wallet = account()?.wallet;
    if (wallet !== undefined && wallet.minor > 0) {
      return html`<p class="note">
        There is ${money(wallet)} in your wallet: spend it, or ask the operator to pay it back, then close the account.
      </p>`;
    }
    if (!this.closing) {
      return html`<p><button id="close" class="second" @click=${this.begin}>Close my account</button></p>`;
    }
    return html`<form id="closure" @submit=${this.close}>
      ${
        account()?.has_password === false
          ? nothing
          : html`<label>
              Your password, once more
              <input name="password" type="password" required autocomplete="current-password" maxlength="256" />
            </label>`
      }
      <div class="actions">
        <button type="submit" class="danger" ?disabled=${this.busy}>Close it for good</button>
        <button type="button" class="second" @click=${this.keep}>Keep it</button>
      </div>
    </form>`;
  }

  private async begin(): Promise<void> {
    this.closing = true;
    await this.updateComplete;
    this.querySelector<HTMLElement>('#closure input, #closure button')?.focus();
  }

  private async keep(): Promise<void> {
    this.closing = false;
    await this.updateComplete;
    this.querySelector<HTMLElement>('#close')?.focus();
  }
}

customElements.define('account-data', AccountData);
