-- Typing data. Rows of a dataset belong to a revision; an upload writes a new revision in chunks and the dataset then points to it, so readers see the old one or the new one whole.
create table dataset (
    id uuid primary key, project text collate "C" not null, description text not null, created_at timestamptz not null default now(),
    revision integer not null default 0, loci text[] not null default '{}', profiles integer not null default 0,
    isolates_revision integer not null default 0, isolates integer not null default 0,
    next_revision integer not null default 1,
    snapshot text                          -- the object that analyses read; null when the data has changed since
);
create index dataset_project on dataset (project, created_at, id);
create index dataset_snapshot on dataset (snapshot) where snapshot is not null;

-- No foreign keys below a dataset: hundreds of thousands of rows would go, or be looked up, in one statement. What is not pointed to is in revision_garbage.
create table profile (
    dataset uuid not null, revision integer not null, position integer not null, id text collate "C" not null,
    alleles text not null,                 -- one a locus, parted by tabs; empty = missing
    primary key (dataset, revision, position)
);
create unique index profile_id on profile (dataset, revision, id);

create table isolate (
    dataset uuid not null, revision integer not null, position integer not null, id text collate "C" not null, profile text collate "C" not null,
    primary key (dataset, revision, position)
);
create unique index isolate_id on isolate (dataset, revision, id);

-- Isolates of a profile, of the revision of the isolates.
create table isolate_count (
    dataset uuid not null, revision integer not null, profile text collate "C" not null, isolates integer not null,
    primary key (dataset, revision, profile)
);

-- Revisions that no dataset points to: written down before an upload writes its first row, taken out when the dataset points to it, put in when it stops to. Removed once due,
-- and doomed before the first row is. kind: 0 profiles, 1 isolates.
create table revision_garbage (
    dataset uuid not null, revision integer not null, kind smallint not null, due_at timestamptz not null default clock_timestamp(), doomed boolean not null default false,
    primary key (dataset, revision)
);
create index revision_garbage_due on revision_garbage (due_at);

-- Projects that were deleted: their jobs are canceled and what they hold is removed, in chunks, and once more a little later for what was being submitted meanwhile.
create table project_garbage (
    project text collate "C" primary key, caller text not null, due_at timestamptz not null default clock_timestamp(), last boolean not null default false
);

-- Inferences and visualizations. kind: 0 inference, 1 visualization. The id is reserved when its job is submitted; the analysis exists from made_at on.
create table analysis (
    id uuid primary key, project text collate "C" not null, dataset uuid not null references dataset on delete cascade,
    kind smallint not null, algorithm text not null, parameters jsonb not null,
    inference uuid references analysis on delete cascade,   -- of a visualization
    job bigint,                            -- null: uploaded
    object text,                           -- in the hub's store
    profiles text,                         -- the snapshot that it is made of
    created_at timestamptz not null default now(), made_at timestamptz
);
create index analysis_dataset on analysis (dataset, kind, created_at);
create index analysis_inference on analysis (inference, created_at) where inference is not null;
create index analysis_job on analysis (job) where job is not null;
create index analysis_object on analysis (object) where object is not null;
create index analysis_profiles on analysis (profiles) where profiles is not null;
create index job_of_projects on job (project, number) where family = 2;

-- An object may be read still, or be on its way into an analysis, when the row that referred to it stops to: it waits a while. Whether another row refers to it is seen then.
create function unwanted_object(unwanted text) returns void language sql as $$
    insert into file_garbage (object, due_at) select unwanted, clock_timestamp() + interval '10 minutes' where unwanted is not null
        on conflict (object) do update set due_at = greatest(file_garbage.due_at, excluded.due_at)
$$;
create function drop_dataset_snapshot() returns trigger language plpgsql as $$
begin
    perform unwanted_object(old.snapshot);
    return null;
end $$;
create trigger dataset_changed after update of snapshot on dataset for each row when (old.snapshot is distinct from new.snapshot) execute function drop_dataset_snapshot();
create function drop_dataset() returns trigger language plpgsql as $$
begin
    perform unwanted_object(old.snapshot);
    insert into revision_garbage (dataset, revision, kind)
        select old.id, r.revision, r.kind from (values (old.revision, 0), (old.isolates_revision, 1)) as r (revision, kind) where r.revision > 0 on conflict do nothing;
    return null;
end $$;
create trigger dataset_removed after delete on dataset for each row execute function drop_dataset();
-- What an analysis has come to goes with its row, however that goes; a job that ends later finds no row and gives its object up itself.
create function drop_analysis_object() returns trigger language plpgsql as $$
begin
    insert into file_garbage (object, due_at)
        select unwanted, clock_timestamp() + interval '10 minutes' from (
            select coalesce(object, 'analyses/' || id || '/result') as unwanted from gone union select profiles from gone where profiles is not null) u
        on conflict (object) do update set due_at = greatest(file_garbage.due_at, excluded.due_at);
    return null;
end $$;
create trigger analysis_removed after delete on analysis referencing old table as gone for each statement execute function drop_analysis_object();
create function drop_analysis_profiles() returns trigger language plpgsql as $$
begin
    perform unwanted_object(old.profiles);
    return null;
end $$;
create trigger analysis_made after update of profiles on analysis for each row when (old.profiles is distinct from new.profiles) execute function drop_analysis_profiles();
