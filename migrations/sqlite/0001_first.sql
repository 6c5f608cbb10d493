-- Times are Unix milliseconds, ids are text, money is in minor units. The same tables in the same order as the other
-- database's file of this name; a test compares the two schemas.

create table accounts (
    id text primary key,
    email text not null unique,
    name text not null,
    password_hash text not null,
    roles text not null,
    created_at_ms bigint not null
);

create table sessions (
    token_hash blob primary key,
    account_id text not null references accounts (id),
    created_at_ms bigint not null,
    expires_at_ms bigint not null
);
create index sessions_expires on sessions (expires_at_ms);

create table devices (
    account_id text not null references accounts (id),
    jkt text not null,
    first_seen_at_ms bigint not null,
    last_seen_at_ms bigint not null,
    primary key (account_id, jkt)
);

create table titles (
    id text primary key,
    publisher_id text not null references accounts (id),
    name text not null,
    created_at_ms bigint not null
);
create index titles_publisher on titles (publisher_id);

create table plans (
    id text primary key,
    title_id text not null references titles (id),
    kind text not null,
    price_minor bigint not null check (price_minor >= 0),
    currency text not null,
    start_within_ms bigint,
    play_within_ms bigint,
    views bigint,
    created_at_ms bigint not null
);
create index plans_title on plans (title_id);

create table releases (
    id text primary key,
    title_id text not null references titles (id),
    sealed boolean not null,
    state text not null,
    secret blob,
    secret_key_id text,
    manifest text,
    created_at_ms bigint not null,
    published_at_ms bigint
);
create index releases_title on releases (title_id, published_at_ms);

create table files (
    release_id text not null references releases (id),
    file bigint not null,
    name text not null,
    media_type text not null,
    size_bytes bigint not null,
    duration_ms bigint,
    epoch_chunks bigint not null,
    uploaded_bytes bigint not null,
    primary key (release_id, file)
);

-- Chunk hashes of one uploaded segment, written with the offset that the segment moved.
create table uploads (
    release_id text not null,
    file bigint not null,
    segment bigint not null,
    chunk_hashes blob not null,
    primary key (release_id, file, segment),
    foreign key (release_id, file) references files (release_id, file)
);

create table ledger_accounts (
    name text primary key,
    currency text not null,
    balance_minor bigint not null
);

create table journals (
    id text primary key,
    kind text not null,
    reference text not null,
    at_ms bigint not null
);

create table ledger_entries (
    journal_id text not null references journals (id),
    account text not null references ledger_accounts (name),
    amount_minor bigint not null,
    primary key (journal_id, account)
);
create index ledger_entries_account on ledger_entries (account);

create table payments (
    id text primary key,
    account_id text not null references accounts (id),
    provider text not null,
    provider_reference text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    state text not null,
    journal_id text not null references journals (id),
    created_at_ms bigint not null,
    unique (provider, provider_reference)
);
create index payments_account on payments (account_id);

create table purchases (
    id text primary key,
    account_id text not null references accounts (id),
    plan_id text not null references plans (id),
    price_minor bigint not null,
    currency text not null,
    journal_id text references journals (id),
    created_at_ms bigint not null
);
create index purchases_account on purchases (account_id);

create table idempotency_keys (
    account_id text not null references accounts (id),
    operation text not null,
    key text not null,
    body_hash blob not null,
    status bigint,
    answer text,
    created_at_ms bigint not null,
    primary key (account_id, operation, key)
);
create index idempotency_keys_created on idempotency_keys (created_at_ms);

create table entitlements (
    id text primary key,
    account_id text not null references accounts (id),
    title_id text not null references titles (id),
    plan_id text references plans (id),
    purchase_id text references purchases (id),
    state text not null,
    start_by_ms bigint,
    play_within_ms bigint,
    play_until_ms bigint,
    views_left bigint check (views_left >= 0),
    views_used bigint not null,
    created_at_ms bigint not null,
    revoked_at_ms bigint,
    revoked_reason text
);
create index entitlements_account on entitlements (account_id);

create table views (
    id text primary key,
    entitlement_id text not null references entitlements (id),
    account_id text not null references accounts (id),
    release_id text not null references releases (id),
    jkt text not null,
    agreement_key blob not null,
    state text not null,
    opened_at_ms bigint not null,
    last_seen_at_ms bigint not null,
    ended_at_ms bigint,
    end_reason text
);
-- One active view a device and entitlement: the second start of a race finds the first.
create unique index views_active on views (entitlement_id, jkt) where state = 'active';
create index views_idle on views (last_seen_at_ms) where state = 'active';

create table carries (
    id text primary key,
    account_id text not null references accounts (id),
    release_id text not null references releases (id),
    jkt text not null,
    state text not null,
    opened_at_ms bigint not null,
    last_seen_at_ms bigint not null,
    unique (account_id, release_id, jkt)
);

-- The usage ledger: which epochs were released to which view, and when.
create table key_releases (
    license_id text not null,
    view_id text not null references views (id),
    file bigint not null,
    first_epoch bigint not null,
    epochs bigint not null,
    at_ms bigint not null,
    primary key (license_id, file, first_epoch)
);
create index key_releases_view on key_releases (view_id, at_ms);

create table signing_keys (
    kid text primary key,
    key_use text not null,
    state text not null,
    public_key blob not null,
    secret blob not null,
    secret_key_id text not null,
    created_at_ms bigint not null,
    retired_at_ms bigint
);

create table secrets (
    name text primary key,
    secret blob not null,
    secret_key_id text not null,
    created_at_ms bigint not null
);

create table proofs (
    jkt text not null,
    jti text not null,
    expires_at_ms bigint not null,
    primary key (jkt, jti)
);
create index proofs_expires on proofs (expires_at_ms);

create table reports (
    id text primary key,
    release_id text not null references releases (id),
    reporter_jkt text not null,
    reported_jkt text not null,
    reason text not null,
    at_ms bigint not null
);
create index reports_reported on reports (reported_jkt);

-- The highest total one downloader confirmed to one uploader in one release.
create table receipts (
    release_id text not null references releases (id),
    uploader_jkt text not null,
    downloader_jkt text not null,
    total_bytes bigint not null,
    credited_bytes bigint not null,
    at_ms bigint not null,
    primary key (release_id, uploader_jkt, downloader_jkt)
);
