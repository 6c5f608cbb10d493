-- Titles that came in by a supplier's list, under the supplier's own names for them: the same one again is the same title.
-- One that is not finished yet is gone on with.
create table supplied_titles (
    publisher_id text not null references accounts (id),
    reference text not null,
    title_id text not null unique references titles (id),
    release_id text not null unique references releases (id),
    created_at_ms bigint not null,
    finished_at_ms bigint,
    primary key (publisher_id, reference)
);
