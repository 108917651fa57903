-- What happened, rolled up by minute and by ten minutes, so that a number of a day costs a few hundred rows and never its history. A roll-up moves the place in its own transaction.
create table statistic_place (
    name text primary key,
    position bigint not null default 0,                     -- of the ledger: what is up to here is counted
    due_at timestamptz not null default clock_timestamp()   -- of the walk over the queue: whoever comes next after this takes it
);
insert into statistic_place (name) values ('ledger'), ('queue');

-- minutes: 1 (kept a day) or 10 (kept eight days). project '' is all of them together.
create table statistic (
    minutes smallint not null, at timestamptz not null, project text collate "C" not null,
    tasks_succeeded bigint not null default 0, tasks_failed bigint not null default 0, tasks_canceled bigint not null default 0,
    jobs_submitted bigint not null default 0, jobs_succeeded bigint not null default 0, jobs_failed bigint not null default 0, jobs_canceled bigint not null default 0,
    primary key (minutes, at, project)
) with (fillfactor = 80);

-- Jobs and attempts that failed, by cause. worker '' is said of jobs, and of attempts by ten minutes.
create table failure (
    minutes smallint not null, at timestamptz not null, project text collate "C" not null,
    of_job boolean not null, worker text collate "C" not null, cause text collate "C" not null, exit_code int not null, -- -1: none
    count bigint not null,
    primary key (minutes, at, of_job, project, worker, cause, exit_code)
) with (fillfactor = 80);

-- What waits in the queue, by reason, as the latest walk of a minute found it. class 0: not told apart. project '' is all of them together.
create table queue_sample (
    at timestamptz not null, project text collate "C" not null, reason text not null, class int not null,
    claimable boolean not null, tasks bigint not null, oldest_at timestamptz,
    primary key (at, project, reason, class)
);
create table worker_sample (
    at timestamptz not null, worker text collate "C" not null, load real not null, free_memory bigint not null, busy int not null, slots int not null,
    primary key (worker, at)
);
create index worker_sample_at on worker_sample (at);

create index worker_session_worker on worker_session (worker, id desc);
alter table worker add column draining boolean not null default false; -- it ends what it runs and is given nothing new
