-- A caller's own id of a job, unique within its project.
alter table job add column name text;
create unique index job_name on job (project, name) where name is not null;

-- Files by path. job 0 is the project's file space, any other number that job's own tree. Objects are immutable: another version of a file is another object.
create table file (
    project text not null, job bigint not null, path text collate "C" not null,
    object text not null, size bigint not null, executable boolean not null default false,
    modified_at timestamptz not null default clock_timestamp(),
    primary key (project, job, path)
);
create index file_object on file (object);

-- What a running attempt has sent of its tree: it becomes the job's when the attempt ends the task.
create table captured_file (
    token uuid not null, task_id bigint not null, path text collate "C" not null,
    object text not null, size bigint not null, executable boolean not null,
    primary key (token, path)
);

-- Objects that nothing refers to: written down before an upload begins, taken out when a row refers to it, put in again when the last one stops to. Removed from the store once due.
create table file_garbage (
    object text primary key,
    due_at timestamptz not null default clock_timestamp()
);
create index file_garbage_due on file_garbage (due_at);

-- A file that is replaced or removed may still be read, or be on its way into a job: its object waits a while.
create function drop_file_object() returns trigger language plpgsql as $$
begin
    if old.object like 'files/%' then
        insert into file_garbage (object, due_at) values (old.object, clock_timestamp() + interval '10 minutes') 
            on conflict (object) do update set due_at = greatest(file_garbage.due_at, excluded.due_at);
    end if;
    return null;
end $$;
create trigger file_replaced after update of object on file for each row when (old.object <> new.object) execute function drop_file_object();
create trigger file_removed after delete on file for each row execute function drop_file_object();
