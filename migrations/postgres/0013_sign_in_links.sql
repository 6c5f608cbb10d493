-- Links to sign in with that were sent by mail. One that is over is kept for a day, so that whoever opens it is told why.

create table sign_in_links (
    token_hash bytea primary key,
    account_id text not null references accounts (id),
    -- Of the cookie of the browser that asked for it.
    browser_hash bytea not null,
    asked_at_ms bigint not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    replaced_at_ms bigint
);
create index sign_in_links_account on sign_in_links (account_id, asked_at_ms);
create index sign_in_links_expires on sign_in_links (expires_at_ms);
