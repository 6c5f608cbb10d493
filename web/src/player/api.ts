// The HTTP API (docs/PROTOCOL.md §5), typed. Every failure is an `ApiError` with the server's stable code.
import type { Breaks } from './breaks.ts';
import { type Bytes, utf8 } from './bytes.ts';
import type { Device } from './device.ts';
import { prove, ServerClock } from './dpop.ts';
import { REQUEST_MS_MAX } from './limit.ts';

export interface Money {
  minor: number;
  currency: string;
}

/** A payment into the wallet: done, or to be gone on with on the provider's own page. */
export interface TopUp {
  wallet: Money;
  payment: { id: string; provider: string; state: string; checkout_url?: string };
}

export interface Account {
  id: string;
  email: string;
  /** Whether somebody has shown that the letters to this address are theirs. */
  email_verified: boolean;
  has_password: boolean;
  name: string;
  roles: string[];
  wallet: Money;
}

/** In which countries something may be played. */
export interface CountryRule {
  /** `only` these, or everywhere `except` in these. */
  rule: string;
  /** ISO 3166-1 alpha-2. */
  countries: string[];
  unknown?: string | null;
}

export interface Plan {
  id: string;
  /** `rental`, `purchase`, `subscription`, `quota`, `free` or `ad_supported`. */
  kind: string;
  name?: string | null;
  /** Each period where there are periods. */
  price: Money;
  /** Several are a bundle. */
  titles?: string[];
  collection?: string | null;
  tier?: number | null;
  start_within_ms?: number | null;
  play_within_ms?: number | null;
  views?: number | null;
  /** `month` or `year`. */
  period?: string | null;
  trial_ms?: number | null;
  quota_titles?: number | null;
  guests?: boolean;
  concurrent_views?: number | null;
  offline_ms?: number | null;
  countries?: CountryRule | null;
}

export interface Collection {
  id: string;
  name: string;
  publisher: string;
}

export interface ReleaseFile {
  name: string;
  media_type: string;
  size_bytes: number;
  duration_ms?: number | null;
}

export interface Title {
  id: string;
  name: string;
  publisher: string;
  plans: Plan[];
  release: { id: string; files: ReleaseFile[]; sealed: boolean } | null;
  available_from_ms?: number | null;
  available_until_ms?: number | null;
  preview_ms?: number | null;
  countries?: CountryRule | null;
  /** For the members of a group only. */
  private?: boolean;
  collections?: Collection[];
}

export interface Entitlement {
  id: string;
  /** As its plan's; `preview` for the free beginning of a title. */
  kind: string;
  title?: string | null;
  collection?: string | null;
  tier?: number | null;
  /** `ready`, `active`, `expired`, `cancelled`, `revoked` or `returned`. */
  status: string;
  /** Undefined or null: no limit. */
  views_left?: number | null;
  start_before_ms: number;
  play_until_ms?: number | null;
  paid_until_ms?: number | null;
  renews?: boolean | null;
  /** In this period, if titles are counted. */
  titles_left?: number | null;
}

/** docs/PROTOCOL.md §4. */
export interface License {
  license: string;
  view: string;
  release: string;
  device: string;
  issued_at_ms: number;
  renew_at_ms: number;
  play_until_ms: number;
  epochs: { file: number; first: number; count: number }[];
  encapsulated_key: string;
  sealed_keys: string;
}

export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/** The answer to opening a view or a carry. */
export interface Opening {
  view: string;
  release: string;
  swarm: string;
  role: string;
  view_token: string;
  expires_at_ms: number;
  license?: License | null;
  issuer: string;
  delivery: { peers: boolean; relay_only: boolean; upload_bytes_per_s_max: number | null };
  ice_servers: IceServer[];
  /** Of an ad-supported view. */
  breaks?: Breaks | null;
}

export interface Renewal {
  view_token: string;
  expires_at_ms: number;
}

/** The codes this side makes itself; all others come from the server. */
export const CODE_UNREACHABLE = 'unreachable';
export const CODE_MALFORMED = 'malformed_answer';

/** Why a request was not answered with what was asked for. `detail` is fit for a person. */
export class ApiError extends Error {
  constructor(
    /** HTTP status, 0 when nothing was answered. */
    readonly status: number,
    /** Stable, from the problem document (RFC 9457). */
    readonly code: string,
    readonly detail: string,
    /** From `Retry-After`, in milliseconds. */
    readonly retry_after_ms?: number,
  ) {
    super(detail);
    this.name = 'ApiError';
  }

  /** Whether the same request may do better later without anybody doing anything. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Reads a problem document; anything else gets a code made of the status. */
export async function problem(response: Response): Promise<ApiError> {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retry_after_ms = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  let code = `http_${response.status}`;
  let detail = `the server answered ${response.status}`;
  if (/[/+]json/.test(response.headers.get('content-type') ?? '')) {
    const body: unknown = await response.json().catch(() => undefined);
    if (typeof body === 'object' && body !== null) {
      const fields = body as Record<string, unknown>;
      if (typeof fields.code === 'string') code = fields.code;
      if (typeof fields.detail === 'string') detail = fields.detail;
      else if (typeof fields.title === 'string') detail = fields.title;
    }
  }
  return new ApiError(response.status, code, detail, retry_after_ms);
}

/** A view token and the device that it is bound to. */
export interface Possession {
  device: Device;
  token?: string;
}

/** A request to be made. */
export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: unknown;
  /** Makes a POST that moves money or opens a view safe to repeat. */
  idempotency_key?: string;
  possession?: Possession;
}

/** The login of a page in another origin's frame, where browsers keep no cookie of ours. */
let login: string | undefined;

export function useLogin(token: string | undefined): void {
  login = token;
}

export class Client {
  constructor(
    /** Where the server is, an origin. */
    readonly server: string,
    readonly clock = new ServerClock(),
    private readonly send: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  async jwks(): Promise<string> {
    return JSON.stringify(await this.call({ method: 'GET', path: '/v1/jwks' }));
  }

  async account(): Promise<Account> {
    return (await this.call<{ account: Account }>({ method: 'GET', path: '/v1/account' })).account;
  }

  async signUp(email: string, password: string, name: string): Promise<Account> {
    const body = { email, password, name };
    return (await this.call<{ account: Account }>({ method: 'POST', path: '/v1/accounts', body })).account;
  }

  async signIn(email: string, password: string): Promise<Account> {
    const body = { email, password };
    return (await this.call<{ account: Account }>({ method: 'POST', path: '/v1/sessions', body })).account;
  }

  async signOut(): Promise<void> {
    await this.call({ method: 'DELETE', path: '/v1/sessions/current' });
  }

  async title(id: string): Promise<Title> {
    const path = `/v1/titles/${encodeURIComponent(id)}`;
    return (await this.call<{ title: Title }>({ method: 'GET', path })).title;
  }

  /** Opens a view, or goes on with the one that this device has open on the same entitlement. */
  openView(
    device: Device,
    entitlement: string,
    title: string | undefined,
    idempotency_key: string,
  ): Promise<Opening> {
    const body = { entitlement, title, agreement_key: device.agreementPublic };
    return this.call({ method: 'POST', path: '/v1/views', body, idempotency_key, possession: { device } });
  }

  /** Makes this device a member of the swarm of a release that it may play; opens nothing and counts nothing. */
  openCarry(device: Device, release: string): Promise<Opening> {
    const path = `/v1/releases/${release}/carries`;
    return this.call({ method: 'POST', path, body: {}, possession: { device } });
  }

  async license(possession: Possession, view: string, file: number, epoch: number): Promise<License> {
    const call: Call = {
      method: 'POST',
      path: `/v1/views/${view}/licenses`,
      body: { file, epoch },
      possession,
    };
    return (await this.call<{ license: License }>(call)).license;
  }

  /** A break begins to be shown; whatever other one was under way on this device is no longer. */
  async startBreak(possession: Possession, view: string, number: number): Promise<void> {
    const path = `/v1/views/${view}/breaks`;
    await this.call({ method: 'POST', path, body: { break: number }, possession });
  }

  /** A break was shown; refused with `break_not_over` before its time has passed. */
  async completeBreak(possession: Possession, view: string, number: number): Promise<Breaks> {
    const path = `/v1/views/${view}/breaks/${number}/completion`;
    const call: Call = { method: 'POST', path, body: {}, possession };
    return (await this.call<{ breaks: Breaks }>(call)).breaks;
  }

  renew(possession: Possession, view: string): Promise<Renewal> {
    return this.call({ method: 'POST', path: `/v1/views/${view}/renewals`, body: {}, possession });
  }

  /** Hands in what downloaders signed; returns the bytes credited. */
  async receipts(possession: Possession, receipts: string[]): Promise<number> {
    const call: Call = { method: 'POST', path: '/v1/receipts', body: { receipts }, possession };
    return (await this.call<{ credited_bytes: number }>(call)).credited_bytes;
  }

  async endView(possession: Possession, view: string): Promise<void> {
    await this.call({ method: 'DELETE', path: `/v1/views/${view}`, possession });
  }

  /** Any request of the interface; the storefront's are in `storefront/shop.ts`. */
  async call<Answer>(call: Call): Promise<Answer> {
    const url = new URL(call.path, this.server).href;
    const body = call.body === undefined ? undefined : utf8(JSON.stringify(call.body));
    const response = await this.exchange(url, {
      method: call.method,
      headers: await this.headers(call, url, body),
      body: body ?? null,
      credentials: 'same-origin',
      cache: 'no-store',
      // A page that is being left still ends its view.
      keepalive: call.method === 'DELETE',
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
    });
    this.clock.observe(response.headers.get('date'));
    if (!response.ok) throw await problem(response);
    if (response.status === 204) return undefined as Answer;
    try {
      return (await response.json()) as Answer;
    } catch {
      throw new ApiError(
        response.status,
        CODE_MALFORMED,
        'the server answered with something that is not JSON',
      );
    }
  }

  private async headers(call: Call, url: string, body: Bytes | undefined): Promise<Headers> {
    const headers = new Headers({ accept: 'application/json' });
    if (body !== undefined) headers.set('content-type', 'application/json');
    if (call.idempotency_key !== undefined) headers.set('idempotency-key', call.idempotency_key);
    if (login !== undefined) headers.set('authorization', `Bearer ${login}`);
    if (call.possession !== undefined) {
      const { device, token } = call.possession;
      if (token !== undefined) headers.set('authorization', `DPoP ${token}`);
      headers.set('dpop', await prove(device, this.clock, { method: call.method, url, token, body }));
    }
    return headers;
  }

  private async exchange(url: string, init: RequestInit): Promise<Response> {
    try {
      return await this.send(url, init);
    } catch {
      throw new ApiError(0, CODE_UNREACHABLE, 'the server cannot be reached at the moment');
    }
  }
}
