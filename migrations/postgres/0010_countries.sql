-- In which countries a plan lets a title play: `only` or `except` those listed, null is everywhere. The entitlement holds
-- what its plan promised. Null for an unknown country leaves it to the operator.

alter table plans add column country_rule text;
alter table plans add column countries text;
alter table plans add column unknown_country_allowed boolean;
alter table entitlements add column country_rule text;
alter table entitlements add column countries text;
alter table entitlements add column unknown_country_allowed boolean;
