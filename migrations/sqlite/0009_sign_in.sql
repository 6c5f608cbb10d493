-- Ways to sign in beside the password: passkeys, identities at other providers, links by mail; and what is under way.

create table passkeys (
    id text primary key,
    account_id text not null references accounts (id),
    credential_id blob not null unique,
    -- The credential as the library keeps it, with its counter: compared whole when it is replaced.
    credential text not null,
    name text not null,
    created_at_ms bigint not null,
    last_used_at_ms bigint
);
create index passkeys_account on passkeys (account_id, created_at_ms);

-- Who an account is elsewhere (OpenID Connect): the issuer and its name for the person.
create table identities (
    id text primary key,
    issuer text not null,
    subject text not null,
    account_id text not null references accounts (id),
    created_at_ms bigint not null,
    last_used_at_ms bigint,
    unique (issuer, subject)
);
create index identities_account on identities (account_id, created_at_ms);

-- A registration or a sign-in under way, for minutes and once.
create table ceremonies (
    token_hash blob primary key,
    kind text not null,
    account_id text references accounts (id),
    state text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null
);
create index ceremonies_account on ceremonies (account_id);
create index ceremonies_expires on ceremonies (expires_at_ms);
