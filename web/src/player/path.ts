// Addresses that the service worker answers: `/play/<release>/<file>`, and anything after that is a name to be read by
// people.

const PLAY =
  /^\/play\/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\/(\d{1,5})(?:\/[^/]*)?$/;

export interface PlayPath {
  release: string;
  file: number;
}

export function playPath(pathname: string): PlayPath | undefined {
  const match = PLAY.exec(pathname);
  if (match?.[1] === undefined) return undefined;
  return { release: match[1], file: Number(match[2]) };
}

export function playAddress(release: string, file: number): string {
  return `/play/${release}/${file}`;
}
