-- Renewals by a saved payment method: which period of what a payment pays for, and by which method.

-- What it renews; none of both is a top-up or a first payment.
alter table payments add column entitlement_id text references entitlements (id);
alter table payments add column period_index bigint;
-- Whether its payment method is saved with it, to be charged for renewals.
alter table payments add column saves_method boolean not null default false;
-- The provider's name of the money with which the method was saved that this one is charged to.
alter table payments add column method_reference text;
-- When the provider is asked (again) to forget the method.
alter table payments add column forget_at_ms bigint;
create index payments_period on payments (entitlement_id, period_index);
-- Of every subscription one charge is under way at a time.
create unique index payments_renewing on payments (entitlement_id)
    where entitlement_id is not null and state in ('created', 'pending');
create index payments_forgetting on payments (forget_at_ms) where forget_at_ms is not null;

-- Whether the next period is charged to the method that was saved with the purchase, and where its payer pays tax.
alter table entitlements add column saved_method boolean not null default false;
alter table entitlements add column tax_country text;
update entitlements set tax_country =
    (select x.country from tax_lines x where x.purchase_id = entitlements.purchase_id and x.line = 0)
    where period is not null;
