// Who is signed in, shared by all pages.
import { type Account, ApiError, Client, type Money } from '../player/api.ts';

export const client = new Client(location.origin);

type Listener = () => void;

/** Whether somebody was signed in here last, so that the first page keeps the room that the links will take. */
const HINT = 'matinee.signed-in';

const listeners = new Set<Listener>();
let current: Account | undefined;
let asked: Promise<void> | undefined;
let answered = false;

/** Undefined when nobody is signed in. */
export function account(): Account | undefined {
  return current;
}

/** Whether it is known by now who is signed in. */
export function settled(): boolean {
  return answered;
}

/** An account that the server made for a viewer without one. */
export function isGuest(): boolean {
  return current?.roles.includes('guest') ?? false;
}

/** Asks the server once who is signed in. */
export function known(): Promise<void> {
  asked ??= client.account().then(set, (cause) => {
    // 401 says that nobody is; anything else is asked again by the next page.
    if (!(cause instanceof ApiError && cause.status === 401)) asked = undefined;
    tell(undefined);
  });
  return asked;
}

export function set(account: Account | undefined): void {
  asked = Promise.resolve();
  tell(account);
}

function tell(account: Account | undefined): void {
  current = account;
  answered = true;
  try {
    if (account === undefined) localStorage.removeItem(HINT);
    else localStorage.setItem(HINT, '1');
  } catch {
    // Without storage the links appear a moment later.
  }
  for (const listener of listeners) listener();
}

export function wasSignedIn(): boolean {
  try {
    return localStorage.getItem(HINT) !== null;
  } catch {
    return false;
  }
}

export function setWallet(wallet: Money): void {
  if (current !== undefined) set({ ...current, wallet });
}

export async function refresh(): Promise<void> {
  set(await client.account());
}

export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
