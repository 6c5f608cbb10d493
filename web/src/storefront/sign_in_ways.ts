// The ways to sign in that the server has, asked once; and what may come back from a provider of identities.
import { client } from './account.ts';

export const PASSWORD_CHARACTERS_MIN = 8;

export interface Ways {
  accounts_open: boolean;
  passkeys: boolean;
  /** Whether links to sign in with can be sent. */
  mail: boolean;
  /** Providers of identities, where one can sign in too. */
  providers: { name: string; label: string }[];
}

let asked: Promise<Ways> | undefined;

export function ways(): Promise<Ways> {
  asked ??= client.call<Ways>({ method: 'GET', path: '/v1/sign-in' }).catch((cause: unknown) => {
    asked = undefined;
    throw cause;
  });
  return asked;
}

/** What there is to know of a link that was sent. */
export const LINK_RULE = 'It is good once and for fifteen minutes; open it in this browser.';

/** Has a link to sign in with sent to this address, if there is an account with it. */
export async function sendLink(email: string): Promise<void> {
  await client.call({ method: 'POST', path: '/v1/sign-in-links', body: { email } });
}

/** Leaves this page for a provider, which sends the browser back to `next`. */
export function goTo(provider: string, next: string): void {
  location.assign(`/v1/oidc/${encodeURIComponent(provider)}/start?next=${encodeURIComponent(next)}`);
}

const PROBLEMS: Record<string, string> = {
  ceremony_over: 'That took too long, or was done before. Begin again.',
  provider_refused: 'The provider did not sign you in.',
  provider_unreachable: 'The provider does not answer. Try again, or sign in another way.',
  email_taken:
    'There is an account with this email already. Sign in to it first, then link the provider on the account page.',
  email_unverified: 'The provider has not checked your email address. Sign up here, then link the provider.',
  accounts_closed: 'New accounts are not open here. Ask whoever runs this place for one.',
  identity_known: 'This is linked to an account already.',
};

/** What went wrong on the way, as the address of the page tells it. */
export function problemIn(search: string): string {
  const code = new URLSearchParams(search).get('problem');
  return code === null ? '' : (PROBLEMS[code] ?? 'That did not work. Begin again.');
}
