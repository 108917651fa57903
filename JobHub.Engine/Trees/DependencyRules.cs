using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>
/// No job may wait for itself. A job has ended when all below it have; a leaf begins when what it and the groups above it depend on has succeeded. So the end of a job waits
/// for whatever anything below or above it depends on, and that must never come back to the job, a group above it, or a job below it.
/// </summary>
internal sealed class DependencyRules(NpgsqlConnection connection)
{
    private const string WaitsForSql = """
        WITH RECURSIVE below AS (
            SELECT n AS number FROM unnest($1::bigint[]) AS n
            UNION SELECT c.number FROM below b JOIN job c ON c.parent = b.number),
        above AS (
            SELECT parent AS number FROM job WHERE number = ANY($1) AND parent IS NOT NULL
            UNION SELECT p.parent FROM above a CROSS JOIN LATERAL (SELECT * FROM job WHERE number = a.number OFFSET 0) p WHERE p.parent IS NOT NULL)
        SELECT DISTINCT d.dependency FROM (SELECT number FROM below UNION SELECT number FROM above) n JOIN dependency d ON d.job = n.number
        """;

    /// <summary>The refusal when dependencies of a job would make it wait for itself; else null.</summary>
    /// <param name="job">Null: one that is not made yet.</param>
    /// <param name="chain">The groups above it.</param>
    public async Task<TreeResult.Conflict?> CycleAsync(long? job, TreeChain chain, IReadOnlyCollection<long> dependencies, CancellationToken ct)
    {
        if (dependencies.Count == 0) return null;
        if (job is { } self && dependencies.Contains(self)) return new("dependency-cycle", $"Job {self} cannot depend on itself.");
        // Nothing depends on a job that is not made yet: it can only be reached by way of the groups above it.
        if (job is null && !dependencies.Any(chain.Contains) && (chain.Depth == 0 || !await AnyDependsOnAsync(chain, ct))) return null;
        var seen = new HashSet<long>();
        var next = dependencies.ToHashSet();
        while (next.Count > 0)
        {
            if (await MeetsAsync(job, chain, next, ct) is { } met)
            {
                return new("dependency-cycle", dependencies.Contains(met)
                    ? $"A job cannot depend on a job above or below it ({met})."
                    : $"The dependency would make the job wait for itself, by way of job {met}.");
            }

            seen.UnionWith(next);
            await using var command = new NpgsqlCommand(WaitsForSql, connection);
            command.Parameters.AddWithValue(next.ToArray());
            await using var reader = await command.ExecuteReaderAsync(ct);
            next = [];
            while (await reader.ReadAsync(ct)) next.Add(reader.GetInt64(0));
            next.ExceptWith(seen);
        }

        return null;
    }

    /// <summary>The refusal when a job, where it stands now, waits for itself; for after a move, inside its transaction.</summary>
    public async Task<TreeResult.Conflict?> CycleAfterMoveAsync(long job, TreeChain chain, CancellationToken ct)
    {
        var edges = new List<TreeDependency>();
        await using (var command = new NpgsqlCommand("""
            WITH RECURSIVE below AS (SELECT $1::bigint AS number UNION SELECT c.number FROM below b JOIN job c ON c.parent = b.number)
            SELECT d.job, d.dependency FROM dependency d WHERE d.job IN (SELECT number FROM below) OR d.job = ANY($2)
            """, connection))
        {
            command.Parameters.AddWithValue(job);
            command.Parameters.AddWithValue(chain.Groups.Select(g => g.Number).ToArray());
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) edges.Add(new(reader.GetInt64(0), reader.GetInt64(1)));
        }

        if (edges.Count == 0) return null;
        var chains = await TreeChains.ReadAsync(connection, edges.Select(e => e.Job), ct);
        foreach (var of in edges.GroupBy(e => e.Job))
        {
            // A chain read by the job's own number ends with it.
            TreeChain above = new([.. chains[of.Key].Groups.SkipLast(1)]);
            if (await CycleAsync(of.Key, above, [.. of.Select(e => e.Dependency)], ct) is { } cycle) return cycle;
        }

        return null;
    }

    private async Task<bool> AnyDependsOnAsync(TreeChain chain, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT FROM dependency WHERE dependency = ANY($1))", connection);
        command.Parameters.AddWithValue(chain.Groups.Select(g => g.Number).ToArray());
        return await command.ExecuteScalarAsync(ct) is true;
    }

    /// <summary>One of the numbers that is the job, above it, or below it.</summary>
    private async Task<long?> MeetsAsync(long? job, TreeChain chain, HashSet<long> numbers, CancellationToken ct)
    {
        foreach (var number in numbers)
        {
            if (number == job || chain.Contains(number)) return number;
        }

        if (job is not { } self) return null;
        var chains = await TreeChains.ReadAsync(connection, numbers, ct);
        foreach (var (number, above) in chains)
        {
            if (above.Contains(self)) return number;
        }

        return null;
    }
}
