-- Royalty rules hold from a month on, so that the statement of a month is computed by the rules of then. A set without
-- rules is kept too: from that month on nobody earns. What was there held at all times.
create table royalty_rule_sets (
    title_id text not null references titles (id),
    from_ms bigint not null,
    primary key (title_id, from_ms)
);
insert into royalty_rule_sets (title_id, from_ms) select distinct title_id, 0 from royalty_rules;
create table royalty_rules_next (
    title_id text not null,
    from_ms bigint not null,
    holder text not null,
    share_basis_points bigint not null check (share_basis_points between 0 and 10000),
    minimum_minor bigint not null check (minimum_minor >= 0),
    currency text not null,
    primary key (title_id, from_ms, holder),
    foreign key (title_id, from_ms) references royalty_rule_sets (title_id, from_ms)
);
insert into royalty_rules_next (title_id, from_ms, holder, share_basis_points, minimum_minor, currency)
    select title_id, 0, holder, share_basis_points, minimum_minor, currency from royalty_rules;
drop table royalty_rules;
alter table royalty_rules_next rename to royalty_rules;

-- What an entitlement was used for, title by title: plays, beside refunds and the export of an account.
drop index views_entitlement;
create index views_entitlement on views (entitlement_id, title_id);
