-- Leases: every key of a release for a time, on one device. The view counts the use, and its key releases are on record
-- under it; it never plays.

create table leases (
    id text primary key,
    entitlement_id text not null references entitlements (id),
    account_id text not null references accounts (id),
    title_id text not null references titles (id),
    release_id text not null references releases (id),
    view_id text not null references views (id),
    jkt text not null,
    issued_at_ms bigint not null,
    expires_at_ms bigint not null,
    returned_at_ms bigint
);
create index leases_account on leases (account_id, expires_at_ms);
create index leases_entitlement on leases (entitlement_id, expires_at_ms);
