// The storefront in another site's frame (docs/API.md): only the title and its player are shown, and the login is kept
// by the page, because browsers keep no cookie of ours there.
import { useLogin } from '../player/api.ts';

const KEPT = 'matinee.login';

/** Whether this page is in a frame. */
export const framed = window.self !== window.top;

export function keepLogin(token: string): void {
  useLogin(token);
  try {
    sessionStorage.setItem(KEPT, token);
  } catch {
    // Without storage a reload of the frame asks its shop for another way in.
  }
}

/** Takes up the login that this frame had before it was loaded again. False if there is none. */
export function takeUpLogin(): boolean {
  try {
    const token = sessionStorage.getItem(KEPT);
    if (token === null) return false;
    useLogin(token);
    return true;
  } catch {
    return false;
  }
}
