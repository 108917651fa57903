-- Who may use the hub. role: 0 viewer, 1 member, 2 admin, 3 worker. A password is kept as its salted hash only; whoever comes from a provider has none.
create table account (
    number bigint generated always as identity primary key,
    name text collate "C" not null unique, role smallint not null check (role between 0 and 3),
    password_hash text, provider text, subject text,
    created_at timestamptz not null default now(), disabled_at timestamptz,
    check ((provider is null) = (subject is null))
);
create unique index account_subject on account (provider, subject) where provider is not null;

-- What a caller shows instead of a password: only the SHA-256 of its 256 random bits is kept. kind: 0 made by its user, 1 of a sign-in.
create table access_token (
    id uuid primary key, account bigint not null references account on delete cascade, hash bytea not null unique check (length(hash) = 32),
    kind smallint not null, name text not null, scopes text[] not null,
    project text,                          -- null: all of its user's
    created_at timestamptz not null default now(), expires_at timestamptz, last_used_at timestamptz, revoked_at timestamptz
);
create index access_token_account on access_token (account, id desc);
create index access_token_expiry on access_token (expires_at) where expires_at is not null;

-- A job's project is the id here; ids that nobody made a project of are the developer's and the administrator's own. visibility: 0 private, 1 public.
create table project (
    id text collate "C" primary key, name text not null, description text not null default '', visibility smallint not null check (visibility between 0 and 1),
    created_by bigint references account on delete set null, created_at timestamptz not null default now()
);
create table project_member (
    project text collate "C" not null references project on delete cascade, account bigint not null references account on delete cascade, primary key (project, account)
);
create index project_member_account on project_member (account);
-- Where submissions without a project go: every member may write there.
insert into project (id, name, description, visibility) values ('default', 'default', 'Jobs without a project.', 0);

-- Who did what to which object when, from where. Append-only: nothing changes a row, and the trigger refuses whoever tries.
create table audit (
    id bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    caller text not null, account bigint, token uuid, action text not null, kind text not null, object text not null, project text, address text,
    details jsonb not null default '{}'
);
create index audit_object on audit (object, id desc);
create index audit_kind on audit (kind, id desc);
create index audit_project on audit (project, id desc) where project is not null;
create index audit_caller on audit (caller, id desc);
create function audit_is_append_only() returns trigger language plpgsql as $$ begin raise exception 'audit rows are not changed'; end $$;
create trigger audit_append_only before update or delete or truncate on audit for each statement execute function audit_is_append_only();
