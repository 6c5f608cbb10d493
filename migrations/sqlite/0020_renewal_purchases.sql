-- A period that was paid for is a purchase of its own, whether a payment method or the wallet paid for it.

-- What it renews and the number of the period that it pays for; none of both is a purchase that somebody made. Without a
-- foreign key: entitlements point at purchases, and tables are copied in an order.
alter table purchases add column entitlement_id text;
alter table purchases add column period_index bigint;
update purchases set
    entitlement_id = (select y.entitlement_id from payments y where y.purchase_id = purchases.id),
    period_index = (select y.period_index from payments y where y.purchase_id = purchases.id)
    where id in (select purchase_id from payments where entitlement_id is not null);

-- What the wallet paid for until now has a journal alone, named after the entitlement and the period.
insert into purchases (id, account_id, plan_id, price_minor, currency, journal_id, created_at_ms, entitlement_id,
    period_index)
    select lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' ||
    substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
    n.account_id, n.plan_id, -e.amount_minor, a.currency, j.id, j.at_ms, n.id,
    cast(substr(j.id, length(n.id) + 2) as bigint)
    from journals j join entitlements n on n.id = j.reference join ledger_entries e on e.journal_id = j.id
    join ledger_accounts a on a.name = e.account
    where j.kind = 'renewal' and e.amount_minor < 0 and n.plan_id is not null
    and not exists (select 1 from payments y where y.entitlement_id = n.id
    and y.period_index = cast(substr(j.id, length(n.id) + 2) as bigint) and y.purchase_id is not null);

-- One tax line a purchase. Those of periods that the wallet paid for stood at the first purchase, under their number.
create table tax_lines_next (
    purchase_id text primary key references purchases (id),
    country text not null,
    rate_basis_points bigint not null,
    net_minor bigint not null,
    tax_minor bigint not null,
    currency text not null
);
insert into tax_lines_next (purchase_id, country, rate_basis_points, net_minor, tax_minor, currency)
    select case when x.line = 0 then x.purchase_id else p.id end, x.country, x.rate_basis_points, x.net_minor, x.tax_minor,
    x.currency from tax_lines x left join entitlements n on n.purchase_id = x.purchase_id and x.line > 0
    left join purchases p on p.journal_id = n.id || '/' || x.line;
drop table tax_lines;
alter table tax_lines_next rename to tax_lines;
