-- Plans of every kind, collections, groups, coupons, gift codes. The same tables in the same order as the other
-- database's file of this name.

create table collections (
    id text primary key,
    publisher_id text not null references accounts (id),
    name text not null,
    created_at_ms bigint not null
);
create index collections_publisher on collections (publisher_id);

-- A title needs at least this tier of a plan over the collection.
create table collection_titles (
    collection_id text not null references collections (id),
    title_id text not null references titles (id),
    tier bigint not null check (tier > 0),
    added_at_ms bigint not null,
    primary key (collection_id, title_id)
);
create index collection_titles_title on collection_titles (title_id);

create table viewer_groups (
    id text primary key,
    publisher_id text not null references accounts (id),
    name text not null,
    created_at_ms bigint not null
);
create index viewer_groups_publisher on viewer_groups (publisher_id);

create table viewer_group_members (
    group_id text not null references viewer_groups (id),
    account_id text not null references accounts (id),
    added_at_ms bigint not null,
    primary key (group_id, account_id)
);

alter table titles add column available_from_ms bigint;
alter table titles add column available_until_ms bigint;
alter table titles add column group_id text references viewer_groups (id);
alter table titles add column preview_ms bigint;
-- `only` or `except` the countries listed; null is everywhere.
alter table titles add column country_rule text;
alter table titles add column countries text;
alter table titles add column unknown_country_allowed boolean;

-- A plan is for one title, for one collection, or for the titles of a bundle: a column may be null now. Neither database
-- can drop the constraint in the same words, so the column is made anew.
alter table plans add column one_title_id text references titles (id);
update plans set one_title_id = title_id;
drop index plans_title;
alter table plans drop column title_id;
alter table plans rename column one_title_id to title_id;
create index plans_title on plans (title_id);
alter table plans add column name text;
alter table plans add column collection_id text references collections (id);
alter table plans add column tier bigint;
alter table plans add column period text;
alter table plans add column grace_ms bigint;
alter table plans add column trial_ms bigint;
alter table plans add column quota_titles bigint;
alter table plans add column guests boolean not null default false;
alter table plans add column breaks text;
alter table plans add column concurrent_views bigint;
alter table plans add column offline_ms bigint;
create index plans_collection on plans (collection_id);

create table plan_titles (
    plan_id text not null references plans (id),
    title_id text not null references titles (id),
    position bigint not null,
    primary key (plan_id, title_id)
);
create index plan_titles_title on plan_titles (title_id);

alter table entitlements add column one_title_id text references titles (id);
update entitlements set one_title_id = title_id;
alter table entitlements drop column title_id;
alter table entitlements rename column one_title_id to title_id;
alter table entitlements add column kind text not null default 'rental';
alter table entitlements add column collection_id text references collections (id);
alter table entitlements add column tier bigint;
alter table entitlements add column valid_until_ms bigint;
alter table entitlements add column period text;
alter table entitlements add column anchor_ms bigint;
alter table entitlements add column period_index bigint not null default 0;
alter table entitlements add column period_end_ms bigint;
alter table entitlements add column grace_ms bigint;
alter table entitlements add column renews boolean not null default false;
alter table entitlements add column renew_at_ms bigint;
alter table entitlements add column quota_titles bigint;
alter table entitlements add column quota_used bigint not null default 0;
alter table entitlements add column preview_ms bigint;
alter table entitlements add column concurrent_views bigint;
alter table entitlements add column offline_ms bigint;
alter table entitlements add column updated_at_ms bigint;
update entitlements set state = 'ready' where state = 'active' and views_used = 0;
update entitlements set kind = 'purchase' where plan_id is null;
create index entitlements_title on entitlements (title_id);
create index entitlements_collection on entitlements (collection_id);
create index entitlements_purchase on entitlements (purchase_id);
create index entitlements_renew on entitlements (renew_at_ms) where renews;

-- What happened to an entitlement, as its status document tells it.
create table entitlement_events (
    entitlement_id text not null references entitlements (id),
    position bigint not null,
    event text not null,
    note text,
    at_ms bigint not null,
    primary key (entitlement_id, position)
);

-- A title counts once in a period of a quota.
create table quota_uses (
    entitlement_id text not null references entitlements (id),
    period_index bigint not null,
    title_id text not null references titles (id),
    at_ms bigint not null,
    primary key (entitlement_id, period_index, title_id)
);

-- A plan is tried once an account.
create table trials (
    account_id text not null references accounts (id),
    plan_id text not null references plans (id),
    at_ms bigint not null,
    primary key (account_id, plan_id)
);

create table coupons (
    code text primary key,
    plan_id text references plans (id),
    percent_off bigint,
    minor_off bigint,
    currency text,
    uses bigint not null,
    uses_max bigint,
    expires_at_ms bigint,
    created_at_ms bigint not null,
    check (uses_max is null or uses <= uses_max)
);

-- One coupon, one account, once.
create table coupon_uses (
    code text not null references coupons (code),
    account_id text not null references accounts (id),
    purchase_id text not null,
    at_ms bigint not null,
    primary key (code, account_id)
);

create table gift_codes (
    code_hash blob primary key,
    plan_id text not null references plans (id),
    expires_at_ms bigint,
    created_at_ms bigint not null,
    redeemed_by text references accounts (id),
    redeemed_at_ms bigint
);
create index gift_codes_plan on gift_codes (plan_id);

alter table purchases add column coupon text references coupons (code);

alter table views add column title_id text references titles (id);
update views set title_id = (select r.title_id from releases r where r.id = views.release_id);
-- One active view a device, entitlement and title: a collection has many titles.
drop index views_active;
create unique index views_active on views (entitlement_id, jkt, title_id) where state = 'active';
create index views_account on views (account_id) where state = 'active';
