// Who is signed in, shared by all pages.
import { type Account, ApiError, Client, type Money } from '../player/api.ts';

export const client = new Client(location.origin);

type Listener = () => void;

const listeners = new Set<Listener>();
let current: Account | undefined;
let asked: Promise<void> | undefined;

/** Undefined when nobody is signed in. */
export function account(): Account | undefined {
  return current;
}

/** Asks the server once who is signed in. */
export function known(): Promise<void> {
  asked ??= client.account().then(set, (cause) => {
    // 401 says that nobody is; anything else is asked again by the next page.
    if (!(cause instanceof ApiError && cause.status === 401)) asked = undefined;
  });
  return asked;
}

export function set(account: Account | undefined): void {
  current = account;
  asked = Promise.resolve();
  for (const listener of listeners) listener();
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
