// Money, plans and dates as people read them.
import type { CountryRule, Entitlement, Money, Plan } from '../player/api.ts';
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

export function span(milliseconds: number): string {
  if (milliseconds >= 2 * DAY_MS) return `${Math.round(milliseconds / DAY_MS)} days`;
  if (milliseconds >= 2 * HOUR_MS) return `${Math.round(milliseconds / HOUR_MS)} hours`;
  return duration(milliseconds);
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** A plan in plain words: what it is, and what it promises, a line each. */
export interface Terms {
  name: string;
  lines: string[];
}

/**
 * `Rent`, `Start within 30 days` and so on: the one place where plans are put into words. `highest` is the highest tier
 * of the collection, as far as it is known: who has it has everything.
 */
export function terms(plan: Plan, highest = 1): Terms {
  const lines = promised(plan, highest);
  if (plan.concurrent_views != null)
    lines.push(`Plays on ${count(plan.concurrent_views, 'device', 'devices')} at once`);
  if (plan.offline_ms) lines.push(`Plays for up to ${span(plan.offline_ms)} without a connection`);
  if (plan.countries) lines.push(where(plan.countries));
  return { name: plan.name || kindInWords(plan), lines };
}

/** `Plays in Austria and Germany only`, or `Plays everywhere but in France`. */
export function where({ rule, countries }: CountryRule): string {
  const names = new Intl.DisplayNames('en-US', { type: 'region' });
  const named = countries.map((country) => names.of(country) ?? country).sort();
  const list = new Intl.ListFormat('en-US').format(named);
  return rule === 'only' ? `Plays in ${list} only` : `Plays everywhere but in ${list}`;
}

function kindInWords(plan: Plan): string {
  const many = plan.titles?.length ?? 0;
  const bundle = many > 1 ? ` ${many} titles together` : '';
  switch (plan.kind) {
    case 'rental':
      return `Rent${bundle}`;
    case 'purchase':
      return `Own${bundle}`;
    case 'subscription':
      return 'Subscription';
    case 'quota':
      return `${count(plan.quota_titles ?? 0, 'title', 'titles')} a ${plan.period ?? 'period'}`;
    case 'free':
      return 'Free';
    case 'ad_supported':
      return 'Free with breaks';
    default:
      return plan.kind;
  }
}

function promised(plan: Plan, highest: number): string[] {
  const lines: string[] = [];
  const anew = `Renewed each ${plan.period ?? 'period'} until you give it up`;
  switch (plan.kind) {
    case 'rental':
      if (plan.start_within_ms) lines.push(`Start within ${span(plan.start_within_ms)}`);
      if (plan.play_within_ms) lines.push(`Then ${span(plan.play_within_ms)} to finish`);
      lines.push(
        plan.views == null ? 'Watch as often as you like in that time' : count(plan.views, 'view', 'views'),
      );
      break;
    case 'purchase':
      lines.push('Yours for good, as often as you like');
      break;
    case 'subscription':
      lines.push(plan.collection == null ? 'Play as often as you like' : opens(plan, highest), anew);
      break;
    case 'quota':
      lines.push(
        `Any ${count(plan.quota_titles ?? 0, 'title', 'titles')} each ${plan.period ?? 'period'}; one that you started plays again for nothing`,
        opens(plan, highest),
        anew,
      );
      break;
    case 'free':
      lines.push(plan.guests ? 'No account needed' : 'With an account', 'As often as you like');
      break;
    case 'ad_supported':
      lines.push(plan.guests ? 'No account needed' : 'With an account', 'Play pauses for breaks');
      break;
  }
  if (plan.trial_ms) lines.push(`The first ${span(plan.trial_ms)} are free, once`);
  return lines;
}

function opens({ tier }: Plan, highest: number): string {
  const to = tier ?? 1;
  if (to >= highest) return 'Every title of the collection';
  return to === 1 ? 'Its titles of tier 1' : `Its titles up to tier ${to}`;
}

/** `$7.95 a month`. */
export function priceInWords(plan: Plan, amount: Money = plan.price): string {
  if (amount.minor === 0 && plan.period == null) return 'Free';
  return plan.period == null ? money(amount) : `${money(amount)} a ${plan.period}`;
}

/** The lowest price of some plans: `from $0.50`, or `Free`. */
export function fromPrice(plans: Plan[]): string {
  const [cheapest] = [...plans].sort((one, other) => one.price.minor - other.price.minor);
  if (cheapest === undefined) return '';
  const words = priceInWords(cheapest);
  return plans.length > 1 && cheapest.price.minor > 0 ? `from ${words}` : words;
}

export function date(milliseconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(milliseconds);
}

export function day(milliseconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(milliseconds);
}

/** `2 d 3 h 4 min 5 s`. */
export function countdown(milliseconds: number): string {
  const left = Math.max(0, Math.ceil(milliseconds / 1000));
  const parts: [number, string][] = [
    [Math.floor(left / 86_400), 'd'],
    [Math.floor(left / 3_600) % 24, 'h'],
    [Math.floor(left / 60) % 60, 'min'],
    [left % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first < 0 ? 3 : first)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}

export function playable(entitlement: Entitlement): boolean {
  return entitlement.status === 'ready' || entitlement.status === 'active';
}

const STATUS: Record<string, string> = {
  ready: 'Ready',
  active: 'Active',
  expired: 'Expired',
  cancelled: 'Cancelled',
  revoked: 'Revoked',
  returned: 'Returned',
};

export function statusInWords(entitlement: Entitlement): string {
  return STATUS[entitlement.status] ?? entitlement.status;
}

const KIND: Record<string, string> = {
  rental: 'Rental',
  purchase: 'Owned',
  subscription: 'Subscription',
  quota: 'Quota',
  free: 'Free',
  ad_supported: 'Free with breaks',
  preview: 'Preview',
};

export function kindOf(entitlement: { kind: string }): string {
  return KIND[entitlement.kind] ?? entitlement.kind;
}

/** Where an entitlement stands and what is left of it, a sentence each. */
export function entitlementInWords(entitlement: Entitlement): string {
  switch (entitlement.status) {
    case 'ready':
    case 'active':
      return standing(entitlement).join(' ');
    case 'expired':
      return entitlement.paid_until_ms == null ? 'Its time is over.' : 'It was not paid for any longer.';
    case 'returned':
      return 'You gave it back.';
    case 'cancelled':
    case 'revoked':
      return 'Withdrawn by the distributor.';
    default:
      return entitlement.status;
  }
}

function standing(entitlement: Entitlement): string[] {
  const { status, start_before_ms, play_until_ms, paid_until_ms, views_left, titles_left } = entitlement;
  const said: string[] = [];
  if (paid_until_ms != null) {
    said.push(
      entitlement.renews
        ? `Renewed on ${day(paid_until_ms)}.`
        : `Ends on ${day(paid_until_ms)}; not renewed.`,
    );
  } else if (entitlement.kind === 'preview') {
    said.push('The free beginning.');
  } else if (status === 'ready') {
    said.push(
      start_before_ms >= NO_LIMIT_MS
        ? 'Ready to play.'
        : `Ready to play. Start before ${date(start_before_ms)}.`,
    );
  } else {
    said.push(play_until_ms == null ? 'Ready to play.' : `Started. Watch until ${date(play_until_ms)}.`);
  }
  if (views_left != null) said.push(`${count(views_left, 'view', 'views')} left.`);
  if (titles_left != null) said.push(`${count(titles_left, 'title', 'titles')} left in this period.`);
  return said;
}
