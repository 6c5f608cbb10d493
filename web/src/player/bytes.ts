// Bytes and their text forms: base64url without padding (RFC 4648 §5) as everywhere in the protocol.

/** Bytes that own a plain buffer, as WebCrypto and transfers want them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

export function toBase64url(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Throws a `SyntaxError` on anything that is not base64url. */
export function fromBase64url(text: string): Bytes {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new SyntaxError('not base64url without padding');
  let plain: string;
  try {
    plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    throw new SyntaxError('not base64url without padding');
  }
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
