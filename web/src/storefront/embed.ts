import { html, type TemplateResult } from 'lit';
import { known, set } from './account.ts';
import { framed, keepLogin, takeUpLogin } from './framed.ts';
import { Page } from './page.ts';
import { navigate } from './router.ts';
import { shop } from './shop.ts';

/** The way in from a shop elsewhere: exchanges the token behind the `#`, once, and shows the title. */
export class EmbedPage extends Page {
  static override properties = { ...Page.properties, titleId: { type: String, attribute: 'title-id' } };

  declare titleId: string;

  constructor() {
    super();
    this.titleId = '';
  }

  protected override get signsIn(): boolean {
    return true;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const token = location.hash.slice(1);
    // Gone from the address before anything else can read it there.
    history.replaceState(null, '', location.pathname);
    void this.enter(token);
  }

  private async enter(token: string): Promise<void> {
    const went = await this.attempt(async () => {
      try {
        const { account, session_token } = await shop.enter(token, framed);
        if (session_token !== undefined) keepLogin(session_token);
        set(account);
      } catch (cause) {
        // A frame that was loaded again brings a token that was used; its login is still there.
        if (!framed || !takeUpLogin()) throw cause;
        await known();
      }
    });
    if (went) navigate(`/titles/${this.titleId}`, true);
  }

  protected override render(): TemplateResult {
    return html`${this.heading('One moment')} ${this.alert()}`;
  }
}

customElements.define('embed-page', EmbedPage);
