using JobHub.Engine.Postgres;
using JobHub.Engine.Trees;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>Jobs of a tree that belong to one of them, and what waits for what.</summary>
/// <param name="More">There are more than were read.</param>
public sealed record JobGraph(IReadOnlyList<TreeJobView> Jobs, IReadOnlyList<TreeDependency> Dependencies, bool More);

/// <summary>Reads the dependencies around a job of a tree: of a group with all that is below it.</summary>
public sealed class JobGraphs(NpgsqlDataSource database, TreeReader trees)
{
    /// <summary>Jobs and, five times as many, dependencies that a graph has at most.</summary>
    public const int MostJobs = 10_000, MostDependencies = 50_000;

    // How a job was reached says where the walk goes on. 0: it is the one that was asked for or below it: children, what it waits for, what waits for it. 1: somebody waits for
    // it: what it waits for itself. 2: it waits: what waits for it in turn. 3: a group above, which holds all that is in it: what that waits for, and what waits for that. Breadth
    // first, and the limit ends the walk. OFFSET 0 keeps each lookup a lookup.
    private const string ReachedSql = """
        WITH RECURSIVE reached AS (
            SELECT $1::bigint AS number, 0 AS how
            UNION
            SELECT n.number, n.how FROM reached r CROSS JOIN LATERAL (
                SELECT number, 0 AS how FROM (SELECT number FROM job WHERE parent = r.number AND deleted_at IS NULL OFFSET 0) children WHERE r.how = 0
                UNION ALL
                SELECT dependency, 1 FROM (SELECT dependency FROM dependency WHERE job = r.number OFFSET 0) before WHERE r.how <> 2
                UNION ALL
                SELECT job, 2 FROM (SELECT job FROM dependency WHERE dependency = r.number OFFSET 0) after WHERE r.how <> 1
                UNION ALL
                SELECT parent, 3 FROM (SELECT parent FROM job WHERE number = r.number OFFSET 0) above WHERE parent IS NOT NULL AND (r.how = 3 OR r.number = $1)) n)
        SELECT number FROM reached LIMIT $2
        """;

    private const string DependenciesSql = """
        SELECT d.job, d.dependency FROM unnest($1::bigint[]) AS n(number) CROSS JOIN LATERAL (
            -- The sum keeps the many numbers out of the index: they are looked up among what one job waits for.
            SELECT job, dependency FROM dependency WHERE job = n.number AND dependency + 0 = ANY($1) OFFSET 0) d
        LIMIT $2
        """;

    /// <summary>The graph around a job; the jobs in the order of their numbers.</summary>
    public async Task<JobGraph> ReadAsync(long number, CancellationToken ct)
    {
        // A job may be reached in all four ways.
        var (reached, rows) = (new List<long>(), 0);
        var seen = new HashSet<long>();
        // One connection at a time: what holds one and waits for another may wait for itself.
        await using (var connection = await database.OpenConnectionAsync(ct))
        await using (var reader = await ReadAsync(connection, ReachedSql, ct, number, (4 * MostJobs) + 1))
        {
            while (await reader.ReadAsync(ct))
            {
                rows++;
                if (seen.Add(reader.GetInt64(0))) reached.Add(reader.GetInt64(0));
            }
        }

        var more = reached.Count > MostJobs || rows > 4 * MostJobs;
        var jobs = new List<TreeJobView>();
        await foreach (var job in trees.ManyAsync([.. reached.Take(MostJobs)], ct)) jobs.Add(job with { Environment = "", Command = "", Dir = "" });
        var dependencies = new List<TreeDependency>();
        await using (var connection = await database.OpenConnectionAsync(ct))
        await using (var reader = await ReadAsync(connection, DependenciesSql, ct, jobs.Select(static job => job.Number).ToArray(), MostDependencies + 1))
        {
            while (await reader.ReadAsync(ct))
            {
                if (dependencies.Count == MostDependencies) return new(jobs, dependencies, true);
                dependencies.Add(new(reader.GetInt64(0), reader.GetInt64(1)));
            }
        }

        return new(jobs, dependencies, more);
    }

    private static Task<NpgsqlDataReader> ReadAsync(NpgsqlConnection connection, string sql, CancellationToken ct, params object[] values)
    {
        var statement = new NpgsqlBatchCommand(sql);
        foreach (var value in values) statement.Parameters.AddWithValue(value);
        return ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
    }
}
