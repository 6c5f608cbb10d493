// Money, plans and dates as people read them.
import type { Entitlement, Money, Plan } from '../player/api.ts';
import { duration } from '../player/wording.ts';

export function money({ minor, currency }: Money): string {
  const format = new Intl.NumberFormat('en-US', { style: 'currency', currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(minor / 10 ** digits);
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** What the server writes where there is no limit: the last second of the year 9999. */
const NO_LIMIT_MS = 253_402_300_799_000;

function span(milliseconds: number): string {
  if (milliseconds >= 2 * DAY_MS) return `${Math.round(milliseconds / DAY_MS)} days`;
  if (milliseconds >= 2 * HOUR_MS) return `${Math.round(milliseconds / HOUR_MS)} hours`;
  return duration(milliseconds);
}

function anyNumber(plan: Plan): string {
  return plan.play_within_ms ? 'as often as you like in that time' : 'as often as you like';
}

/** `Rental: start within 30 days, then 48 hours to watch, 1 view`. */
export function planInWords(plan: Plan): string {
  const parts = [
    plan.start_within_ms ? `start within ${span(plan.start_within_ms)}` : '',
    plan.play_within_ms ? `${span(plan.play_within_ms)} to watch once started` : '',
    plan.views == null ? anyNumber(plan) : `${plan.views} ${plan.views === 1 ? 'view' : 'views'}`,
  ].filter((part) => part !== '');
  const kind = plan.kind === '' ? 'Plan' : `${plan.kind.charAt(0).toUpperCase()}${plan.kind.slice(1)}`;
  return `${kind}: ${parts.join(', ')}`;
}

export function date(milliseconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(milliseconds);
}

export function playable(entitlement: Entitlement): boolean {
  return entitlement.status === 'ready' || entitlement.status === 'active';
}

export function entitlementInWords(entitlement: Entitlement): string {
  switch (entitlement.status) {
    case 'ready':
      return entitlement.start_before_ms >= NO_LIMIT_MS
        ? 'Ready to play.'
        : `Ready to play. Start before ${date(entitlement.start_before_ms)}.`;
    case 'active':
      return entitlement.play_until_ms == null
        ? 'Started.'
        : `Started. Watch until ${date(entitlement.play_until_ms)}.`;
    case 'expired':
      return 'The time to watch is over.';
    case 'returned':
      return 'Given back.';
    case 'cancelled':
    case 'revoked':
      return 'Withdrawn by the distributor.';
    default:
      return entitlement.status;
  }
}
