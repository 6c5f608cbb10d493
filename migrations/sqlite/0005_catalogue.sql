-- The catalogue: what there is to look through, millions of tracks of it. Ids are numbers here: there is one index entry
-- for each of them in every index below.

create table artists (
    id integer primary key,
    name text not null,
    sort_key text not null unique
);

create table albums (
    id integer primary key,
    artist_id integer not null references artists (id),
    name text not null,
    sort_key text not null,
    year integer,
    unique (artist_id, sort_key)
);

create table genres (
    id integer primary key,
    name text not null,
    sort_key text not null unique
);

-- `reference` is the supplier's own name for a track: the same one again is the same track. `words` is what it is found
-- by, folded. `title_id` is what one buys to hear it: a title of its own, or the album's.
create table tracks (
    id integer primary key,
    reference text not null unique,
    name text not null,
    artist_id integer not null references artists (id),
    album_id integer references albums (id),
    genre_id integer references genres (id),
    title_id text references titles (id),
    number integer,
    duration_ms bigint,
    popularity integer not null check (popularity >= 0),
    words text not null
);
create index tracks_artist on tracks (artist_id, popularity desc, id);
create index tracks_album on tracks (album_id, number, id);
create index tracks_genre on tracks (genre_id, popularity desc, id);
create index tracks_popularity on tracks (popularity desc, id);
create index tracks_title on tracks (title_id) where title_id is not null;

-- Rows of the index stand in the order of popularity, so that the first matches are the best: see store/backend.rs.
-- Words of one, two and three letters have lists of their own.
create virtual table tracks_search using fts5 (
    words,
    content = '',
    contentless_delete = 1,
    detail = none,
    prefix = '1 2 3',
    tokenize = 'ascii'
);

-- How far the import of a file has come; written with the rows it counts.
create table imports (
    file_hash blob primary key,
    name text not null,
    bytes_done bigint not null,
    rows_done bigint not null,
    bytes bigint not null,
    updated_at_ms bigint not null,
    finished_at_ms bigint
);
