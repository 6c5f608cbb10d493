-- Words of one to ten letters have lists of their own: the beginning of a word that very many tracks have is found as
-- quickly as a word. Without a list FTS5 first gathers every track of every word that begins so.
drop table tracks_search;
create virtual table tracks_search using fts5 (
    words,
    content = '',
    contentless_delete = 1,
    detail = none,
    prefix = '1 2 3 4 5 6 7 8 9 10',
    tokenize = 'ascii'
);
-- Numbered as in store/backend.rs.
insert into tracks_search (rowid, words)
    select ((2147483647 - popularity) << 31) | id, words from tracks order by popularity desc, id;
