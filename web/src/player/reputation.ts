// Devices that sent wrong data, remembered over reloads so that they are not believed a second time.

const ENTRY = 'matinee.banned';
const BANNED_MAX = 256;

export function banned(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(ENTRY) ?? '[]');
    return Array.isArray(kept) ? kept.filter((entry) => typeof entry === 'string').slice(-BANNED_MAX) : [];
  } catch {
    return [];
  }
}

export function ban(thumbprint: string): void {
  try {
    const kept = [...banned().filter((entry) => entry !== thumbprint), thumbprint];
    localStorage.setItem(ENTRY, JSON.stringify(kept.slice(-BANNED_MAX)));
  } catch {
    // Without storage a device is remembered for as long as the page lives, by the engine.
  }
}
