-- A payment is a row with a state before its provider is asked: created, pending, succeeded, failed, refunded, disputed.
create table payments_next (
    id text primary key,
    account_id text not null references accounts (id),
    plan_id text references plans (id),
    purchase_id text references purchases (id),
    provider text not null,
    provider_reference text,
    charge_reference text,
    checkout_url text,
    amount_minor bigint not null check (amount_minor > 0),
    refunded_minor bigint not null check (refunded_minor between 0 and amount_minor),
    currency text not null,
    country text,
    state text not null,
    failure text,
    journal_id text references journals (id),
    created_at_ms bigint not null,
    changed_at_ms bigint not null,
    check_at_ms bigint,
    checks bigint not null,
    unique (provider, provider_reference),
    unique (provider, charge_reference)
);
insert into payments_next (id, account_id, provider, provider_reference, amount_minor, refunded_minor, currency, state,
    journal_id, created_at_ms, changed_at_ms, checks)
    select id, account_id, provider, provider_reference, amount_minor, 0, currency, 'succeeded', journal_id,
    created_at_ms, created_at_ms, 0 from payments;
drop table payments;
alter table payments_next rename to payments;
create index payments_account on payments (account_id);
create index payments_plan on payments (plan_id);
create index payments_purchase on payments (purchase_id);
-- What reconciliation looks at.
create index payments_open on payments (check_at_ms) where state in ('created', 'pending');

-- Events that providers sent, each taken in once.
create table payment_events (
    provider text not null,
    event_id text not null,
    kind text not null,
    at_ms bigint not null,
    primary key (provider, event_id)
);
create index payment_events_at on payment_events (at_ms);

alter table purchases add column refunded_minor bigint not null default 0;

-- Money moved back: to the wallet, or through the provider of the payment.
create table refunds (
    id text primary key,
    account_id text not null references accounts (id),
    purchase_id text references purchases (id),
    payment_id text references payments (id),
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    provider text,
    provider_reference text,
    state text not null,
    reason text not null,
    created_at_ms bigint not null,
    changed_at_ms bigint not null,
    check_at_ms bigint,
    checks bigint not null,
    unique (provider, provider_reference)
);
create index refunds_purchase on refunds (purchase_id);
create index refunds_payment on refunds (payment_id);
create index refunds_open on refunds (check_at_ms) where state = 'pending';

-- Chargebacks.
create table disputes (
    provider text not null,
    provider_reference text not null,
    payment_id text not null references payments (id),
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    state text not null,
    opened_at_ms bigint not null,
    closed_at_ms bigint,
    primary key (provider, provider_reference)
);
create index disputes_payment on disputes (payment_id);

-- The tax inside the price of a purchase, as it was on that day.
create table tax_lines (
    purchase_id text not null references purchases (id),
    line bigint not null,
    country text not null,
    rate_basis_points bigint not null,
    net_minor bigint not null,
    tax_minor bigint not null,
    currency text not null,
    primary key (purchase_id, line)
);

-- The order in which the ledger is exported.
create index journals_at on journals (at_ms, id);

-- Who earns what of a title.
create table royalty_rules (
    title_id text not null references titles (id),
    holder text not null,
    share_basis_points bigint not null check (share_basis_points between 0 and 10000),
    minimum_minor bigint not null check (minimum_minor >= 0),
    currency text not null,
    primary key (title_id, holder)
);
