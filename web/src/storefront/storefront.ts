// The storefront's frame: the bar above, and below it the page that the address names.
import { html, LitElement, nothing, type TemplateResult } from 'lit';
import { account, client, isGuest, known, listen, set, settled, wasSignedIn } from './account.ts';
import './sign.ts';
import './title.ts';
import './titles.ts';
import './watch.ts';
import { framed } from './framed.ts';
import { followLinks, move, navigate, type Route, routeOf } from './router.ts';
import { money } from './wording.ts';

/** Pages that nobody needs before something plays are fetched when they are gone to. */
const LATER: Partial<Record<Route['page'], () => Promise<unknown>>> = {
  account: () => import('./account-page.ts'),
  collection: () => import('./collection.ts'),
  embed: () => import('./embed.ts'),
  library: () => import('./library.ts'),
  'sign-in-link': () => import('./link.ts'),
  wallet: () => import('./wallet.ts'),
  purchase: () => import('./purchase.ts'),
  gift: () => import('./gift.ts'),
  search: () => import('./search.ts'),
  music: () => import('./music.ts'),
  artists: () => import('./music.ts'),
  artist: () => import('./music.ts'),
  album: () => import('./music.ts'),
  genre: () => import('./music.ts'),
};

export class Storefront extends LitElement {
  static override properties = { route: { state: true }, late: { state: true } };

  declare route: Route;
  /** The page's code could not be fetched. */
  declare late: boolean;
  private unlisten: (() => void) | undefined;
  private readonly moved = (): void => {
    move();
    this.go();
    scrollTo(0, 0);
    // Whoever reads by ear is told of the new page; at the first one the browser does that itself.
    void this.updateComplete.then(() => this.querySelector<HTMLElement>('h1')?.focus());
  };

  constructor() {
    super();
    this.late = false;
    this.go();
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener('popstate', this.moved);
    this.addEventListener('click', followLinks);
    this.unlisten = listen(() => this.requestUpdate());
    // In a frame the way in comes first.
    if (!framed) void known();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener('popstate', this.moved);
    this.unlisten?.();
  }

  private go(): void {
    this.route = routeOf(new URL(location.href));
    this.late = false;
    const later =
      this.route.page === 'titles' && this.route.payment !== ''
        ? import('./payment-notice.ts')
        : LATER[this.route.page]?.();
    later?.catch(() => {
      this.late = true;
    });
  }

  private async signOut(): Promise<void> {
    // Signed out here in any case; a session that the server could not be told about ends by itself.
    await client.signOut().catch(() => undefined);
    set(undefined);
    navigate('/');
  }

  protected override render(): TemplateResult {
    if (framed) return html`<main id="page" class="framed">${this.page()}</main>`;
    return html`
      <a class="skip" href="#page">Skip to the page</a>
      <header class="bar">
        <a class="name" href="/">Matinee</a>
        ${this.links()}
      </header>
      <main id="page">${this.late ? this.unreached() : this.page()}</main>
    `;
  }

  private unreached(): TemplateResult {
    return html`<h1 tabindex="-1">This page did not load</h1>
      <p>The server cannot be reached at the moment.</p>
      <p><button @click=${this.go}>Try again</button></p>`;
  }

  private links(): TemplateResult {
    const signedIn = account();
    if (!settled()) {
      // The room that the links will take, so that nothing jumps when they come.
      return html`<nav class="links pending" aria-hidden="true">
        ${wasSignedIn() ? html`<a>Search</a><a>Library</a><a>Wallet $0.00</a><a>Account</a><a>Sign out</a>` : html`<a>Search</a><a>Sign in</a><a>Sign up</a>`}
      </nav>`;
    }
    const search = this.link('/search', 'Search');
    if (signedIn === undefined || isGuest()) {
      return html`<nav class="links" aria-label="Main">
        ${search} ${signedIn === undefined ? nothing : this.link('/library', 'Library')}
        ${this.link('/sign-in', 'Sign in')} ${this.link('/sign-up', 'Sign up')}
      </nav>`;
    }
    return html`<nav class="links" aria-label="Main">
      ${search} ${this.link('/library', 'Library')}
      ${this.link('/wallet', `Wallet ${money(signedIn.wallet)}`)} ${this.link('/account', 'Account')}
      <button class="plain" id="sign-out" @click=${this.signOut}>Sign out</button>
    </nav>`;
  }

  private link(path: string, text: string): TemplateResult {
    const here = location.pathname === path || location.pathname.startsWith(`${path}/`);
    return html`<a href=${path} aria-current=${here ? 'page' : nothing}>${text}</a>`;
  }

  private page(): TemplateResult {
    const { route } = this;
    switch (route.page) {
      case 'titles':
        return html`${
          route.payment === '' ? nothing : html`<payment-notice payment=${route.payment}></payment-notice>`
        }<titles-page></titles-page>`;
      case 'search':
        return html`<search-page .words=${route.words}></search-page>`;
      case 'title':
        return html`<title-page title-id=${route.title}></title-page>`;
      case 'collection':
        return html`<collection-page collection-id=${route.collection}></collection-page>`;
      case 'watch':
        return html`<watch-page entitlement=${route.entitlement} .titleId=${route.title}></watch-page>`;
      case 'embed':
        return html`<embed-page title-id=${route.title}></embed-page>`;
      case 'sign-in':
        return html`<sign-page .fresh=${false} next=${route.next}></sign-page>`;
      case 'sign-up':
        return html`<sign-page .fresh=${true} next=${route.next}></sign-page>`;
      case 'sign-in-link':
        return html`<link-page></link-page>`;
      case 'wallet':
        return html`<wallet-page next=${route.next}></wallet-page>`;
      case 'gift':
        return html`<gift-page .code=${route.code}></gift-page>`;
      case 'library':
        return html`<library-page></library-page>`;
      case 'account':
        return html`<account-page section=${route.section}></account-page>`;
      case 'purchase':
        return html`<purchase-page purchase=${route.purchase}></purchase-page>`;
      case 'music':
        return html`<music-page></music-page>`;
      case 'artists':
        return html`<artists-page></artists-page>`;
      case 'artist':
        return html`<artist-page artist=${route.artist}></artist-page>`;
      case 'album':
        return html`<album-page album=${route.album}></album-page>`;
      case 'genre':
        return html`<genre-page genre=${route.genre}></genre-page>`;
      case 'missing':
        return html`<h1 tabindex="-1">Not found</h1><p>There is no such page. <a href="/">All titles</a></p>`;
    }
  }
}

customElements.define('matinee-storefront', Storefront);
