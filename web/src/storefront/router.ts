// Addresses of the storefront. The server answers every one of them with the same page.

export type AccountSection = '' | 'devices' | 'sessions' | 'payments' | 'data';

export type Route =
  | { page: 'titles'; payment: string }
  | { page: 'search'; words: string }
  | { page: 'title'; title: string }
  | { page: 'collection'; collection: string }
  | { page: 'watch'; entitlement: string; title: string | undefined }
  | { page: 'embed'; title: string }
  | { page: 'sign-in'; next: string }
  | { page: 'sign-up'; next: string }
  | { page: 'sign-in-link' }
  | { page: 'wallet'; next: string }
  | { page: 'gift'; code: string }
  | { page: 'library' }
  | { page: 'account'; section: AccountSection }
  | { page: 'purchase'; purchase: string }
  | { page: 'music' }
  | { page: 'artists' }
  | { page: 'artist'; artist: string }
  | { page: 'album'; album: string }
  | { page: 'genre'; genre: string }
  | { page: 'missing' };

const SECTIONS = ['devices', 'sessions', 'payments', 'data'] as const;

export function routeOf(url: URL): Route {
  const [first = '', second = '', ...rest] = url.pathname.split('/').filter((part) => part !== '');
  if (rest.length > 0) return { page: 'missing' };
  return second === '' ? listing(first, url.searchParams) : one(first, second, url.searchParams);
}

function listing(first: string, query: URLSearchParams): Route {
  const next = ownPath(query.get('next'));
  switch (first) {
    case '':
    case 'titles':
      // The payment provider's page sends the payer here.
      return { page: 'titles', payment: query.get('payment') ?? '' };
    case 'search':
      return { page: 'search', words: query.get('q') ?? '' };
    case 'sign-in':
    case 'sign-up':
    case 'wallet':
      return { page: first, next };
    case 'gift':
      return { page: 'gift', code: query.get('code') ?? '' };
    case 'account':
      return { page: 'account', section: '' };
    case 'sign-in-link':
    case 'library':
    case 'music':
    case 'artists':
      return { page: first };
    default:
      return { page: 'missing' };
  }
}

function one(first: string, second: string, query: URLSearchParams): Route {
  switch (first) {
    case 'titles':
      return { page: 'title', title: second };
    case 'collections':
      return { page: 'collection', collection: second };
    case 'watch':
      return { page: 'watch', entitlement: second, title: query.get('title') ?? undefined };
    case 'embed':
      return { page: 'embed', title: second };
    case 'purchases':
      return { page: 'purchase', purchase: second };
    case 'artists':
      return { page: 'artist', artist: second };
    case 'albums':
      return { page: 'album', album: second };
    case 'genres':
      return { page: 'genre', genre: second };
    case 'account': {
      const section = SECTIONS.find((name) => name === second);
      return section === undefined ? { page: 'missing' } : { page: 'account', section };
    }
    default:
      return { page: 'missing' };
  }
}

/** Where a title is played by an entitlement, which may be to the collection that holds it. */
export function watchPath(entitlement: { id: string; title?: string | null }, title: string): string {
  const path = `/watch/${entitlement.id}`;
  return entitlement.title === title ? path : `${path}?title=${encodeURIComponent(title)}`;
}

/** Where to go after signing in: a path of this site, whatever the address says. */
export function ownPath(next: string | null): string {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : '/';
}

export function withNext(path: string, next: string): string {
  return `${path}?next=${encodeURIComponent(next)}`;
}

let moved = false;

/** Whether the page that is shown was gone to from another one of ours. */
export function hasMoved(): boolean {
  return moved;
}

/** Notes that one was. */
export function move(): void {
  moved = true;
}

/** Goes to a path without loading the page again. */
export function navigate(path: string, replace = false): void {
  if (replace) history.replaceState(null, '', path);
  else history.pushState(null, '', path);
  dispatchEvent(new PopStateEvent('popstate'));
}

/** Turns clicks on links of this site into navigation. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.composedPath().find((target) => target instanceof HTMLAnchorElement);
  if (link === undefined || link.target !== '' || link.origin !== location.origin || link.hash !== '') return;
  if (link.hasAttribute('download')) return;
  event.preventDefault();
  navigate(`${link.pathname}${link.search}`);
}
