// Where a film was when its page was left, for as long as the tab lives.

const PREFIX = 'matinee.position';

export function keepPosition(entitlement: string, file: number, seconds: number): void {
  try {
    sessionStorage.setItem(`${PREFIX}.${entitlement}.${file}`, String(seconds));
  } catch {
    // Without storage a reload begins at the start.
  }
}

/** Seconds, 0 when nothing is known. */
export function keptPosition(entitlement: string, file: number): number {
  try {
    const seconds = Number(sessionStorage.getItem(`${PREFIX}.${entitlement}.${file}`));
    return Number.isFinite(seconds) ? seconds : 0;
  } catch {
    return 0;
  }
}
