using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>Where a job stands in its tree, and what that makes of its row in the queue.</summary>
/// <param name="Rank">The priority path as the queue sorts it.</param>
/// <param name="Paused">Its own flag.</param>
/// <param name="PathPaused">It or a group above is paused.</param>
/// <param name="PathWaits">Something that it or a group above depends on has not succeeded.</param>
/// <param name="Tags">Its own affinity.</param>
public sealed record TreePlace(long? Parent, long Rank, bool IsGroup, string[] Tags, bool Paused, bool PathPaused, bool PathWaits);

/// <summary>What a job takes over from the groups above it.</summary>
/// <param name="Groups">From the root down, the job's own parent last.</param>
public sealed record TreeChain(IReadOnlyList<TreeAncestor> Groups)
{
    public static TreeChain Root { get; } = new([]);

    /// <summary>How deep a child of it is: 0 for a root.</summary>
    public int Depth => Groups.Count;

    public bool Paused => Groups.Any(g => g.Paused);

    public bool Waits => Groups.Any(g => g.Waits);

    public bool Contains(long number) => Groups.Any(g => g.Number == number);

    /// <summary>Σ priority &lt;&lt; (56 − 8·depth) over the groups and the job itself: compared as a number it is the order from the root down.</summary>
    public ulong PathPriority(int priority)
    {
        ulong path = 0;
        var shift = 56;
        foreach (var group in Groups)
        {
            path |= (ulong)group.Priority << shift;
            shift -= 8;
        }

        return path | ((ulong)priority << shift);
    }

    /// <summary>The same, as a signed number of the queue's index.</summary>
    public long Rank(int priority) => unchecked((long)(PathPriority(priority) ^ (1UL << 63)));

    /// <summary>All tags that a job here needs.</summary>
    public string[] Tags(string[] own) => [.. Groups.SelectMany(g => g.Tags).Concat(own).Distinct(StringComparer.Ordinal)];

    /// <summary>What a job here needs of a worker.</summary>
    public Jobs.Requirement Needs(string[] own) => Jobs.Requirement.None with { Affinity = Tags(own) };
}

/// <summary>A group above a job.</summary>
public sealed record TreeAncestor(long Number, bool IsGroup, int Priority, string[] Tags, bool Paused, bool Waits, bool Deleted, string Project, string User);

/// <summary>Reads chains of groups.</summary>
internal static class TreeChains
{
    // Each job by its number: a plan that is made while there are few (decision 0016) would otherwise read them all, and go on doing so. OFFSET 0 keeps the lookup a lookup.
    private const string Sql = """
        WITH RECURSIVE up AS (
            SELECT n.number AS start, j.number, j.parent, j.is_group, j.priority, j.tags, j.paused, j.deleted_at IS NOT NULL AS deleted, j.project, coalesce(j.caller, '') AS caller, 0 AS height
            FROM unnest($1::bigint[]) AS n(number) CROSS JOIN LATERAL (SELECT * FROM job WHERE number = n.number OFFSET 0) j WHERE j.family = 3
            UNION ALL
            SELECT u.start, p.number, p.parent, p.is_group, p.priority, p.tags, p.paused, p.deleted_at IS NOT NULL, p.project, coalesce(p.caller, ''), u.height + 1
            FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.parent OFFSET 0) p)
        SELECT u.start, u.number, u.is_group, u.priority, u.tags, u.paused,
               EXISTS (SELECT FROM dependency d WHERE d.job = u.number AND (SELECT o.state FROM job o WHERE o.number = d.dependency) <> 4), u.deleted, u.project, u.caller
        FROM up u ORDER BY u.start, u.height DESC
        """;

    /// <summary>The chains of jobs made below these numbers: each ends with the number itself. A number without a job of a tree is absent; 0 stands for the roots.</summary>
    public static async Task<Dictionary<long, TreeChain>> ReadAsync(NpgsqlConnection connection, IEnumerable<long> parents, CancellationToken ct)
    {
        var wanted = parents.Distinct().ToArray();
        var chains = new Dictionary<long, TreeChain>(wanted.Length);
        if (wanted.Contains(0)) chains[0] = TreeChain.Root;
        wanted = [.. wanted.Where(n => n != 0)];
        if (wanted.Length == 0) return chains;
        var statement = new NpgsqlBatchCommand(Sql);
        statement.Parameters.AddWithValue(wanted);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        var (start, groups) = (0L, new List<TreeAncestor>());
        while (await reader.ReadAsync(ct))
        {
            if (reader.GetInt64(0) != start)
            {
                if (start != 0) chains[start] = new(groups);
                (start, groups) = (reader.GetInt64(0), []);
            }

            groups.Add(new(reader.GetInt64(1), reader.GetBoolean(2), reader.GetInt16(3), reader.GetFieldValue<string[]>(4), reader.GetBoolean(5), reader.GetBoolean(6), reader.GetBoolean(7),
                reader.GetString(8), reader.GetString(9)));
        }

        if (start != 0) chains[start] = new(groups);
        return chains;
    }
}

/// <summary>Two locks order all that changes trees. Always taken in this order; nobody waits for one of a job's or a queue's rows while another waits for these.</summary>
internal static class TreeLocks
{
    /// <summary>Shared by those who make jobs without dependencies; alone for those who change what a new job takes over.</summary>
    private const string Shape = "740751";

    /// <summary>The folder's own: who holds it may write counters and states of groups.</summary>
    private const string Fold = "740750";

    public static string MakeSql { get; } = $"SELECT pg_advisory_xact_lock_shared({Shape})";

    public static string ChangeSql { get; } = $"SELECT pg_advisory_xact_lock({Shape}), pg_advisory_xact_lock({Fold})";

    public static string FoldSql { get; } = $"SELECT pg_advisory_xact_lock({Fold})";

    public static async Task TakeAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        // What is done under the locks reaches its rows by key.
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(sql), new(KeyedPlans.Sql) } };
        await batch.ExecuteNonQueryAsync(ct);
    }
}
