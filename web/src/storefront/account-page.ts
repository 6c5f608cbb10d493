import { html, nothing, type TemplateResult } from 'lit';
import './account-address.ts';
import './account-data.ts';
import './account-devices.ts';
import './account-password.ts';
import './account-payments.ts';
import './account-sessions.ts';
import './account-ways.ts';
import { account, isGuest, known } from './account.ts';
import { Page } from './page.ts';
import { type AccountSection, navigate, withNext } from './router.ts';
import { money } from './wording.ts';

interface Section {
  path: AccountSection;
  name: string;
  render(): TemplateResult;
}

/** The sections of the page, each an element of its own; the first is shown at `/account`. */
const SECTIONS: Section[] = [
  { path: '', name: 'Overview', render: overview },
  { path: 'payments', name: 'Payments', render: () => html`<account-payments></account-payments>` },
  { path: 'devices', name: 'Devices', render: () => html`<account-devices></account-devices>` },
  { path: 'sessions', name: 'Sign-ins', render: () => html`<account-sessions></account-sessions>` },
  { path: 'data', name: 'Your data', render: () => html`<account-data></account-data>` },
];

/** Everything about the account, a section at a time. */
export class AccountPage extends Page {
  static override properties = { ...Page.properties, section: { type: String }, closed: { state: true } };

  declare section: AccountSection;
  /** The account was closed on this page. */
  declare closed: boolean;

  constructor() {
    super();
    this.section = '';
    this.closed = false;
    this.addEventListener('closed', () => {
      this.closed = true;
    });
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(async () => {
      await known();
      if (account() === undefined || isGuest()) navigate(withNext('/sign-in', location.pathname), true);
    });
  }

  protected override render(): TemplateResult {
    if (this.closed) {
      return html`${this.heading('Closed')}
        <p role="status">Your account is closed. The books keep what was paid, under an id that names nobody.</p>
        <p><a href="/">All titles</a></p>`;
    }
    const shown = SECTIONS.find(({ path }) => path === this.section) ?? SECTIONS[0];
    return html`${this.heading('Account')} ${this.alert()}
      <nav class="tabs" aria-label="Account">
        ${SECTIONS.map(
          ({ path, name }) =>
            html`<a href=${path === '' ? '/account' : `/account/${path}`} aria-current=${path === this.section ? 'page' : nothing}>${name}</a>`,
        )}
      </nav>
      ${account() === undefined ? this.waiting() : shown?.render()}`;
  }
}

function overview(): TemplateResult {
  const signedIn = account();
  return html`
    <dl class="facts">
      <div><dt>Name</dt><dd>${signedIn?.name}</dd></div>
      <div><dt>Email</dt><dd>${signedIn?.email}</dd></div>
      <div><dt>Wallet</dt><dd>${signedIn === undefined ? nothing : money(signedIn.wallet)}</dd></div>
    </dl>
    <p class="actions">
      <a class="button" href="/library">What you may play</a>
      <a class="button second" href=${withNext('/wallet', '/account')}>Top up</a>
      <a class="button second" href="/gift">Redeem a gift code</a>
    </p>
    <account-address></account-address>
    <account-password></account-password>
    <account-ways></account-ways>
  `;
}

customElements.define('account-page', AccountPage);
