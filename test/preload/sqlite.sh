#!/bin/bash
# sqlite3: 100,000 rows inserted, indexed, joined, updated and deleted.
. "$(dirname "$0")/preload.sh"
need sqlite3
loads sqlite3 -version

workload() {
    sqlite3 -batch data.db <<'SQL'
pragma cache_size = 5000;
create table person (id integer primary key, name text, age integer, note text);
begin;
with recursive counter(n) as (select 1 union all select n + 1 from counter where n < 100000)
insert into person
select n, 'person ' || (n * 7919 % 100003), n * 31 % 97, printf('%.*c', n % 200, 'x') from counter;
commit;
create index by_name on person (name);
create index by_age on person (age, id);
select count(*), sum(age), sum(length(note)) from person;
select age, count(*), max(name) from person group by age order by age;
select a.name, b.id from person a join person b on b.name = 'person ' || (a.id * 3 % 100003)
where a.age = 13 order by a.id limit 200;
update person set note = note || name where id % 3 = 0;
delete from person where id % 5 = 0;
select count(*), sum(length(note)) from person;
select group_concat(name, ',') from (select name from person order by note desc, id limit 300);
with recursive walk(id, depth, path) as (
    select 1, 0, '1'
    union all
    select id * 2 % 99991, depth + 1, path || '/' || id from walk where depth < 300
)
select length(path), depth from walk order by depth;
vacuum;
pragma integrity_check;
SQL
    cksum data.db
}
compare
