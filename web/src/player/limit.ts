// Limits of the player. Those that the protocol fixes carry the name they have in docs/PROTOCOL.md.

export const CHUNK_BYTES = 262_144;
/** A whole chunk as it travels: with its tag. */
export const SEALED_CHUNK_BYTES = CHUNK_BYTES + 16;
export const EPOCH_LEAD = 3;
export const FRAME_BYTES_MAX = 65_536;
export const SIGNALING_BYTES_MAX = 32_768;
export const PAGE_BYTES_MAX = 32_768;
export const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;

/** One answer of the gateway. Browsers come back for more, so a paused video holds no more than this. */
export const ANSWER_BYTES_MAX = 1024 * 1024;
/** How long the service worker waits for the page to say anything about a request. */
export const ANSWER_HEAD_MS_MAX = 45_000;
/** How long one pull may take before the answer is cut; the browser then asks again from where it stopped. */
export const ANSWER_PULL_MS_MAX = 60_000;
/** How long the service worker waits for a page to say that it owns a release. */
export const ANSWER_OWNER_MS_MAX = 3_000;
/** How long the engine holds a gateway request that came before the manifest. */
export const MANIFEST_WAIT_MS_MAX = 30_000;

/** Connections a viewer opens by itself, and how many it has at most together with those opened to it. */
export const PEERS_SOUGHT = 8;
export const PEERS_MAX = 16;
/** From the first description to an open channel. */
export const CONNECT_MS_MAX = 20_000;
/** How long a connection may stay `disconnected` before it is given up. */
export const DISCONNECTED_MS_MAX = 6_000;
/** How many candidates are kept for a peer whose description has not come yet. */
export const CANDIDATES_WAITING_MAX = 32;
/** What may wait in one data channel before the engine stops writing to it. */
export const CHANNEL_BUFFER_BYTES_MAX = 1024 * 1024;
/** Below this a channel is written to again. */
export const CHANNEL_BUFFER_BYTES_LOW = 256 * 1024;

/** A view token is renewed this long before it runs out. */
export const TOKEN_RENEW_EARLY_MS = 60_000;
/** Waits between attempts double from the first to the second of these. */
export const RETRY_MS_MIN = 500;
export const RETRY_MS_MAX = 30_000;
/** An HTTP request of the API that has not been answered by then is given up and tried again. */
export const REQUEST_MS_MAX = 20_000;

/** Verified ciphertext kept on disk, and in memory where there is no disk to be had. */
export const CACHE_BYTES_MAX = 4 * 1024 * 1024 * 1024;
export const CACHE_MEMORY_BYTES_MAX = 192 * 1024 * 1024;
/** Share of the quota a browser reports that the cache may take. */
export const CACHE_QUOTA_SHARE = 0.5;
/** Tabs that can each have a cache on disk; the next ones use memory. */
export const CACHE_FILES_MAX = 4;
