// Passkeys (WebAuthn level 3): between the server's JSON and the browser's buffers, and what is asked of the server.
import type { Account } from '../player/api.ts';
import { fromBase64url, toBase64url } from '../player/bytes.ts';
import { client } from './account.ts';

export interface Passkey {
  id: string;
  name: string;
  created_at_ms: number;
  last_used_at_ms: number | null;
}

/** A ceremony that the server began. */
interface Asked<Options> {
  ceremony: string;
  options: Options;
}

/** What the browser answers, in the server's JSON (`PublicKeyCredential.toJSON`). */
type Answer = Record<string, unknown>;

/** Whether this browser has passkeys at all. */
export function supported(): boolean {
  return typeof PublicKeyCredential === 'function';
}

export async function passkeys(): Promise<Passkey[]> {
  const call = { method: 'GET', path: '/v1/passkeys' } as const;
  return (await client.call<{ passkeys: Passkey[] }>(call)).passkeys;
}

/** Gives the signed-in account a passkey. */
export async function add(name: string): Promise<void> {
  const asked = await begin<PublicKeyCredentialCreationOptionsJSON>('/v1/passkey-challenges/registration');
  const credential = await create(asked.options);
  const body = { ceremony: asked.ceremony, credential, name };
  await client.call({ method: 'POST', path: '/v1/passkeys', body });
}

export async function rename(id: string, name: string): Promise<void> {
  await client.call({ method: 'PUT', path: `/v1/passkeys/${id}`, body: { name } });
}

export async function remove(id: string): Promise<void> {
  await client.call({ method: 'DELETE', path: `/v1/passkeys/${id}` });
}

/** Signs in with whichever passkey the person chooses; no name is typed. */
export async function signIn(): Promise<Account> {
  const asked = await begin<PublicKeyCredentialRequestOptionsJSON>('/v1/passkey-challenges', {});
  const credential = await get(asked.options);
  const body = { ceremony: asked.ceremony, credential };
  const call = { method: 'POST', path: '/v1/passkey-sessions', body } as const;
  return (await client.call<{ account: Account }>(call)).account;
}

/** Opens an account that has a passkey and no password. */
export async function signUp(email: string, name: string): Promise<Account> {
  const path = '/v1/passkey-challenges/account';
  const asked = await begin<PublicKeyCredentialCreationOptionsJSON>(path, { email, name });
  const credential = await create(asked.options);
  const body = { ceremony: asked.ceremony, credential, passkey_name: deviceName() };
  const call = { method: 'POST', path: '/v1/passkey-accounts', body } as const;
  return (await client.call<{ account: Account }>(call)).account;
}

/** A name for a passkey that was made here: `Firefox on Linux`. */
export function deviceName(agent = navigator.userAgent): string {
  const named = (names: [RegExp, string][]): string | undefined =>
    names.find(([mark]) => mark.test(agent))?.[1];
  const browser = named([
    [/Edg\//, 'Edge'],
    [/Firefox\//, 'Firefox'],
    [/Chrom(e|ium)\//, 'Chrome'],
    [/Safari\//, 'Safari'],
  ]);
  const system = named([
    [/iPhone|iPad/, 'iOS'],
    [/Android/, 'Android'],
    [/Mac OS X/, 'macOS'],
    [/Windows/, 'Windows'],
    [/Linux|CrOS/, 'Linux'],
  ]);
  if (browser === undefined) return system ?? 'Passkey';
  return system === undefined ? browser : `${browser} on ${system}`;
}

function begin<Options>(path: string, body?: unknown): Promise<Asked<Options>> {
  return client.call<Asked<Options>>({ method: 'POST', path, body });
}

export async function create(options: PublicKeyCredentialCreationOptionsJSON): Promise<Answer> {
  const publicKey = {
    ...options,
    challenge: fromBase64url(options.challenge),
    user: { ...options.user, id: fromBase64url(options.user.id) },
    excludeCredentials: options.excludeCredentials?.map(described) ?? [],
  } as PublicKeyCredentialCreationOptions;
  const made = await ask(() => navigator.credentials.create({ publicKey }));
  const response = made.response as AuthenticatorAttestationResponse;
  return {
    ...common(made),
    response: {
      attestationObject: text(response.attestationObject),
      clientDataJSON: text(response.clientDataJSON),
    },
  };
}

export async function get(options: PublicKeyCredentialRequestOptionsJSON): Promise<Answer> {
  const publicKey = {
    ...options,
    challenge: fromBase64url(options.challenge),
    allowCredentials: options.allowCredentials?.map(described) ?? [],
  } as PublicKeyCredentialRequestOptions;
  const got = await ask(() => navigator.credentials.get({ publicKey }));
  const response = got.response as AuthenticatorAssertionResponse;
  return {
    ...common(got),
    response: {
      authenticatorData: text(response.authenticatorData),
      clientDataJSON: text(response.clientDataJSON),
      signature: text(response.signature),
      userHandle: response.userHandle === null ? null : text(response.userHandle),
    },
  };
}

async function ask(work: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const credential = await work();
    if (credential instanceof PublicKeyCredential) return credential;
  } catch (cause) {
    if (!(cause instanceof DOMException)) throw cause;
    // A browser does not tell a page whether somebody said no or has no passkey here.
    if (cause.name === 'InvalidStateError') throw new Error('This device has a passkey of yours already.');
    if (cause.name === 'SecurityError') throw new Error('Passkeys do not work at this address.');
  }
  throw new Error('No passkey was used.');
}

function common(credential: PublicKeyCredential): Answer {
  const { id, rawId, type } = credential;
  const { credProps } = credential.getClientExtensionResults();
  return { id, rawId: text(rawId), type, extensions: credProps === undefined ? {} : { credProps } };
}

function described(credential: PublicKeyCredentialDescriptorJSON): PublicKeyCredentialDescriptor {
  return { id: fromBase64url(credential.id), type: 'public-key' };
}

function text(buffer: ArrayBuffer): string {
  return toBase64url(new Uint8Array(buffer));
}
