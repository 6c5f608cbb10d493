// Figures as people read them.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Decimal units: `1.2 MB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function seconds(count: number): string {
  return `${count < 10 ? count.toFixed(1) : Math.round(count)} s`;
}

/** `1 h 35 min`, `5 s`. */
export function duration(milliseconds: number): string {
  const total = Math.round(milliseconds / 1000);
  if (total < 60) return `${total} s`;
  const minutes = Math.round(total / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
