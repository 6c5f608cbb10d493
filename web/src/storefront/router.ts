// Addresses of the storefront. The server answers every one of them with the same page.

export type Route =
  | { page: 'titles' }
  | { page: 'title'; title: string }
  | { page: 'watch'; entitlement: string }
  | { page: 'embed'; title: string }
  | { page: 'sign-in'; next: string }
  | { page: 'sign-up'; next: string }
  | { page: 'wallet'; next: string }
  | { page: 'library' }
  | { page: 'account' }
  | { page: 'missing' };

export function routeOf(url: URL): Route {
  const [first = '', second = '', ...rest] = url.pathname.split('/').filter((part) => part !== '');
  if (rest.length > 0) return { page: 'missing' };
  const next = ownPath(url.searchParams.get('next'));
  if (second === '') {
    if (first === '' || first === 'titles') return { page: 'titles' };
    if (first === 'library' || first === 'account') return { page: first };
    if (first === 'sign-in' || first === 'sign-up' || first === 'wallet') return { page: first, next };
    return { page: 'missing' };
  }
  if (first === 'titles') return { page: 'title', title: second };
  if (first === 'watch') return { page: 'watch', entitlement: second };
  if (first === 'embed') return { page: 'embed', title: second };
  return { page: 'missing' };
}

/** Where to go after signing in: a path of this site, whatever the address says. */
export function ownPath(next: string | null): string {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : '/';
}

export function withNext(path: string, next: string): string {
  return `${path}?next=${encodeURIComponent(next)}`;
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
  event.preventDefault();
  navigate(`${link.pathname}${link.search}`);
}
