// The storefront's frame: the bar above, and below it the page that the address names.
import { html, LitElement, nothing, type TemplateResult } from 'lit';
import { account, client, known, listen, set } from './account.ts';
import './account_page.ts';
import './embed.ts';
import './library.ts';
import './sign.ts';
import './title.ts';
import './titles.ts';
import './wallet.ts';
import './watch.ts';
import { followLinks, navigate, type Route, routeOf } from './router.ts';
import { money } from './wording.ts';

export class Storefront extends LitElement {
  static override properties = { route: { state: true } };

  declare route: Route;
  private unlisten: (() => void) | undefined;
  private readonly moved = (): void => {
    this.route = routeOf(new URL(location.href));
    scrollTo(0, 0);
    // Whoever reads by ear is told of the new page; at the first one the browser does that itself.
    void this.updateComplete.then(() => this.querySelector<HTMLElement>('h1')?.focus());
  };

  constructor() {
    super();
    this.route = routeOf(new URL(location.href));
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener('popstate', this.moved);
    this.addEventListener('click', followLinks);
    this.unlisten = listen(() => this.requestUpdate());
    void known();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener('popstate', this.moved);
    this.unlisten?.();
  }

  private async signOut(): Promise<void> {
    // Signed out here in any case; a session that the server could not be told about ends by itself.
    await client.signOut().catch(() => undefined);
    set(undefined);
    navigate('/');
  }

  protected override render(): TemplateResult {
    return html`
      <a class="skip" href="#page">Skip to the page</a>
      <header class="bar">
        <a class="name" href="/">Matinee</a>
        ${this.links()}
      </header>
      <main id="page">${this.page()}</main>
    `;
  }

  private links(): TemplateResult {
    const signedIn = account();
    if (signedIn === undefined)
      return html`${this.link('/sign-in', 'Sign in')} ${this.link('/sign-up', 'Sign up')}`;
    return html`
      ${this.link('/library', 'Library')} ${this.link('/wallet', `Wallet ${money(signedIn.wallet)}`)}
      ${this.link('/account', signedIn.name)}
      <button class="plain" id="sign-out" @click=${this.signOut}>Sign out</button>
    `;
  }

  private link(path: string, text: string): TemplateResult {
    const current = location.pathname === path ? 'page' : nothing;
    return html`<a href=${path} aria-current=${current}>${text}</a>`;
  }

  private page(): TemplateResult {
    const { route } = this;
    switch (route.page) {
      case 'titles':
        return html`<titles-page></titles-page>`;
      case 'title':
        return html`<title-page title-id=${route.title}></title-page>`;
      case 'watch':
        return html`<watch-page entitlement=${route.entitlement}></watch-page>`;
      case 'embed':
        return html`<embed-page title-id=${route.title}></embed-page>`;
      case 'sign-in':
        return html`<sign-page .fresh=${false} next=${route.next}></sign-page>`;
      case 'sign-up':
        return html`<sign-page .fresh=${true} next=${route.next}></sign-page>`;
      case 'wallet':
        return html`<wallet-page next=${route.next}></wallet-page>`;
      case 'library':
        return html`<library-page></library-page>`;
      case 'account':
        return html`<account-page></account-page>`;
      case 'missing':
        return html`<h1 tabindex="-1">Not found</h1><p>There is no such page. <a href="/">All titles</a></p>`;
    }
  }
}

customElements.define('matinee-storefront', Storefront);
