using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Jobs;

// What is asked about jobs that were found: where they are in their trees, and what their tasks took together.
public sealed partial class JobSearch
{
    // So many jobs that match, leaves below them, and tasks of these are added up.
    private const int SummedJobs = 1000, SummedLeaves = 20_000, SummedTasks = 50_000;

    private const string SumsSql = """
        WITH RECURSIVE below AS (
            SELECT number, is_group FROM job WHERE number = ANY ($1)
            UNION
            SELECT c.number, c.is_group FROM below b CROSS JOIN LATERAL (SELECT number, is_group FROM job WHERE parent = b.number AND deleted_at IS NULL OFFSET 0) c WHERE b.is_group),
        leaves AS MATERIALIZED (SELECT number FROM below WHERE NOT is_group LIMIT $2 + 1),
        ended AS MATERIALIZED (
            SELECT t.started_at, t.ended_at FROM leaves l CROSS JOIN LATERAL (
                SELECT started_at, ended_at FROM task WHERE id >= l.number << 20 AND id < (l.number + 1) << 20 AND started_at IS NOT NULL AND ended_at IS NOT NULL OFFSET 0) t
            LIMIT $3 + 1)
        SELECT count(*)::int, coalesce(sum(greatest(extract(epoch FROM ended_at - started_at), 0)), 0)::double precision, (SELECT count(*) FROM leaves)::int FROM ended
        """;

    /// <summary>What the ended tasks of the jobs that match took, those below groups too: of the thousand newest jobs, and of so many tasks that it is soon known.</summary>
    /// <exception cref="FilterTooSlowException">The jobs were not found in time.</exception>
    public async Task<JobSums> SumsAsync(JobFilter filter, TimeSpan longest, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        var found = await PageAsync(filter with { Limit = SummedJobs + 1, Place = null, After = null, Order = JobOrder.Newest }, longest, ct);
        long[] numbers = [.. found.Take(SummedJobs).Select(static job => job.Number)];
        if (numbers.Length == 0) return new(0, 0, TimeSpan.Zero, true);
        var statement = new NpgsqlBatchCommand(SumsSql);
        statement.Parameters.AddWithValue(numbers);
        statement.Parameters.AddWithValue(SummedLeaves);
        statement.Parameters.AddWithValue(SummedTasks);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
        await reader.ReadAsync(ct);
        var (tasks, leaves) = (reader.GetInt32(0), reader.GetInt32(2));
        return new(numbers.Length, tasks, TimeSpan.FromSeconds(reader.GetDouble(1)), found.Count <= SummedJobs && leaves <= SummedLeaves && tasks <= SummedTasks);
    }

    /// <summary>The groups above jobs of trees, the root first; jobs that are in none are left out.</summary>
    public async Task<Dictionary<long, List<long>>> PathsAsync(long[] numbers, CancellationToken ct)
    {
        var paths = new Dictionary<long, List<long>>();
        if (numbers.Length == 0) return paths;
        await using var command = database.CreateCommand("""
            WITH RECURSIVE up AS (
                SELECT n AS number, j.parent, 0 AS step FROM unnest($1::bigint[]) AS n CROSS JOIN LATERAL (SELECT * FROM job WHERE number = n OFFSET 0) j WHERE j.parent IS NOT NULL
                UNION ALL
                SELECT u.number, p.parent, u.step + 1 FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.parent OFFSET 0) p WHERE p.parent IS NOT NULL)
            SELECT number, parent FROM up ORDER BY number, step DESC
            """);
        command.Parameters.AddWithValue(numbers);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var number = reader.GetInt64(0);
            if (!paths.TryGetValue(number, out var path)) paths[number] = path = [];
            path.Add(reader.GetInt64(1));
        }

        return paths;
    }
}

/// <summary>What tasks took together.</summary>
/// <param name="Jobs">How many jobs were looked at.</param>
/// <param name="Tasks">How many tasks of them have ended.</param>
/// <param name="Exact">False: there is more than was added up.</param>
public sealed record JobSums(int Jobs, int Tasks, TimeSpan Took, bool Exact);
