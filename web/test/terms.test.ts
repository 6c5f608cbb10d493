import { expect, test } from 'vitest';
import type { Entitlement, Plan } from '../src/player/api.ts';
import { countdown, entitlementInWords, fromPrice, priceInWords, terms } from '../src/storefront/wording.ts';

const DAY_MS = 86_400_000;

function plan(fields: Partial<Plan>): Plan {
  return { id: 'p', kind: 'rental', price: { minor: 50, currency: 'USD' }, ...fields };
}

test.each<[Partial<Plan>, string, string, string[]]>([
  [
    { start_within_ms: 30 * DAY_MS, play_within_ms: 2 * DAY_MS, views: 3 },
    'Rent',
    '$0.50',
    ['Start within 30 days', 'Then 2 days to finish', '3 views'],
  ],
  [{ views: null }, 'Rent', '$0.50', ['Watch as often as you like in that time']],
  [{ kind: 'purchase' }, 'Own', '$0.50', ['Yours for good, as often as you like']],
  [
    { kind: 'purchase', titles: ['a', 'b'] },
    'Own 2 titles together',
    '$0.50',
    ['Yours for good, as often as you like'],
  ],
  [
    { kind: 'subscription', period: 'month', collection: 'c', tier: 1, trial_ms: 7 * DAY_MS },
    'Subscription',
    '$0.50 a month',
    [
      'Every title of the collection',
      'Renewed each month until you give it up',
      'The first 7 days are free, once',
    ],
  ],
  [
    { kind: 'quota', period: 'month', collection: 'c', tier: 2, quota_titles: 1 },
    '1 title a month',
    '$0.50 a month',
    [
      'Any 1 title each month; one that you started plays again for nothing',
      'Every title of the collection',
      'Renewed each month until you give it up',
    ],
  ],
  [
    { kind: 'free', guests: true, price: { minor: 0, currency: 'USD' }, concurrent_views: 1 },
    'Free',
    'Free',
    ['No account needed', 'As often as you like', 'Plays on 1 device at once'],
  ],
  [
    { kind: 'purchase', countries: { rule: 'only', countries: ['DE', 'AT'], unknown: 'deny' } },
    'Own',
    '$0.50',
    ['Yours for good, as often as you like', 'Plays in Austria and Germany only'],
  ],
  [
    { kind: 'purchase', countries: { rule: 'except', countries: ['FR', 'US', 'CH'] } },
    'Own',
    '$0.50',
    [
      'Yours for good, as often as you like',
      'Plays everywhere but in France, Switzerland, and United States',
    ],
  ],
])('a plan in plain words: %o', (fields, name, price, lines) => {
  const one = plan(fields);
  expect(terms(one)).toEqual({ name, lines });
  expect(priceInWords(one)).toBe(price);
});

test('what a tier opens is said as it is', () => {
  const tier = (tier: number) => plan({ kind: 'subscription', period: 'year', collection: 'c', tier });
  expect(terms(tier(1), 3).lines[0]).toBe('Its titles of tier 1');
  expect(terms(tier(2), 3).lines[0]).toBe('Its titles up to tier 2');
  expect(terms(tier(3), 3).lines[0]).toBe('Every title of the collection');
});

test('a name of its own stands before the kind', () => {
  expect(terms(plan({ name: 'Both parts' })).name).toBe('Both parts');
});

test('the lowest price says that there are others', () => {
  const dear = plan({ price: { minor: 900, currency: 'USD' } });
  expect(fromPrice([dear, plan({})])).toBe('from $0.50');
  expect(fromPrice([plan({})])).toBe('$0.50');
  expect(fromPrice([plan({ kind: 'free', price: { minor: 0, currency: 'USD' } }), dear])).toBe('Free');
  expect(fromPrice([])).toBe('');
});

test.each([
  [0, '0 s'],
  [1, '1 s'],
  [59_001, '1 min 0 s'],
  [3_600_000, '1 h 0 min 0 s'],
  [DAY_MS + 1_000, '1 d 0 h 0 min 1 s'],
  [-5, '0 s'],
])('%i ms before a premiere', (milliseconds, words) => {
  expect(countdown(milliseconds)).toBe(words);
});

test('what an entitlement says of itself', () => {
  const right: Entitlement = {
    id: 'e',
    kind: 'quota',
    status: 'active',
    start_before_ms: 253_402_300_799_000,
    paid_until_ms: Date.UTC(2027, 0, 31, 12),
    renews: false,
    titles_left: 2,
  };
  expect(entitlementInWords(right)).toMatch(/^Ends on .*2027; not renewed\. 2 titles left in this period\.$/);
  expect(entitlementInWords({ ...right, renews: true })).toMatch(/^Renewed on /);
  expect(entitlementInWords({ ...right, status: 'returned' })).toBe('You gave it back.');
  const rental = {
    id: 'r',
    kind: 'rental',
    status: 'ready',
    start_before_ms: 253_402_300_799_000,
    views_left: 1,
  };
  expect(entitlementInWords(rental)).toBe('Ready to play. 1 view left.');
});
