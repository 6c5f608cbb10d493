-- Devices have names and are removed so often; guests are counted by the hour.

alter table devices add column name text;

create table device_removals (
    account_id text not null references accounts (id),
    jkt text not null,
    at_ms bigint not null,
    primary key (account_id, jkt, at_ms)
);
create index device_removals_at on device_removals (account_id, at_ms);

create index accounts_guests on accounts (created_at_ms) where roles = 'guest';
