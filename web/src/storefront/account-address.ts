import { html, nothing, type TemplateResult } from 'lit';
import { account, isGuest } from './account.ts';
import { Part } from './page.ts';
import { LINK_RULE, sendLink, ways } from './sign_in_ways.ts';

/** An address that nobody has confirmed, and the link that does. */
export class AccountAddress extends Part {
  static override properties = { ...Part.properties, mail: { state: true }, sent: { state: true } };

  /** Whether the server sends links. */
  declare mail: boolean;
  declare sent: boolean;

  constructor() {
    super();
    this.mail = false;
    this.sent = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(async () => {
      this.mail = (await ways()).mail;
    });
  }

  private async send(email: string): Promise<void> {
    this.sent = await this.attempt(() => sendLink(email));
  }

  protected override render(): TemplateResult | typeof nothing {
    const signedIn = account();
    // An operator is sent no link: a mailbox does not open the house.
    if (!this.mail || signedIn === undefined || isGuest() || signedIn.roles.includes('operator'))
      return nothing;
    const { email, email_verified: verified } = signedIn;
    if (verified) return nothing;
    return html`
      <section id="address" aria-labelledby="address-heading">
        <h2 id="address-heading">Confirm your address</h2>
        ${this.alert()}
        <p class="quiet told">
          Nobody has confirmed yet that ${email} is yours. Do it with a link that is sent there: should a link be opened
          elsewhere first, the password and passkeys from before stop working.
        </p>
        <button class="second" id="send-link" ?disabled=${this.busy} @click=${() => this.send(email)}>
          Send me a link
        </button>
        ${
          this.sent
            ? html`<p class="said" role="status" id="link-sent">A link is on its way to ${email}. ${LINK_RULE}</p>`
            : nothing
        }
      </section>
    `;
  }
}

customElements.define('account-address', AccountAddress);
