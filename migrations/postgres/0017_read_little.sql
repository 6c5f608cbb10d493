-- What is asked every second, or by anybody, reads what it gives and not the whole table.

-- Views that ended otherwise than by themselves: told to the peers every two seconds.
create index views_told on views (ended_at_ms) where state in ('revoked', 'stopped');
-- What an entitlement was used for: refunds, and the export of an account.
create index views_entitlement on views (entitlement_id);
-- Whether a device was ever in a swarm: every receipt asks for two.
create index views_device on views (jkt, release_id);
create index carries_device on carries (jkt, release_id);

create index refunds_account on refunds (account_id);

-- Saved cards that a provider is to forget: without the provider first, the planner read all payments of that provider.
drop index payments_forgetting;
create index payments_forgetting on payments (provider, forget_at_ms) where forget_at_ms is not null;

-- What can soon no longer be started: looked for every hour.
create index entitlements_start_by on entitlements (start_by_ms) where state = 'ready';
