-- Everybody's refunds, newest first.
create index refunds_at on refunds (created_at_ms, id);
