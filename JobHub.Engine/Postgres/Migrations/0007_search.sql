-- What lists of jobs are searched, sorted and counted by.

create index job_active on job (priority desc, number desc) where state < 4;
create index job_created on job (created_at desc, number desc);
create index job_cause on job ((error->>'type'), number desc) where state = 5;

-- Every three letters in a row of a title, so that any part of it is found by an index, without an extension.
create function title_grams(title text) returns text[] language sql immutable parallel safe as $$
    select coalesce(array_agg(distinct substr(t, i, 3)), '{}') from (select lower(left(title, 1000)) as t) l, generate_series(1, length(t) - 2) as i
$$;
-- With them who submitted it and each of its labels, as one word each; never as short as a title's.
create function words_of_job(title text, caller text, labels jsonb) returns text[] language sql immutable parallel safe as $$
    select title_grams(coalesce(title, ''))
        || case when caller is null then '{}' else array['user ' || left(caller, 300)] end
        || case when labels = '{}' then '{}' else array(select 'label ' || left(key, 300) || '=' || left(value, 300) from jsonb_each_text(labels)) end
$$;

-- Beside job, whose row is written anew at each change of its state, and all its index entries with it: these words change only with the title. Upkeep makes them, in the order
-- of the ledger; what was submitted after this position is looked at by itself.
create table job_words (
    job bigint primary key,
    words text[] not null
);
create index job_words_words on job_words using gin (words);
create table job_words_made (single boolean primary key default true check (single), position bigint not null);
insert into job_words_made (position) select position from relay;
create index ledger_submitted on ledger (position) where kind = 'job-submitted' and position is not null;

-- Jobs by what they read as: counted, and changes that are not added yet. A count is the sum of both, from one snapshot.
create table job_count (
    project text not null, family smallint not null, root boolean not null, state smallint not null, jobs bigint not null,
    primary key (project, family, root, state)
) with (fillfactor = 70);
create table job_count_change (
    project text not null, family smallint not null, root boolean not null, state smallint not null, jobs bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- A job's state with the intent beside it, as its row alone says it; what has been leased and is not folded yet reads as running, which readers add.
create function job_word(state smallint, stop smallint, paused boolean) returns smallint language sql immutable parallel safe as $$
    select (case when state >= 4 then state when stop = 1 then 3 when paused then 2 else state end)::smallint
$$;

create function job_made() returns trigger language plpgsql as $$
begin
    insert into job_count_change
    select project, family, parent is null, job_word(state, stop, paused), count(*) from made where deleted_at is null group by 1, 2, 3, 4;
    return null;
end $$;
create function job_changed() returns trigger language plpgsql as $$
begin
    insert into job_count_change
    select project, family, root, state, sum(jobs) from (
        select project, family, parent is null as root, job_word(state, stop, paused) as state, 1 as jobs from after where deleted_at is null
        union all
        select project, family, parent is null, job_word(state, stop, paused), -1 from before where deleted_at is null) c
    group by 1, 2, 3, 4 having sum(jobs) <> 0;
    return null;
end $$;
create function job_removed() returns trigger language plpgsql as $$
begin
    insert into job_count_change
    select project, family, parent is null, job_word(state, stop, paused), -count(*) from removed where deleted_at is null group by 1, 2, 3, 4;
    delete from job_words where job = any (array(select number from removed));
    return null;
end $$;
create function job_named() returns trigger language plpgsql as $$
begin
    insert into job_words values (new.number, words_of_job(new.title, new.caller, new.labels))
    on conflict (job) do update set words = excluded.words;
    return null;
end $$;

create trigger job_made after insert on job referencing new table as made for each statement execute function job_made();
create trigger job_changed after update on job referencing old table as before new table as after for each statement execute function job_changed();
create trigger job_removed after delete on job referencing old table as removed for each statement execute function job_removed();
create trigger job_named after update of title, caller, labels on job for each row
    when (old.title is distinct from new.title or old.caller is distinct from new.caller or old.labels is distinct from new.labels) execute function job_named();

insert into job_count
select project, family, parent is null, job_word(state, stop, paused), count(*) from job where deleted_at is null group by 1, 2, 3, 4;
insert into job_words select number, words_of_job(title, caller, labels) from job;
