-- What is to be told outside: written in the transaction that caused it, delivered after.

create table webhook_endpoints (
    id text primary key,
    account_id text not null references accounts (id),
    url text not null,
    topics text not null,
    created_at_ms bigint not null,
    removed_at_ms bigint
);
create index webhook_endpoints_account on webhook_endpoints (account_id, created_at_ms);

create table outbox (
    id text primary key,
    kind text not null,
    endpoint_id text references webhook_endpoints (id),
    account_id text references accounts (id),
    recipient text,
    topic text not null,
    payload text not null,
    state text not null,
    attempts bigint not null,
    next_at_ms bigint not null,
    until_ms bigint not null,
    created_at_ms bigint not null
);
create index outbox_due on outbox (next_at_ms) where state = 'waiting';
create index outbox_over on outbox (created_at_ms) where state <> 'waiting';
create index outbox_endpoint on outbox (endpoint_id, created_at_ms);
create index outbox_account on outbox (account_id);

create table deliveries (
    outbox_id text not null references outbox (id),
    attempt bigint not null,
    at_ms bigint not null,
    took_ms bigint,
    status bigint,
    error text,
    primary key (outbox_id, attempt)
);

-- The end that an entitlement's owner was told of last.
alter table entitlements add column end_told_ms bigint;
create index entitlements_valid_until on entitlements (valid_until_ms)
    where valid_until_ms is not null and state in ('ready', 'active');
