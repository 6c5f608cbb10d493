-- Accounts that were opened before addresses were verified, by somebody who answers for the address: an operator, as the
-- audit trail says, or a provider of identities, whose identity is as old as the account. Who linked a provider to an
-- account that was there already had a password or a passkey before, and took longer.
update accounts set email_verified_at_ms = created_at_ms
    where email_verified_at_ms is null and deleted_at_ms is null and (
        exists (select 1 from audit u where u.subject = accounts.id and u.action = 'account.add')
        or exists (select 1 from identities i where i.account_id = accounts.id
            and i.created_at_ms between accounts.created_at_ms and accounts.created_at_ms + 100
            and not exists (select 1 from passkeys p where p.account_id = i.account_id
                and p.created_at_ms <= i.created_at_ms))
    );

-- Titles newest first, and an integrator's viewers.
create index if not exists titles_created on titles (created_at_ms, id);
create index if not exists integrator_viewers_created on integrator_viewers (integrator_id, created_at_ms, account_id);
-- What somebody did, and what was done to somebody.
create index if not exists audit_actor on audit (actor);
create index if not exists audit_subject on audit (subject, at_ms, id);
