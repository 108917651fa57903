-- Typing data. Rows of a dataset belong to a revision; an upload writes a new revision in chunks and the dataset then points to it, so readers see the old one or the new one whole.
create table dataset (
    id uuid primary key, project text collate "C" not null references project on delete cascade, description text not null, created_at timestamptz not null default now(),
    revision integer not null default 0, loci text[] not null default '{}', profiles integer not null default 0,
    isolates_revision integer not null default 0, isolates integer not null default 0,
    next_revision integer not null default 1,
    snapshot text                          -- the object that analyses read; null when the data has changed since
);
create index dataset_project on dataset (project, created_at);

create table profile (
    dataset uuid not null references dataset on delete cascade, revision integer not null, position integer not null, id text collate "C" not null,
    alleles text not null,                 -- one a locus, parted by tabs; empty = missing
    primary key (dataset, revision, position)
);
create unique index profile_id on profile (dataset, revision, id);

create table isolate (
    dataset uuid not null references dataset on delete cascade, revision integer not null, position integer not null, id text collate "C" not null, profile text collate "C" not null,
    primary key (dataset, revision, position)
);
create unique index isolate_id on isolate (dataset, revision, id);
create index isolate_profile on isolate (dataset, revision, profile);

-- Inferences and visualizations. kind: 0 inference, 1 visualization. The id is reserved when its job is submitted; the analysis exists from made_at on.
create table analysis (
    id uuid primary key, project text collate "C" not null references project on delete cascade, dataset uuid not null references dataset on delete cascade,
    kind smallint not null, algorithm text not null, parameters jsonb not null,
    inference uuid references analysis on delete cascade,   -- of a visualization
    job bigint,                            -- null: uploaded
    object text,                           -- in the hub's store
    profiles text,                         -- the snapshot that its job reads, kept until the analysis is made
    created_at timestamptz not null default now(), made_at timestamptz
);
create index analysis_dataset on analysis (dataset, kind, created_at);
create index analysis_inference on analysis (inference, created_at) where inference is not null;
create index analysis_job on analysis (job) where job is not null;
create index job_of_projects on job (project, number) where family = 2;

-- What an analysis has come to goes with its row, however that goes; a job that ends later finds no row and gives its object up itself.
create function drop_analysis_object() returns trigger language plpgsql as $$
begin
    insert into file_garbage (object, due_at) select coalesce(object, 'analyses/' || id || '/result'), clock_timestamp() + interval '10 minutes' from gone
        on conflict (object) do update set due_at = greatest(file_garbage.due_at, excluded.due_at);
    return null;
end $$;
create trigger analysis_removed after delete on analysis referencing old table as gone for each statement execute function drop_analysis_object();
