-- What is no longer sold; none is on sale.
alter table plans add column ended_at_ms bigint;
-- How much a preview opens is asked of its title.
alter table entitlements drop column preview_ms;
