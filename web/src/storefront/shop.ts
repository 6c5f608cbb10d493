// The storefront's requests of the HTTP interface (docs/API.md, `/v1/reference`), typed.
import type { Account, Call, Collection, Entitlement, Money, Plan, Title, TopUp } from '../player/api.ts';
import { client } from './account.ts';

/** Rows of a page that is added to on request. */
const ROWS = 24;
/** Rows asked for where a listing is read whole. */
const ROWS_MAX = 500;
/** Rows of a listing that is read whole. */
const LISTED_ROWS_MAX = 5_000;

/** A page of a listing; `next` is where it goes on. */
export interface Rows<T> {
  rows: T[];
  next: string | null;
}

export interface Held {
  title: string;
  name: string;
  tier: number;
  available_from_ms: number | null;
}

export interface CollectionPage {
  collection: Collection;
  plans: Plan[];
  titles: Held[];
  next: string | null;
}

export interface Offered {
  collection: Collection;
  plans: Plan[];
}

export interface Tax {
  country: string;
  rate_basis_points: number;
  net_minor: number;
  tax_minor: number;
}

export interface Quote {
  plan: Plan;
  amount: Money;
  /** Whether this account may still try the plan for nothing. */
  trial: boolean;
  tax: Tax | null;
}

/** By what a title may be played; `code` says why not now. */
export interface Way {
  entitlement: Entitlement;
  code: string | null;
  message: string | null;
}

export interface Bought {
  purchase: { id: string; plan: string; amount: Money; created_at_ms: number };
  entitlement: Entitlement;
  entitlements?: Entitlement[];
}

export interface Named {
  id: string;
  name: string;
}

export interface Owned {
  entitlements: Entitlement[];
  titles: Named[];
  collections: Named[];
}

export interface StatusDocument {
  status: string;
  message: string;
  code: string | null;
  entitlement: Entitlement;
  /** What the next period is charged to, while there is one. */
  renewed_by?: 'saved_method' | 'wallet';
  links: { rel: string }[];
  events: { type: string; note: string | null; at_ms: number }[];
}

export interface AccountDevice {
  id: string;
  name: string | null;
  first_seen_at_ms: number;
  last_seen_at_ms: number;
}

export interface LoginSession {
  id: string;
  created_at_ms: number;
  expires_at_ms: number;
  agent: string | null;
  current: boolean;
}

export interface WalletEntry {
  kind: string;
  reference: string;
  amount: Money;
  at_ms: number;
}

export interface Purchase {
  id: string;
  plan: string;
  kind: string;
  name: string;
  amount: Money;
  coupon: string | null;
  tax: Tax | null;
  refunded_minor: number;
  /** The entitlement that it renewed. */
  renews: string | null;
  created_at_ms: number;
}

export interface Payment {
  id: string;
  provider: string;
  state: string;
  amount: Money;
  created_at_ms: number;
  failure?: string;
  refunded_minor?: number;
  checkout_url?: string;
  /** The entitlement whose period this pays for, by the payment method that was saved. */
  renews?: string;
}

/** An artist, an album or a genre; numbered. */
export interface CatalogueName {
  id: number;
  name: string;
}

export interface Album extends CatalogueName {
  year?: number;
  artist: CatalogueName;
}

export interface Track extends CatalogueName {
  artist: CatalogueName;
  album?: CatalogueName;
  genre?: CatalogueName;
  /** What one buys to hear it; none where it was not published. */
  title?: string;
  number?: number;
  duration_ms?: number;
}

function get<T>(path: string): Promise<T> {
  return client.call<T>({ method: 'GET', path });
}

function send<T>(method: Call['method'], path: string, body?: unknown, idempotency_key?: string): Promise<T> {
  return client.call<T>({
    method,
    path,
    ...(body === undefined ? {} : { body }),
    ...(idempotency_key === undefined ? {} : { idempotency_key }),
  });
}

/** One page of a listing whose rows stand under `name`. */
async function rows<T>(name: string, path: string, cursor: string | null, limit = ROWS): Promise<Rows<T>> {
  const query = new URLSearchParams({ limit: String(limit), cursor: cursor ?? '' });
  const answer = await get<Record<string, unknown>>(`${path}?${query}`);
  return { rows: answer[name] as T[], next: (answer.next as string | null | undefined) ?? null };
}

const part = encodeURIComponent;

export const shop = {
  titles: (cursor: string | null) => rows<Title>('titles', '/v1/titles', cursor),
  async titlesNamed(words: string, limit: number): Promise<Title[]> {
    const query = new URLSearchParams({ q: words, limit: String(limit) });
    return (await get<{ titles: Title[] }>(`/v1/titles?${query}`)).titles;
  },
  async ways(title: string): Promise<Way[]> {
    return (await get<{ entitlements: Way[] }>(`/v1/titles/${part(title)}/entitlements`)).entitlements;
  },
  async preview(title: string): Promise<Entitlement> {
    const path = `/v1/titles/${part(title)}/previews`;
    return (await send<{ entitlement: Entitlement }>('POST', path, {})).entitlement;
  },
  collections: (cursor: string | null) => rows<Offered>('collections', '/v1/collections', cursor),
  collection(id: string, cursor: string | null): Promise<CollectionPage> {
    const query = new URLSearchParams({ limit: '100', cursor: cursor ?? '' });
    return get(`/v1/collections/${part(id)}?${query}`);
  },
  quote(plan: string, coupon: string): Promise<Quote> {
    const query = coupon === '' ? '' : `?${new URLSearchParams({ coupon })}`;
    return get(`/v1/plans/${part(plan)}/quote${query}`);
  },
  buy: (body: { plan: string; coupon?: string; trial?: boolean }, key: string) =>
    send<Bought>('POST', '/v1/purchases', body, key),
  /** Buys a plan past the wallet. */
  checkout: (plan: string, key: string) => send<TopUp>('POST', '/v1/checkouts', { plan }, key),
  redeem: (code: string, key: string) => send<Bought>('POST', '/v1/gift-codes/redemptions', { code }, key),
  async guest(): Promise<Account> {
    return (await send<{ account: Account }>('POST', '/v1/guests', {})).account;
  },
  /** Exchanges an embed token, once. A page in a frame asks for the login itself: no cookie would reach it. */
  enter: (token: string, bearer: boolean) =>
    send<{ account: Account; session_token?: string }>('POST', '/v1/embed-sessions', { token, bearer }),

  /** Everything that the account may play or could once. */
  async owned(): Promise<Owned> {
    const all: Owned = { entitlements: [], titles: [], collections: [] };
    let cursor = '';
    do {
      const query = new URLSearchParams({ limit: String(ROWS_MAX), cursor });
      const page = await get<Owned & { next: string | null }>(`/v1/entitlements?${query}`);
      all.entitlements.push(...page.entitlements);
      all.titles.push(...page.titles);
      all.collections.push(...page.collections);
      cursor = page.next ?? '';
    } while (cursor !== '' && all.entitlements.length < LISTED_ROWS_MAX);
    return all;
  },
  status: (entitlement: string) => get<StatusDocument>(`/v1/entitlements/${part(entitlement)}/status`),
  renewal: (entitlement: string, renews: boolean) =>
    send<StatusDocument>('PUT', `/v1/entitlements/${part(entitlement)}/renewal`, { renews }),
  giveBack: (entitlement: string) =>
    send<StatusDocument>('POST', `/v1/entitlements/${part(entitlement)}/return`, {}),

  async devices(): Promise<AccountDevice[]> {
    return (await get<{ devices: AccountDevice[] }>('/v1/devices')).devices;
  },
  nameDevice: (device: string, name: string) => send<void>('PUT', `/v1/devices/${part(device)}`, { name }),
  removeDevice: (device: string) => send<void>('DELETE', `/v1/devices/${part(device)}`),
  async sessions(): Promise<LoginSession[]> {
    return (await get<{ sessions: LoginSession[] }>('/v1/sessions')).sessions;
  },
  endSession: (session: string) => send<void>('DELETE', `/v1/sessions/${part(session)}`),
  endSessions: () => send<void>('DELETE', '/v1/sessions'),

  topUp: (amount: Money, key: string) => send<TopUp>('POST', '/v1/wallet/top-ups', { amount }, key),
  entries: (cursor: string | null) => rows<WalletEntry>('entries', '/v1/wallet/entries', cursor),
  purchases: (cursor: string | null) => rows<Purchase>('purchases', '/v1/purchases', cursor),
  async purchase(id: string): Promise<Purchase> {
    return (await get<{ purchase: Purchase }>(`/v1/purchases/${part(id)}`)).purchase;
  },
  async payment(id: string): Promise<Payment> {
    return (await get<{ payment: Payment }>(`/v1/payments/${part(id)}`)).payment;
  },
  payments: (cursor: string | null) => rows<Payment>('payments', '/v1/payments', cursor),
  export: () => get<unknown>('/v1/account/export'),
  setPassword: (password: string | undefined, new_password: string) =>
    send<void>('PUT', '/v1/account/password', { password, new_password }),
  /** An account without a password is closed by a login of the last hour. */
  close: (password: string | undefined) => send<void>('POST', '/v1/account/closure', { password }),

  async tracksFound(words: string, limit: number): Promise<Track[]> {
    const query = new URLSearchParams({ q: words, limit: String(limit) });
    return (await get<{ tracks: Track[] }>(`/v1/search?${query}`)).tracks;
  },
  tracks: (cursor: string | null) => rows<Track>('tracks', '/v1/tracks', cursor, 50),
  artists: (cursor: string | null) => rows<CatalogueName>('artists', '/v1/artists', cursor, 100),
  artist: (id: string) => get<{ artist: CatalogueName; albums: Album[] }>(`/v1/artists/${part(id)}`),
  artistTracks: (id: string, cursor: string | null) =>
    rows<Track>('tracks', `/v1/artists/${part(id)}/tracks`, cursor, 50),
  album: (id: string) => get<{ album: Album; tracks: Track[] }>(`/v1/albums/${part(id)}`),
  async genres(): Promise<CatalogueName[]> {
    return (await get<{ genres: CatalogueName[] }>('/v1/genres')).genres;
  },
  genreTracks: (id: string, cursor: string | null) =>
    rows<Track>('tracks', `/v1/genres/${part(id)}/tracks`, cursor, 50),
};
