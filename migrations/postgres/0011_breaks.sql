-- Breaks: what a plan promised of them stands in the entitlement, what was shown of them in the view.

alter table entitlements add column breaks text;
alter table titles add column ad_clip_url text;

create table view_breaks (
    view_id text not null references views (id),
    number bigint not null,
    started_at_ms bigint not null,
    shown_at_ms bigint,
    primary key (view_id, number)
);
