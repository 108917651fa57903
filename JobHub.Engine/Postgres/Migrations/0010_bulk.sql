-- Jobs that are paused or hold blocked tasks, for counting what waits.
create index job_paused on job (number) where paused and state < 4;
create index job_blocked on job (number) where blocked > 0 and state < 4;

-- What is still to be done about a job's rows after its intent was stored: upkeep takes it in chunks.
create table job_change (
    job bigint not null references job (number) on delete cascade,
    kind smallint not null,                -- 0 derive its queue rows anew, 1 run again what failed, 2 remove it
    after int not null default -1,         -- index of the last task that was reached
    attempts int not null default 0,       -- of 1: the highest number of an attempt so far
    caller text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (job, kind)
);

-- Changes of many jobs: of a list, or of what a filter finds. Upkeep goes through them from the newest to the oldest.
create table bulk (
    id uuid primary key,
    caller text not null, account bigint,
    action smallint not null, priority smallint,
    jobs bigint[],                         -- null: what the filter finds
    filter jsonb,
    upto bigint not null,                  -- jobs that were made later are none of it
    projects text[], only_unmade boolean not null default false, -- what the caller may change; null: all
    undo_of uuid,
    state smallint not null default 0,     -- 0 under way, 1 done, 2 stopped by its caller
    place_value bigint, place_number bigint, -- of the last job that was reached
    total bigint not null, done bigint not null default 0, failed bigint not null default 0,
    remaining jsonb not null default '[]',  -- the first to which it could not be done, and why
    undone uuid,                           -- the bulk that took it back
    created_at timestamptz not null default clock_timestamp(), ended_at timestamptz
);
create index bulk_open on bulk (id) where state = 0;
create index bulk_caller on bulk (caller, id desc);
create index bulk_age on bulk (created_at);

-- What jobs were before, so that it can be taken back.
create table bulk_former (
    bulk uuid not null references bulk on delete cascade, job bigint not null, value smallint not null,
    primary key (bulk, job)
);
