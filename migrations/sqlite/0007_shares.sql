-- What many credit at once is counted in several rows, so that they do not wait for each other: an account's balance is
-- that of its own row and of its shares. SQLite has one writer, and no shares.
create table ledger_shares (
    account text not null references ledger_accounts (name),
    share bigint not null,
    balance_minor bigint not null,
    primary key (account, share)
);

create view ledger_balances as
    select a.name, a.currency,
    cast(a.balance_minor + coalesce((select sum(s.balance_minor) from ledger_shares s where s.account = a.name), 0)
    as bigint) as balance_minor
    from ledger_accounts a;
