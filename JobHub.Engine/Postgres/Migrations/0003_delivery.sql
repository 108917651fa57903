-- Readers of the ledger that must miss nothing. Retention keeps what one of them, seen lately, has not passed.
create table event_cursor (
    name text primary key,
    position bigint not null,
    seen_at timestamptz not null default clock_timestamp()
);

create table webhook (
    id uuid primary key,
    project text,                          -- null: of all projects
    url text not null,
    secret bytea not null,                 -- sealed, bound to the id
    filter smallint not null,              -- 0 final states, 1 every change
    enabled boolean not null default true,
    disabled_reason text,
    after_position bigint not null,        -- events up to here are not its: it was made, or switched on again, later
    created_at timestamptz not null default clock_timestamp()
);
create index webhook_enabled on webhook (id) where enabled;

create table webhook_delivery (
    id uuid primary key,
    webhook uuid not null references webhook (id) on delete cascade,
    position bigint not null,              -- of its event
    event text not null,
    job bigint,                            -- deliveries of one job are in order; null: of no job
    job_name text,
    body text not null,
    state smallint not null default 0,     -- 0 pending, 1 delivered, 2 dead
    attempts int not null default 0,
    due_at timestamptz not null default clock_timestamp(),
    give_up_at timestamptz not null,
    tried_at timestamptz, last_status int, last_error text,
    ended_at timestamptz,
    created_at timestamptz not null default clock_timestamp()
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index webhook_delivery_list on webhook_delivery (webhook, id desc);
create index webhook_delivery_dead on webhook_delivery (webhook, id desc) where state = 2;
create index webhook_delivery_due on webhook_delivery (webhook, due_at, position) where state = 0;
create index webhook_delivery_order on webhook_delivery (webhook, job, position) where state = 0;
create index webhook_delivery_ended on webhook_delivery (state, ended_at) where state > 0;
