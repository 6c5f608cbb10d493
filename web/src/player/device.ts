// The two key pairs of this device (docs/PROTOCOL.md §2). Private keys are made non-extractable and live in IndexedDB,
// so neither this code nor any other script on the page can read their bytes.
import { type Bytes, sha256, toBase64url, utf8 } from './bytes.ts';

export interface KeyPair {
  privateKey: CryptoKey;
  publicKey: CryptoKey;
}

/** The public signing key as a JWK (RFC 8037), members in the order that RFC 7638 hashes them. */
export interface SigningJwk {
  crv: 'Ed25519';
  kty: 'OKP';
  x: string;
}

/** Can be posted to a worker: keys are cloned as handles. */
export interface Device {
  signing: KeyPair;
  agreement: KeyPair;
  jwk: SigningJwk;
  /** RFC 7638 thumbprint of the signing key, base64url. */
  thumbprint: string;
  /** Raw public signing key, 32 bytes. */
  signingPublic: Bytes;
  /** Raw public agreement key, base64url of 32 bytes. */
  agreementPublic: string;
}

interface StoredKeys {
  signing: KeyPair;
  agreement: KeyPair;
}

const DATABASE = 'matinee';
const STORE = 'device';
const ENTRY = 'keys';

export async function createKeys(): Promise<StoredKeys> {
  const signing = (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair;
  const agreement = (await crypto.subtle.generateKey('X25519', false, ['deriveBits'])) as CryptoKeyPair;
  return {
    signing: { privateKey: signing.privateKey, publicKey: signing.publicKey },
    agreement: { privateKey: agreement.privateKey, publicKey: agreement.publicKey },
  };
}

/** RFC 7638: SHA-256 over the JWK's required members in lexical order without spaces. */
export async function thumbprint(jwk: SigningJwk): Promise<string> {
  return toBase64url(await sha256(utf8(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x }))));
}

export async function describe(keys: StoredKeys): Promise<Device> {
  const signingPublic = new Uint8Array(await crypto.subtle.exportKey('raw', keys.signing.publicKey));
  const agreementPublic = new Uint8Array(await crypto.subtle.exportKey('raw', keys.agreement.publicKey));
  const jwk: SigningJwk = { crv: 'Ed25519', kty: 'OKP', x: toBase64url(signingPublic) };
  return {
    signing: keys.signing,
    agreement: keys.agreement,
    jwk,
    thumbprint: await thumbprint(jwk),
    signingPublic,
    agreementPublic: toBase64url(agreementPublic),
  };
}

export async function sign(device: Device, message: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign('Ed25519', device.signing.privateKey, message));
}

/**
 * This browser's device, made at the first call. Where there is no IndexedDB (some private windows) the keys live as
 * long as the page: playing works, coming back to the same view does not.
 */
export async function loadDevice(): Promise<Device> {
  let keys: StoredKeys;
  try {
    const database = await open();
    try {
      keys = (await read(database)) ?? (await keepFirst(database, await createKeys()));
    } finally {
      database.close();
    }
  } catch (cause) {
    if (!(cause instanceof DOMException)) throw cause;
    keys = await createKeys();
  }
  return describe(keys);
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new DOMException('cannot open the device store'));
    request.onblocked = () => reject(new DOMException('the device store is blocked by another tab'));
  });
}

function read(database: IDBDatabase): Promise<StoredKeys | undefined> {
  return new Promise((resolve, reject) => {
    const request = database.transaction(STORE, 'readonly').objectStore(STORE).get(ENTRY);
    request.onsuccess = () => resolve(request.result as StoredKeys | undefined);
    request.onerror = () => reject(request.error ?? new DOMException('cannot read the device store'));
  });
}

/** Two tabs may make keys at once: whoever writes first wins, the other takes over what it finds. */
function keepFirst(database: IDBDatabase, fresh: StoredKeys): Promise<StoredKeys> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, 'readwrite');
    const store = transaction.objectStore(STORE);
    let kept = fresh;
    const request = store.get(ENTRY);
    request.onsuccess = () => {
      const found = request.result as StoredKeys | undefined;
      if (found === undefined) store.put(fresh, ENTRY);
      else kept = found;
    };
    transaction.oncomplete = () => resolve(kept);
    transaction.onabort = () =>
      reject(transaction.error ?? new DOMException('cannot write the device store'));
  });
}
