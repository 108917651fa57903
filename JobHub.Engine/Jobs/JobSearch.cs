using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What a filter finds lies too far apart to be looked for at once.</summary>
public sealed class FilterTooSlowException(Exception inner) : Exception("What matches is too far apart to be found in time. Narrow the filter: by project, user, state, a longer word or a time.", inner);

/// <summary>Searches over the jobs of all families: pages of what matches, how much that is, and where a page's jobs run.</summary>
public sealed partial class JobSearch(NpgsqlDataSource database, JobReader jobs)
{
    /// <summary>So many matches are counted one by one; above, a count is not exact.</summary>
    public const int CountedLimit = 100_000;

    // More than this in the index of words is sooner found by walking the order that was asked for.
    private const int FewMatches = 20_000;
    private const int CountMilliseconds = 100;
    private const int CountedWhenSlow = 20_000;

    // Who begins to run reads so before the folder has heard of it.
    private const string CountedSql = $"""
        SELECT c.state, sum(c.jobs)::bigint FROM (
            SELECT project, family, root, state, jobs FROM job_count
            UNION ALL
            SELECT project, family, root, state, jobs FROM job_count_change
            UNION ALL
            SELECT b.project, b.family, b.parent IS NULL, s.state, s.jobs
            FROM job b CROSS JOIN (VALUES (0::smallint, -1::bigint), (1, 1)) AS s(state, jobs)
            WHERE b.number = ANY (ARRAY({JobConditions.Begun})) AND b.state = 0 AND b.stop <> 1 AND NOT b.paused AND b.deleted_at IS NULL) c
        """;

    /// <summary>The place of a job in the order of a filter, for the next page.</summary>
    public static JobPlace PlaceOf(JobFilter filter, JobView job) => JobConditions.PlaceOf(filter, job);

    /// <summary>One page, in the order that the filter asks for.</summary>
    /// <param name="longest">How long it may look; null: as long as it takes, which only work in the background may.</param>
    /// <exception cref="FilterTooSlowException">It was not found in that time.</exception>
    public async Task<List<JobView>> PageAsync(JobFilter filter, TimeSpan? longest, CancellationToken ct) => await ReadPageAsync(await PlanAsync(filter, ct), longest, ct);

    /// <summary>All that match, read a page at a time: a caller that reads slowly holds neither a connection nor a snapshot.</summary>
    /// <param name="longest">How long each page may take.</param>
    /// <exception cref="FilterTooSlowException">A page was not found in that time.</exception>
    public async IAsyncEnumerable<JobView> AllAsync(JobFilter filter, TimeSpan longest, [EnumeratorCancellation] CancellationToken ct)
    {
        const int Page = 1000;
        filter = await PlanAsync(filter, ct);
        while (true)
        {
            var page = await ReadPageAsync(filter with { Limit = Page }, longest, ct);
            foreach (var job in page) yield return job;
            if (page.Count < Page) yield break;
            filter = filter with { Place = PlaceOf(filter, page[^1]) };
        }
    }

    /// <summary>How many match, by state. Of projects, families and states that is known; anything else is counted, up to <see cref="CountedLimit"/> and not for long.</summary>
    public async Task<JobCounts> CountAsync(JobFilter filter, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        filter = filter with { After = null, Place = null, Limit = null, Order = JobOrder.Newest };
        if (filter.IsCounted) return await CountedAsync(filter, ct);
        filter = await PlanAsync(filter, ct);
        try
        {
            return await WalkAsync(filter, "", CountedLimit, CountMilliseconds, ct);
        }
        catch (PostgresException fault) when (fault.SqlState == PostgresErrorCodes.QueryCanceled && !ct.IsCancellationRequested)
        {
            // What matches is far apart. Of the newest jobs it is known soon, and that is what a first page shows.
            return await WalkAsync(filter, $" AND j.number > (SELECT max(number) - {CountedWhenSlow} FROM job)", CountedLimit, 0, ct) with { Exact = false };
        }
    }

    /// <summary>Where the attempts of these jobs are, of groups those of all below them; jobs of which nothing runs are left out.</summary>
    public async Task<Dictionary<long, JobWhere>> WhereAsync(long[] numbers, CancellationToken ct)
    {
        var found = new Dictionary<long, JobWhere>();
        if (numbers.Length == 0) return found;
        await using var command = database.CreateCommand("""
            WITH RECURSIVE held AS (
                SELECT l.task_id >> 20 AS number, s.worker FROM live l JOIN worker_session s ON s.id = l.session_id WHERE l.session_id IS NOT NULL),
            up AS (
                SELECT number, worker FROM held
                UNION ALL
                SELECT p.parent, u.worker FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.number OFFSET 0) p WHERE p.parent IS NOT NULL)
            SELECT number, count(*)::int, count(DISTINCT worker)::int, min(worker) FROM up WHERE number = ANY ($1) GROUP BY number
            """);
        command.Parameters.AddWithValue(numbers);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var workers = reader.GetInt32(2);
            found[reader.GetInt64(0)] = new(reader.GetInt32(1), workers, workers == 1 ? reader.GetString(3) : null);
        }

        return found;
    }

    private async Task<List<JobView>> ReadPageAsync(JobFilter filter, TimeSpan? longest, CancellationToken ct)
    {
        try
        {
            return await jobs.PageAsync(filter, longest, ct);
        }
        catch (PostgresException fault) when (longest is not null && fault.SqlState == PostgresErrorCodes.QueryCanceled && !ct.IsCancellationRequested)
        {
            throw new FilterTooSlowException(fault);
        }
    }

    private async Task<JobCounts> CountedAsync(JobFilter filter, CancellationToken ct)
    {
        var statement = new NpgsqlBatchCommand();
        var where = new List<string>();
        void Where(string condition, object value)
        {
            statement.Parameters.AddWithValue(value);
            where.Add(condition + "$" + statement.Parameters.Count + ")");
        }

        if (filter.Parent == 0) where.Add("c.root");
        if (filter.Project is { } project) Where("c.project = (", project);
        if (filter.NotProject is { } notProject) Where("c.project <> (", notProject);
        if (filter.Projects is { } projects) Where("c.project = ANY (", projects);
        if (filter.OnlyUnmade) where.Add(JobConditions.Unmade("c"));
        if (filter.Family is { } family) Where("c.family = (", (short)family);
        if (filter.Families is { } families) Where("c.family = ANY (", families.Select(static f => (short)f).ToArray());
        statement.CommandText = $"{CountedSql} {(where.Count == 0 ? "" : "WHERE " + string.Join(" AND ", where))} GROUP BY c.state";
        var counts = await ReadAsync(statement, 0, ct);
        if (filter.State is { } only) counts = counts.Where(c => c.Key == only).ToDictionary();
        if (filter.States is { } states) counts = counts.Where(c => states.Contains(c.Key)).ToDictionary();
        return new(counts.Values.Sum(), true, counts);
    }

    private async Task<JobCounts> WalkAsync(JobFilter filter, string more, int limit, int milliseconds, CancellationToken ct)
    {
        var statement = new NpgsqlBatchCommand();
        var where = JobConditions.Of(filter, statement.Parameters);
        statement.CommandText = $"SELECT c.state::smallint, count(*) FROM (SELECT {JobConditions.Word} AS state FROM job j{where}{more} LIMIT {limit + 1}) c GROUP BY 1";
        var counts = await ReadAsync(statement, milliseconds, ct);
        var total = counts.Values.Sum();
        return new(Math.Min(total, limit), total <= limit, counts);
    }

    private async Task<Dictionary<JobState, long>> ReadAsync(NpgsqlBatchCommand statement, int milliseconds, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(new($"SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true), set_config('statement_timeout', '{milliseconds}', true)"));
        batch.BatchCommands.Add(statement);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        var counts = new Dictionary<JobState, long>();
        while (await reader.ReadAsync(ct))
        {
            if (reader.GetInt64(1) is > 0 and var count) counts[(JobState)reader.GetInt16(0)] = count;
        }

        return counts;
    }

    /// <summary>Decides whether titles, labels and users are looked up or met on the way, by what the planner thinks of how common they are.</summary>
    private async Task<JobFilter> PlanAsync(JobFilter filter, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        if (filter is { Words.Count: 0, Labels.Count: 0, User: null } || filter.Ids is not null || filter.Numbers is not null || filter.Worker is not null || filter.Parent > 0) return filter;
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var command = new NpgsqlCommand { Connection = connection };
        if (JobConditions.WordsOf(filter, command.Parameters) is not { } words) return filter;
        command.CommandText = $"EXPLAIN (FORMAT JSON) SELECT FROM job_words WHERE {words}";
        using var plan = JsonDocument.Parse((string)(await command.ExecuteScalarAsync(ct))!);
        var rows = plan.RootElement[0].GetProperty("Plan").GetProperty("Plan Rows").GetDouble();
        return filter with { ByWords = rows <= FewMatches };
    }
}
