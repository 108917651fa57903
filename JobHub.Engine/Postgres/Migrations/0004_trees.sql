-- Trees of jobs, what they wait for, and workers as operators know them.

alter table job
    add column is_group boolean not null default false,
    add column tags text[] not null default '{}',       -- its own affinity; its class holds that of its groups too
    add column shown_from int not null default 0,       -- attempts up to this number are from before the last reset: not shown in its log and count of runs
    add column charged_from int not null default 0,     -- attempts up to this number are not charged any more
    add column reset_at timestamptz,                    -- what began before is not this life's start
    add column deleted_at timestamptz,                  -- cut off its tree; upkeep removes it with all below
    -- of a group: its direct leaves, and all leaves below. Base counters: only the folder writes them, and moves of whole subtrees under the folder's lock.
    add column kids int not null default 0, add column kids_succeeded int not null default 0, add column kids_failed int not null default 0,
    add column leaves int not null default 0, add column leaves_succeeded int not null default 0, add column leaves_failed int not null default 0;
create index job_children on job (parent, number) where parent is not null;
create index job_tree_roots on job (number) where family = 3 and parent is null;
create index job_roots on job (number) where parent is null;   -- a list of all families shows a tree as its root

-- A job waits for another's success; a group's leaves wait with it.
create table dependency (
    job bigint not null, dependency bigint not null,
    primary key (job, dependency)
);
create index dependency_of on dependency (dependency, job);

-- A change of a whole subtree: its intent is stored with the job at once, its queue rows follow in chunks.
create table tree_change (
    id bigint generated always as identity primary key,
    roots bigint[] not null,                            -- subtrees by their tops
    kind smallint not null,                             -- 0 derive queue rows anew, 1 reset, 2 reset what failed, 3 start, 4 delete, 5 cancel
    begun boolean not null default false,
    created_at timestamptz not null default clock_timestamp()
);
create table tree_walk (
    change bigint not null references tree_change (id) on delete cascade,
    job bigint not null,                                -- a group whose children are still to be reached,
    after bigint not null default 0,                    -- after this one
    primary key (change, job)
);

alter table live
    add column paused boolean not null default false,   -- it or a group above is paused
    add column run bigint;                              -- of a tree's leaf: the number of its latest run
create sequence run_number;
alter table attempt add column run bigint, add column progress real;
create index attempt_run on attempt (run) where run is not null;
create index attempt_run_session on attempt (session_id, run) where run is not null;
create index attempt_run_time on attempt (started_at) where run is not null;

alter table ledger
    add column leaves int not null default 0,           -- leaves added to the job's groups, or taken from them
    add column session_id bigint, add column runs_succeeded int not null default 0, add column runs_failed int not null default 0;

-- Something that the job or a group above it depends on has not succeeded.
create function tree_waits(leaf bigint) returns boolean language sql stable as $$
    with recursive chain as (
        select number, parent from job where number = leaf
        union all
        select p.number, p.parent from chain c join job p on p.number = c.parent)
    select exists (select from chain c join dependency d on d.job = c.number where (select o.state from job o where o.number = d.dependency) <> 4)
$$;

-- What a group's leaves make of it. An empty group waits.
create function group_state(leaves int, succeeded int, failed int, started boolean) returns smallint language sql immutable as $$
    select (case when leaves > 0 and succeeded >= leaves then 4 when leaves > 0 and succeeded + failed >= leaves then 5 when started then 1 else 0 end)::smallint
$$;

-- While subtrees are being changed a claim asks the tree itself.
create function tree_allows(leaf bigint) returns boolean language sql stable as $$
    with recursive chain as (
        select number, parent, paused, stop, deleted_at from job where number = leaf
        union all
        select p.number, p.parent, p.paused, p.stop, p.deleted_at from chain c join job p on p.number = c.parent)
    select bool_and(not c.paused and c.stop = 0 and c.deleted_at is null
                    and not exists (select from tree_change t where c.number = any (t.roots) and t.kind in (1, 4, 5))
                    and not exists (select from dependency d where d.job = c.number and (select o.state from job o where o.number = d.dependency) <> 4))
    from chain c
$$;

-- Workers by name, whatever sessions they have had.
create table worker (
    name text primary key,
    form boolean not null default false,                -- speaks the form protocol
    affinity text,                                      -- lines set by an operator; null: as the worker itself says
    active boolean not null default true,
    terminate boolean not null default false,           -- its agent is to exit
    ip text not null default '',
    cpu text not null default '[]', free_memory bigint not null default 0, total_memory bigint not null default 0, -- MiB
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    -- base counters, written by the folder
    succeeded bigint not null default 0, failed bigint not null default 0,
    last_job bigint
);
-- The calls and the lease of a form worker change with each call: they stand with its session, so that the folder, which counts in worker, is not waited for.
alter table worker_session add column calls timestamptz[]; -- of a form worker: its last five calls, newest last; null: an agent's session
create table affinity_slot (
    slot smallint primary key check (slot between 1 and 64),
    name text not null unique
);

-- What runs of form workers have printed.
create table run_log (
    task_id bigint not null, token uuid not null, "offset" bigint not null, bytes bytea not null,
    primary key (token, "offset")
);
alter table run_log alter column bytes set storage external;

-- The numbers a submission was answered with, where one id does not say it.
alter table idempotency add column answer text;
