using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Trees;

/// <summary>Reads trees of jobs: base counters, unfolded deltas and what runs, from one snapshot.</summary>
public sealed class TreeReader(NpgsqlDataSource database)
{
    // What the folder has not added yet and what runs is little: it is added up the tree once, for one job or a whole list. A leaf's own facts are its rows in the queue, among
    // the ended tasks and its last attempt.
    private const string Rolled = """
        WITH RECURSIVE moved AS (
            SELECT l.job AS number, sum(l.leaves)::int AS leaves, sum(l.succeeded)::int AS ok, sum(l.failed + l.canceled)::int AS bad, 0 AS running
            FROM ledger l WHERE l.position IS NULL AND (l.leaves <> 0 OR l.succeeded <> 0 OR l.failed <> 0 OR l.canceled <> 0) GROUP BY l.job
            UNION ALL
            SELECT task_id >> 20, 0, 0, 0, 1 FROM live WHERE session_id IS NOT NULL AND run IS NOT NULL AND stop = 0),
        parents AS (
            SELECT j.parent AS number, sum(m.leaves) AS leaves, sum(m.ok) AS ok, sum(m.bad) AS bad, sum(m.running) AS running
            FROM moved m CROSS JOIN LATERAL (SELECT * FROM job WHERE number = m.number OFFSET 0) j WHERE j.parent IS NOT NULL GROUP BY j.parent),
        up AS (
            SELECT number, true AS direct, leaves, ok, bad, running FROM parents
            UNION ALL
            SELECT p.parent, false, u.leaves, u.ok, u.bad, u.running FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.number OFFSET 0) p WHERE p.parent IS NOT NULL),
        rolled AS MATERIALIZED (
            SELECT number, sum(leaves)::int AS leaves, sum(ok)::int AS ok, sum(bad)::int AS bad, sum(running)::int AS running,
                   coalesce(sum(leaves) FILTER (WHERE direct), 0)::int AS kids, coalesce(sum(ok) FILTER (WHERE direct), 0)::int AS kids_ok,
                   coalesce(sum(bad) FILTER (WHERE direct), 0)::int AS kids_bad, coalesce(sum(running) FILTER (WHERE direct), 0)::int AS kids_running
            FROM up GROUP BY number)
        """;

    private const string JobColumns = """
        SELECT j.id, j.number, coalesce(j.parent, 0) AS parent, j.project, j.is_group, coalesce(j.title, '') AS title, j.details::text AS details, j.paused, j.priority, j.tags,
               j.max_attempts, j.timeout_seconds, coalesce(j.caller, '') AS caller,
               j.kids + coalesce(r.kids, 0) AS kids, j.kids_succeeded + coalesce(r.kids_ok, 0) AS kids_ok, j.kids_failed + coalesce(r.kids_bad, 0) AS kids_bad, coalesce(r.kids_running, 0) AS kids_running,
               j.leaves + coalesce(r.leaves, 0) AS leaves, j.leaves_succeeded + coalesce(r.ok, 0) AS ok, j.leaves_failed + coalesce(r.bad, 0) AS bad, coalesce(r.running, 0) AS running,
               t.state AS task_state, l.session_id IS NOT NULL AND l.stop = 0 AS held, l.session_id IS NOT NULL AS leased, l.progress, l.leased_at,
               EXISTS (SELECT FROM dependency d WHERE d.job = j.number AND (SELECT o.state FROM job o WHERE o.number = d.dependency) <> 4) AS waits,
               a.started_at AS began, a.ended_at, a.progress AS reached, coalesce(a.runs, 0) AS runs, s.worker, s.seen_at, j.started_at, j.ended_at AS group_ended_at, clock_timestamp() AS now
        FROM job j
        LEFT JOIN rolled r ON r.number = j.number
        LEFT JOIN live l ON l.task_id = j.number << 20 AND NOT l.speculative
        LEFT JOIN task t ON t.id = j.number << 20
        LEFT JOIN LATERAL (
            SELECT a.started_at, a.ended_at, a.session_id, a.progress, count(*) FILTER (WHERE a.outcome IN (0, 1, 3, 6)) OVER () AS runs
            FROM attempt a WHERE a.task_id = j.number << 20 AND a.number > j.shown_from AND a.run IS NOT NULL ORDER BY a.number DESC LIMIT 1) a ON true
        LEFT JOIN LATERAL (
            SELECT s.worker, s.lease_until AS seen_at FROM worker_session s
            WHERE s.id = CASE WHEN l.session_id IS NOT NULL AND l.stop = 0 THEN l.session_id ELSE a.session_id END) s ON true
        """;

    // As ReadJob: a task that has ended, else the intent, else what runs. $1 and $2: what the list's parent takes over.
    private const string StateSql = """
        CASE WHEN is_group THEN
            CASE WHEN leaves > 0 AND ok >= leaves THEN 4 WHEN leaves > 0 AND ok + bad >= leaves THEN 5 WHEN paused OR $1 THEN 2 WHEN bad > 0 THEN 5 WHEN running > 0 THEN 1 ELSE 0 END
        ELSE CASE WHEN task_state IS NOT NULL THEN CASE task_state WHEN 6 THEN 5 ELSE task_state END WHEN paused OR $1 THEN 2 WHEN held THEN 1 ELSE 0 END END
        """;

    /// <summary>One job, or null: unknown, deleted, or of no tree.</summary>
    public async Task<TreeJobView?> GetAsync(long id, CancellationToken ct)
    {
        await foreach (var job in ManyAsync([id], ct)) return job;
        return null;
    }

    /// <summary>The children of a job (0: the roots), by number; streamed. Nothing when there is no such job.</summary>
    public async IAsyncEnumerable<TreeJobView> ChildrenAsync(long parent, TreeFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        await using var connection = await database.OpenConnectionAsync(ct);
        if ((await TreeChains.ReadAsync(connection, [parent], ct)).GetValueOrDefault(parent) is not { } chain || chain.Groups.Any(g => g.Deleted)) yield break;
        var statement = new NpgsqlBatchCommand();
        var p = statement.Parameters;
        p.AddWithValue(chain.Paused);
        p.AddWithValue(chain.Waits);
        p.AddWithValue(filter.After);
        var inner = new List<string> { "j.number > $3", "j.deleted_at IS NULL" };
        if (parent == 0) inner.Add("j.family = 3 AND j.parent IS NULL");
        else inner.Add($"j.parent = ${Add(parent)}");
        if (filter.User is { } user) inner.Add($"coalesce(j.caller, '') = ${Add(user)}");
        if (filter.Project is { } project) inner.Add($"j.project = ${Add(project)}");
        if (filter.Projects is { } projects) inner.Add($"j.project = ANY (${Add(projects)})");
        if (filter.Text is { } text) inner.Add($"strpos(lower(coalesce(j.title, '')), lower(${Add(text)})) > 0");
        // What runs is little: leaves that do not are left out before anything is joined to them.
        if (filter.State == JobState.Running) inner.Add("(j.is_group OR j.number = ANY (ARRAY (SELECT task_id >> 20 FROM live WHERE session_id IS NOT NULL AND run IS NOT NULL)))");
        var outer = new List<string>();
        if (filter.State is { } state) outer.Add($"({StateSql}) = ${Add((int)(state == JobState.Canceled ? JobState.Failed : state))}");
        if (filter.Pending is { } pending) outer.Add($"(waits OR $2) = ${Add(pending)}");
        var limit = filter.Limit is { } n ? $" LIMIT ${Add(n)}" : "";
        // Which jobs the page has is known before anything is joined to them, unless their states decide. $1 and $2 are mentioned also where no filter over states asks for them.
        var early = outer.Count == 0;
        statement.CommandText = $"""
            {Rolled},
            page AS MATERIALIZED (SELECT j.number AS n FROM job j WHERE {string.Join(" AND ", inner)} ORDER BY j.number{(early ? limit : "")})
            SELECT * FROM ({JobColumns} JOIN page ON page.n = j.number) v
            WHERE ($1::boolean OR $2::boolean OR true){string.Concat(outer.Select(o => " AND " + o))} ORDER BY number{(early ? "" : limit)}
            """;
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
        while (await reader.ReadAsync(ct)) yield return ReadJob(reader, chain);

        int Add(object value)
        {
            p.AddWithValue(value);
            return p.Count;
        }
    }

    /// <summary>The jobs a job depends on, by number.</summary>
    public async IAsyncEnumerable<TreeJobView> DependenciesAsync(long id, [EnumeratorCancellation] CancellationToken ct)
    {
        foreach (var page in (await DependencyIdsAsync(id, ct)).Chunk(1000))
        {
            await foreach (var job in ManyAsync(page, ct)) yield return job;
        }
    }

    /// <summary>The numbers of what a job depends on, ascending.</summary>
    public async Task<long[]> DependencyIdsAsync(long id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT dependency FROM dependency WHERE job = $1 ORDER BY dependency");
        command.Parameters.AddWithValue(id);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var ids = new List<long>();
        while (await reader.ReadAsync(ct)) ids.Add(reader.GetInt64(0));
        return [.. ids];
    }

    /// <summary>The dependencies of all children of a job (0: of the roots), by job and dependency.</summary>
    public async IAsyncEnumerable<TreeDependency> ChildDependenciesAsync(long parent, string[]? projects, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var command = database.CreateCommand(parent == 0
            ? "SELECT d.job, d.dependency FROM dependency d JOIN job j ON j.number = d.job WHERE j.family = 3 AND j.parent IS NULL AND j.deleted_at IS NULL AND ($1::text[] IS NULL OR j.project = ANY ($1)) ORDER BY 1, 2"
            : "SELECT d.job, d.dependency FROM job j JOIN dependency d ON d.job = j.number WHERE j.parent = $2 AND j.deleted_at IS NULL AND ($1::text[] IS NULL OR j.project = ANY ($1)) ORDER BY 1, 2");
        command.Parameters.Add(new() { Value = (object?)projects ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        if (parent != 0) command.Parameters.AddWithValue(parent);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return new(reader.GetInt64(0), reader.GetInt64(1));
    }

    /// <summary>The values that jobs of trees (of some projects; null = of all) have, each once: numbers as text, states by the names of <see cref="JobState"/> (`Pending` for a queued job that is pending).</summary>
    public async Task<IReadOnlyList<string>> ValuesAsync(TreeField field, string[]? projects, CancellationToken ct)
    {
        // Own columns of the job are told apart without a look at its neighbours. States come from the leaves and the groups' counters as they are folded.
        const string jobs = "FROM job WHERE family = 3 AND deleted_at IS NULL AND ($1::text[] IS NULL OR project = ANY ($1))";
        const string ofJob = "($1::text[] IS NULL OR (SELECT j.project FROM job j WHERE j.number = task_id >> 20) = ANY ($1))";
        await using var command = database.CreateCommand(field switch
        {
            TreeField.User => $"SELECT DISTINCT coalesce(caller, '') AS v {jobs} ORDER BY 1",
            TreeField.Priority => $"SELECT v::text FROM (SELECT DISTINCT priority AS v {jobs}) p ORDER BY v",
            TreeField.Affinity => $"SELECT DISTINCT coalesce(details->'ofTree'->>'affinity', '') AS v {jobs} ORDER BY 1",
            TreeField.Worker => $"""
                SELECT DISTINCT s.worker AS v FROM worker_session s
                WHERE EXISTS (SELECT FROM attempt a WHERE a.session_id = s.id AND a.run IS NOT NULL AND {ofJob}) OR EXISTS (SELECT FROM live l WHERE l.session_id = s.id AND l.run IS NOT NULL AND {ofJob}) ORDER BY 1
                """,
            _ => $"""
                SELECT DISTINCT v FROM (
                    SELECT CASE WHEN state = 4 THEN 'Succeeded' WHEN state IN (5, 6) THEN 'Failed' WHEN paused THEN 'Paused' ELSE 'Queued' END AS v
                    {jobs} AND NOT (NOT is_group AND state < 4)
                    UNION ALL
                    SELECT CASE WHEN l.paused THEN 'Paused' WHEN l.session_id IS NOT NULL AND l.stop = 0 THEN 'Running' WHEN l.state = 0 THEN 'Pending' ELSE 'Queued' END
                    FROM live l WHERE l.run IS NOT NULL AND {ofJob}) s ORDER BY v
                """,
        });
        command.Parameters.Add(new() { Value = (object?)projects ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var values = new List<string>();
        while (await reader.ReadAsync(ct)) values.Add(reader.GetString(0));
        return values;
    }

    /// <summary>Those of the jobs that are there, by number.</summary>
    public async IAsyncEnumerable<TreeJobView> ManyAsync(long[] ids, [EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(ids);
        await using var connection = await database.OpenConnectionAsync(ct);
        var chains = await TreeChains.ReadAsync(connection, ids, ct);
        var statement = new NpgsqlBatchCommand($"{Rolled} {JobColumns} WHERE j.number = ANY($1) AND j.family + 0 = 3 ORDER BY j.number");
        statement.Parameters.Add(new() { Value = ids, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            if (!chains.TryGetValue(reader.GetInt64(1), out var path) || path.Groups.Any(g => g.Deleted)) continue;
            yield return ReadJob(reader, new([.. path.Groups.SkipLast(1)]));
        }
    }

    private static TreeJobView ReadJob(NpgsqlDataReader r, TreeChain chain)
    {
        var details = JsonSerializer.Deserialize(r.GetString(6), EngineJson.Default.CommandDetails)!;
        var tree = details.OfTree ?? new();
        var (isGroup, paused, priority, tags) = (r.GetBoolean(4), r.GetBoolean(7), r.GetInt16(8), r.GetFieldValue<string[]>(9));
        var children = new LeafCounts(r.GetInt32(13), r.GetInt32(14), r.GetInt32(15), r.GetInt32(16));
        var leaves = new LeafCounts(r.GetInt32(17), r.GetInt32(18), r.GetInt32(19), r.GetInt32(20));
        var pathPaused = paused || chain.Paused;
        bool held = !r.IsDBNull(22) && r.GetBoolean(22);
        var state = isGroup ? GroupState(leaves, pathPaused)
            : !r.IsDBNull(21) ? (JobState)r.GetInt16(21)
            : pathPaused ? JobState.Paused : held ? JobState.Running : JobState.Queued;
        var now = r.GetFieldValue<DateTimeOffset>(35);
        var (began, ended) = isGroup ? (Time(r, 33), state.IsTerminal ? Time(r, 34) : null) : held ? (Time(r, 25), null) : (Time(r, 27), Time(r, 28));
        double? reached = held ? Math.Round(r.GetFloat(24), 6) : r.IsDBNull(29) ? null : Math.Round(r.GetFloat(29), 6);
        return new TreeJobView
        {
            Id = new(r.GetGuid(0)), Number = r.GetInt64(1), Parent = r.GetInt64(2), Project = r.GetString(3), IsGroup = isGroup, Title = r.GetString(5), Command = details.Command,
            Dir = tree.Dir, Environment = tree.Environment, User = r.GetString(12), Url = tree.Url, ProgressPattern = tree.ProgressPattern, Affinity = tree.Affinity,
            State = state, Pending = state == JobState.Queued && (r.GetBoolean(26) || chain.Waits), Paused = paused,
            Worker = r.IsDBNull(31) ? null : r.GetString(31), StartedAt = began, Duration = began is { } from ? Positive((ended ?? now) - from) : TimeSpan.Zero,
            SeenAt = held ? now : ended, Runs = (int)r.GetInt64(30), Retry = r.GetInt32(10) - 1, TimeoutSeconds = r.IsDBNull(11) ? 0 : (int)r.GetDouble(11), Priority = priority,
            Progress = isGroup ? leaves.Total == 0 ? null : (double)leaves.Succeeded / leaves.Total : state == JobState.Succeeded ? 1 : began is null ? null : reached ?? 0,
            Children = children, Leaves = leaves, AllTags = chain.Tags(tags), Tags = tags, PathPriority = chain.PathPriority(priority), PathPaused = pathPaused, Depth = chain.Depth,
        };
    }

    private static JobState GroupState(LeafCounts leaves, bool paused)
    {
        var (all, ok, bad) = (leaves.Total, leaves.Succeeded, leaves.Failed);
        if (all > 0 && ok >= all) return JobState.Succeeded;
        if (all > 0 && ok + bad >= all) return JobState.Failed;
        if (paused) return JobState.Paused;
        return bad > 0 ? JobState.Failed : leaves.Running > 0 ? JobState.Running : JobState.Queued;
    }

    private static TimeSpan Positive(TimeSpan time) => time < TimeSpan.Zero ? TimeSpan.Zero : time;

    private static DateTimeOffset? Time(NpgsqlDataReader reader, int i) => reader.IsDBNull(i) ? null : reader.GetFieldValue<DateTimeOffset>(i);
}
