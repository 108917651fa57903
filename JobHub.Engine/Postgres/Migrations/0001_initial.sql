-- The whole state of the hub. A task's id is (job number << 20) | index: ids of one job are contiguous and ties in the queue are first in, first out.

create table requirement_class (
    id int generated always as identity primary key,
    affinity text[] not null, gpus int not null, cpus int not null, memory bigint not null, mount text not null,
    unique (affinity, gpus, cpus, memory, mount)
);

create table job (
    id uuid primary key,
    number bigint generated always as identity unique,
    parent bigint,
    family smallint not null,
    project text not null,
    caller text,
    title text,
    labels jsonb not null default '{}',
    priority smallint not null check (priority between 0 and 255),
    rank bigint not null,
    class int not null references requirement_class (id),
    max_attempts int not null,
    timeout_seconds double precision,
    speculative boolean not null,
    details jsonb not null,
    -- tasks by kind, in the order of their indexes
    maps int not null default 0, reduces int not null default 0, commands int not null default 0, analyses int not null default 0,
    -- base counters: only the folder writes them; readers add the ledger's unfolded deltas
    blocked int not null default 0, succeeded int not null default 0, failed int not null default 0, canceled int not null default 0,
    skipped int not null default 0, maps_succeeded int not null default 0, counters jsonb not null default '{}',
    state smallint not null default 0,
    -- intent, beside the observed state
    paused boolean not null default false,
    cancel_requested_at timestamptz,
    stop smallint not null default 0,      -- 0 none, 1 canceled by a caller, 2 failed: end what is left
    dirty boolean not null default false,  -- something changed that may move the job on
    cleanup boolean not null default false, -- ended; temporary objects may be left
    error jsonb,
    created_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz
);
create index job_dirty on job (number) where dirty;
create index job_cleanup on job (number) where cleanup;
create index job_by_family on job (family, number desc);
create index job_by_state on job (state, number desc);
create index job_by_project on job (project, number desc);
create index job_ended on job (ended_at) where ended_at is not null;

create table job_input (
    job bigint not null references job (number) on delete cascade,
    first_task int not null,
    path text not null, size bigint not null, etag text,
    primary key (job, first_task, path)
);

-- The queue: one narrow row for each task that has not ended, a second for a speculative attempt; deleted at the end.
create table live (
    task_id bigint not null,
    speculative boolean not null default false,
    class int not null,
    rank bigint not null,
    state smallint not null,               -- 0 blocked, 1 ready, 2 leased, 3 running
    claimable boolean not null,
    attempt int not null default 0,        -- number of the latest attempt
    stop smallint not null default 0,      -- 0 none, else the reason its holder is told
    misses smallint not null default 0,    -- renews in a row that did not list the token
    session_id bigint,
    token uuid,
    claim_id uuid,
    leased_at timestamptz,
    started_at timestamptz,
    not_before timestamptz,
    progress real not null default 0,
    avoid text,                            -- a speculative attempt runs on another worker than this
    primary key (task_id, speculative)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0.05,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.1);
create index live_claim on live (class, rank desc, task_id) where claimable;
create index live_session on live (session_id) where session_id is not null;
create index live_speculative on live (task_id) where speculative;
create index live_later on live (not_before) where not_before is not null;

-- Written once, when the winning attempt is known (or the task ended without one).
create table task (
    id bigint primary key,
    state smallint not null,               -- 3 while its output is being promoted
    attempt int not null default 0,
    winner uuid,
    pending jsonb,                         -- the commit: what to promote; null when nothing is or it is done
    started_at timestamptz, ended_at timestamptz,
    error jsonb,
    counters jsonb,
    offsets bytea                          -- map: 8-byte little-endian partition offsets in the shuffle object
);
alter table task alter column offsets set storage external;
create index task_promoting on task (id) where pending is not null;

create table attempt (
    task_id bigint not null,
    number int not null,
    token uuid not null,
    session_id bigint,
    outcome smallint not null,
    reported boolean not null,             -- false: the hub wrote it (lease lost), the worker never did
    started_at timestamptz not null, ended_at timestamptz not null,
    exit_code int, signal int,
    error jsonb,
    cpu_seconds real, peak_memory bigint,
    log_inline bytea, log_key text, log_size bigint not null default 0, log_gaps jsonb,
    primary key (task_id, number)
);

-- Everything that happens: events, counter deltas, outbox. Appended only; the relay gives position, in order, to rows no open transaction can precede.
create table ledger (
    seq bigint generated always as identity,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    position bigint,
    job bigint not null,
    kind text not null,
    payload jsonb,
    blocked int not null default 0, succeeded int not null default 0, failed int not null default 0, canceled int not null default 0,
    skipped int not null default 0, maps_succeeded int not null default 0,
    started_at timestamptz,
    counters jsonb
) partition by range (at);
create table ledger_default partition of ledger default;
create index ledger_open on ledger (seq) where position is null;
create index ledger_open_job on ledger (job) where position is null;
create index ledger_position on ledger (position) where position is not null;
create index ledger_job on ledger (job, position);

create table relay (single boolean primary key default true check (single), position bigint not null);
insert into relay (position) values (0);
create table upkeep (single boolean primary key default true check (single), swept_at timestamptz not null);
insert into upkeep (swept_at) values (clock_timestamp());

create table worker_session (
    id bigint generated always as identity primary key,
    worker text not null,
    host text not null, slots int not null, cpus int not null, memory bigint not null, gpus int not null,
    affinity jsonb not null, mounts text[] not null, isolation text not null, version text not null,
    shares_files boolean not null default false, proof text,
    load real not null default 0, free_memory bigint not null default 0,
    opened_at timestamptz not null default clock_timestamp(),
    lease_until timestamptz not null,
    ended_at timestamptz, end_reason text
);
create index worker_session_open on worker_session (lease_until) where ended_at is null;

-- Multipart uploads an attempt has opened: ended by promotion or by upkeep.
create table upload (
    task_id bigint not null, token uuid not null, upload_id text not null,
    opened_at timestamptz not null default clock_timestamp(),
    primary key (token, upload_id)
);
-- Pending bytes of attempts that did not win: removed by upkeep.
create table discard (
    task_id bigint not null, token uuid not null, attempt int not null, due_at timestamptz not null default clock_timestamp(),
    primary key (token)
);
create index discard_due on discard (due_at);

-- What a running attempt has printed lately; gone when its log is final.
create unlogged table live_log (
    task_id bigint not null, token uuid not null, "offset" bigint not null, bytes bytea not null,
    at timestamptz not null default clock_timestamp(),
    primary key (task_id, token, "offset")
);

create table artifact (
    name text not null, version int not null, type smallint not null, size bigint not null, hash text not null,
    created_at timestamptz not null default clock_timestamp(), deleted_at timestamptz,
    primary key (name, version)
);
create index artifact_hash on artifact (hash);

create table secret (
    job bigint not null references job (number) on delete cascade, name text not null, sealed bytea not null,
    primary key (job, name)
);

create table idempotency (
    caller text not null, key text not null, body_hash bytea, job_id uuid not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (caller, key)
);
create index idempotency_age on idempotency (created_at);
