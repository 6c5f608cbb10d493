-- Accounts that were closed, logins one can tell apart, API keys, viewers of integrators, embed tokens, the audit trail.

alter table accounts add column deleted_at_ms bigint;
alter table sessions add column agent text;
create index sessions_account on sessions (account_id);

create table api_keys (
    id text primary key,
    account_id text not null references accounts (id),
    name text not null,
    prefix text not null,
    key_hash blob not null unique,
    scopes text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    revoked_at_ms bigint
);
create index api_keys_account on api_keys (account_id, created_at_ms);

-- Whose viewers those are that an integrator made, under the integrator's own names for them.
create table integrator_viewers (
    integrator_id text not null references accounts (id),
    reference text not null,
    account_id text not null unique references accounts (id),
    created_at_ms bigint not null,
    primary key (integrator_id, reference)
);

create table embed_tokens (
    token_hash blob primary key,
    account_id text not null references accounts (id),
    title_id text not null references titles (id),
    created_at_ms bigint not null,
    expires_at_ms bigint not null
);
create index embed_tokens_account on embed_tokens (account_id);
create index embed_tokens_expires on embed_tokens (expires_at_ms);

-- Who did what that needs a right of its own. Holds ids and terms, never a name or an address; rows are only added.
create table audit (
    id text primary key,
    at_ms bigint not null,
    actor_kind text not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    request_id text
);
create index audit_at on audit (at_ms, id);
create trigger audit_no_update before update on audit begin
    select raise(abort, 'the audit trail is append-only');
end;
create trigger audit_no_delete before delete on audit begin
    select raise(abort, 'the audit trail is append-only');
end;
