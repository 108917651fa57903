using System.Text.Json;
using JobHub.Engine.Jobs;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Trees;

// Changes of single jobs. All of a call is one transaction under both locks: nobody makes jobs, folds or changes trees meanwhile.
public sealed partial class JobTrees
{
    /// <summary>Jobs that one may depend on.</summary>
    public const int MostDependencies = 10_000;

    /// <summary>A job's own row, as an edit begins with it.</summary>
    private sealed record Row(long Number, long Parent, bool IsGroup, string? Title, CommandDetails Details, int Priority, string[] Tags, bool Paused, int MaxAttempts, double? Timeout, string Project);

    /// <summary>Changes jobs, all or none.</summary>
    public async Task<TreeResult> EditAsync(IReadOnlyList<TreeEdit> edits, string caller, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(edits);
        if (edits.Count == 0) return new TreeResult.Done([]);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await TreeLocks.TakeAsync(connection, TreeLocks.ChangeSql, ct);
        var intents = new Intents(connection, caller);
        long[] ids = [.. edits.Select(e => e.Id)];
        if (await MissingAsync(connection, ids, ct) is { } missing) return Unknown(missing);
        var rows = await FindAsync(connection, ids, ct);
        edits = await SettleAsync(connection, edits, rows, ct);
        if (edits.FirstOrDefault(static e => e.Dependencies?.Count > MostDependencies) is { } many)
            return new TreeResult.Conflict("too-many-dependencies", $"Job {many.Id} would depend on more than {MostDependencies} jobs. Put them into a group and depend on that.");
        await using var batch = new NpgsqlBatch(connection);
        foreach (var edit in edits)
        {
            if (Edit(batch, rows[edit.Id], edit) is { } refusal) return refusal;
        }

        await batch.ExecuteNonQueryAsync(ct);
        foreach (var edit in edits)
        {
            if (await PlaceAsync(connection, intents, rows[edit.Id], edit, ct) is { } refusal) return refusal;
        }

        if (await DeclareAsync(edits.Select(e => e.Affinity ?? ""), ct) is { } full) return full;
        var begun = await intents.StoreAsync(ct);
        await transaction.CommitAsync(ct);
        wakeups.Upkeep();
        await changes.BeginAsync(begun, ct);
        return new TreeResult.Done(ids);
    }

    /// <summary>Replaces what a job depends on.</summary>
    public Task<TreeResult> SetDependenciesAsync(long id, IReadOnlyList<long> dependencies, string caller, CancellationToken ct) =>
        EditAsync([new TreeEdit(id) { Dependencies = dependencies }], caller, ct);

    /// <summary>What is added to values and taken from them, as the values that come out of it.</summary>
    private static async Task<TreeEdit[]> SettleAsync(NpgsqlConnection connection, IReadOnlyList<TreeEdit> edits, Dictionary<long, Row> rows, CancellationToken ct)
    {
        long[] depending = [.. edits.Where(static e => e.AddDependencies.Count + e.DropDependencies.Count > 0).Select(static e => e.Id)];
        var edges = new List<TreeDependency>();
        if (depending.Length > 0)
        {
            await using var command = new NpgsqlCommand("SELECT job, dependency FROM dependency WHERE job = ANY($1) ORDER BY dependency", connection);
            command.Parameters.AddWithValue(depending);
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) edges.Add(new(reader.GetInt64(0), reader.GetInt64(1)));
        }

        var before = edges.ToLookup(static e => e.Job, static e => e.Dependency);
        return
        [
            .. edits.Select(e => e with
            {
                Affinity = e.AddTags.Count + e.DropTags.Count == 0 ? e.Affinity : string.Join(',', rows[e.Id].Tags.Except(e.DropTags).Union(e.AddTags)),
                Dependencies = e.AddDependencies.Count + e.DropDependencies.Count == 0 ? e.Dependencies : [.. before[e.Id].Except(e.DropDependencies).Union(e.AddDependencies)],
            }),
        ];
    }

    /// <summary>What is a job's own: one row a job, all of a call at once.</summary>
    private static TreeResult.Conflict? Edit(NpgsqlBatch batch, Row row, TreeEdit edit)
    {
        var details = row.Details with
        {
            Command = edit.Command ?? row.Details.Command,
            Environment = edit.Environment is { } environment ? EnvironmentText.Read(environment) : row.Details.Environment,
            OfTree = row.Details.OfTree! with
            {
                Dir = edit.Dir ?? row.Details.OfTree.Dir, Environment = edit.Environment ?? row.Details.OfTree.Environment, Url = edit.Url ?? row.Details.OfTree.Url,
                ProgressPattern = edit.ProgressPattern ?? row.Details.OfTree.ProgressPattern, User = edit.User ?? row.Details.OfTree.User, Affinity = edit.Affinity ?? row.Details.OfTree.Affinity,
            },
        };
        if ((details.Command.Length == 0) != row.IsGroup)
        {
            return new TreeResult.Conflict(row.IsGroup ? "job-is-a-group" : "job-has-a-command", row.IsGroup
                ? $"Job {edit.Id} is a group; it gets no command. Make a job with a command below it." : $"Job {edit.Id} has a command and does not become a group. Delete it, or change the command.");
        }

        var command = new NpgsqlBatchCommand("""
            UPDATE job SET title = $2, details = $3::jsonb, priority = $4, tags = $5, max_attempts = $6, timeout_seconds = $7, caller = $8, paused = $9 WHERE number = $1
            """);
        var p = command.Parameters;
        p.AddWithValue(edit.Id);
        p.Add(new() { Value = (object?)(edit.Title ?? row.Title) ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        p.AddWithValue(JsonSerializer.Serialize(details, EngineJson.Default.CommandDetails));
        p.AddWithValue((short)(edit.Priority ?? row.Priority));
        p.AddWithValue(edit.Affinity is { } affinity ? TreeTags.Of(affinity) : row.Tags);
        p.AddWithValue(edit.Retry is { } retry ? retry + 1 : row.MaxAttempts);
        p.Add(new() { Value = edit.TimeoutSeconds is { } seconds ? seconds == 0 ? DBNull.Value : (double)seconds : (object?)row.Timeout ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Double });
        p.AddWithValue(details.OfTree.User);
        p.AddWithValue(edit.Paused ?? row.Paused);
        batch.BatchCommands.Add(command);
        return null;
    }

    /// <summary>Where it stands, what it waits for, and what follows for all below it.</summary>
    private static async Task<TreeResult?> PlaceAsync(NpgsqlConnection connection, Intents intents, Row row, TreeEdit edit, CancellationToken ct)
    {
        if (edit.Parent is { } parent && parent != row.Parent && await MoveAsync(connection, row, parent, ct) is { } refused) return refused;
        if (edit.Dependencies is { } dependencies && await ReplaceDependenciesAsync(connection, edit.Id, dependencies, ct) is { } cycle) return cycle;
        if (edit.Priority is not null || edit.Affinity is not null || edit.Paused is not null || edit.Parent is not null || edit.Dependencies is not null)
            intents.Add(TreeChangeKind.Derive, edit.Id);
        intents.Note("job-edited", edit.Id);
        if (edit.Pause is { } pause) intents.Switch(edit.Id, pause);
        return null;
    }

    private static async Task<TreeResult?> ReplaceDependenciesAsync(NpgsqlConnection connection, long id, IReadOnlyList<long> dependencies, CancellationToken ct)
    {
        long[] wanted = [.. dependencies.Distinct()];
        if (await FindDependenciesAsync(connection, wanted, [], ct) is { } missing) return missing;
        await using (var clear = new NpgsqlCommand("DELETE FROM dependency WHERE job = $1", connection))
        {
            clear.Parameters.AddWithValue(id);
            await clear.ExecuteNonQueryAsync(ct);
        }

        var chain = (await TreeChains.ReadAsync(connection, [id], ct))[id];
        if (await new DependencyRules(connection).CycleAsync(id, new([.. chain.Groups.SkipLast(1)]), wanted, ct) is { } cycle) return cycle;
        await InsertDependenciesAsync(connection, [.. wanted.Select(d => new TreeDependency(id, d))], ct);
        return null;
    }

    /// <summary>Moves a job with all below it. Its base counters go from the old groups to the new at once; what is not folded yet follows the tree by itself.</summary>
    private static async Task<TreeResult?> MoveAsync(NpgsqlConnection connection, Row row, long parent, CancellationToken ct)
    {
        var chain = (await TreeChains.ReadAsync(connection, [parent], ct)).GetValueOrDefault(parent);
        if (chain?.Contains(row.Number) == true) return new TreeResult.Conflict("move-below-itself", $"Job {row.Number} cannot be moved below itself.");
        if (Objection(chain, parent, await HeightAsync(connection, row.Number, ct)) is { } objection) return objection;
        // Who may act on a group acts on all below it.
        if (chain!.Groups is [.., var group] && group.Project != row.Project)
            return new TreeResult.Conflict("other-project", $"Job {row.Number} is of another project than job {parent}; it moves within its own.");
        await ShiftAsync(connection, [row.Number], -1, ct);
        await using (var move = new NpgsqlCommand("UPDATE job SET parent = nullif($2, 0) WHERE number = $1", connection))
        {
            move.Parameters.AddWithValue(row.Number);
            move.Parameters.AddWithValue(parent);
            await move.ExecuteNonQueryAsync(ct);
        }

        await ShiftAsync(connection, [row.Number], 1, ct);
        return await new DependencyRules(connection).CycleAfterMoveAsync(row.Number, chain, ct);
    }

    /// <summary>Levels below a job.</summary>
    private static async Task<int> HeightAsync(NpgsqlConnection connection, long number, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE groups AS (
                SELECT number, 0 AS level FROM job WHERE number = $1 AND is_group
                UNION ALL SELECT c.number, g.level + 1 FROM groups g JOIN job c ON c.parent = g.number AND c.is_group)
            SELECT coalesce(max(g.level + CASE WHEN EXISTS (SELECT FROM job c WHERE c.parent = g.number) THEN 1 ELSE 0 END), 0) FROM groups g
            """, connection);
        command.Parameters.AddWithValue(number);
        return (int)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>Adds the base counters of jobs, none above another, to the groups above them (+1), or takes them off (-1); under the folder's lock, which alone writes them otherwise.</summary>
    private static async Task ShiftAsync(NpgsqlConnection connection, long[] numbers, int sign, CancellationToken ct)
    {
        // Of a leaf: itself, as far as it is folded. A leaf that is not folded yet has its row in the ledger, which goes where the leaf goes.
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE moved AS (
                SELECT j.parent, j.is_group,
                       CASE WHEN j.is_group THEN j.leaves ELSE j.commands - (SELECT coalesce(sum(l.leaves), 0)::int FROM ledger l WHERE l.job = j.number AND l.position IS NULL) END AS leaves,
                       CASE WHEN j.is_group THEN j.leaves_succeeded ELSE j.succeeded END AS ok, CASE WHEN j.is_group THEN j.leaves_failed ELSE j.failed + j.canceled END AS bad
                FROM job j WHERE j.number = ANY($1) AND j.parent IS NOT NULL),
            up AS (
                SELECT parent AS number, NOT is_group AS direct, $2 * sum(leaves)::int AS leaves, $2 * sum(ok)::int AS ok, $2 * sum(bad)::int AS bad FROM moved GROUP BY parent, is_group
                UNION ALL SELECT p.parent, false, u.leaves, u.ok, u.bad FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.number OFFSET 0) p WHERE p.parent IS NOT NULL),
            rolled AS MATERIALIZED (
                SELECT number, coalesce(sum(leaves) FILTER (WHERE direct), 0)::int AS kids, coalesce(sum(ok) FILTER (WHERE direct), 0)::int AS kids_ok,
                       coalesce(sum(bad) FILTER (WHERE direct), 0)::int AS kids_bad, sum(leaves)::int AS leaves, sum(ok)::int AS ok, sum(bad)::int AS bad
                FROM up GROUP BY number ORDER BY number),
            shifted AS (
                UPDATE job g SET
                    kids = g.kids + r.kids, kids_succeeded = g.kids_succeeded + r.kids_ok, kids_failed = g.kids_failed + r.kids_bad,
                    leaves = g.leaves + r.leaves, leaves_succeeded = g.leaves_succeeded + r.ok, leaves_failed = g.leaves_failed + r.bad,
                    state = n.state, ended_at = CASE WHEN n.state < 4 THEN NULL WHEN n.state = n.was THEN g.ended_at ELSE clock_timestamp() END
                FROM rolled r CROSS JOIN LATERAL (
                    SELECT o.state AS was, group_state(o.leaves + r.leaves, o.leaves_succeeded + r.ok, o.leaves_failed + r.bad, o.started_at IS NOT NULL) AS state
                    FROM job o WHERE o.number = r.number OFFSET 0) n
                WHERE g.number = r.number RETURNING g.number, n.state, n.was),
            noted AS (
                INSERT INTO ledger (job, kind, payload)
                SELECT number, 'job-ended', CASE WHEN state = 4 THEN '{"state":"Succeeded"}'::jsonb ELSE '{"state":"Failed"}' END FROM shifted WHERE state >= 4 AND state <> was)
            INSERT INTO tree_change (roots, kind)
            SELECT array_agg(DISTINCT d.job), 0 FROM shifted s JOIN dependency d ON d.dependency = s.number WHERE (s.state = 4) <> (s.was = 4) HAVING count(*) > 0
            """, connection);
        command.Parameters.AddWithValue(numbers);
        command.Parameters.AddWithValue(sign);
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<Dictionary<long, Row>> FindAsync(NpgsqlConnection connection, long[] ids, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            SELECT number, coalesce(parent, 0), is_group, title, details::text, priority, tags, paused, max_attempts, timeout_seconds, project
            FROM job WHERE number = ANY($1) AND family + 0 = 3 AND deleted_at IS NULL ORDER BY number FOR UPDATE
            """, connection);
        command.Parameters.AddWithValue(ids);
        var rows = new Dictionary<long, Row>(ids.Length);
        await using var r = await command.ExecuteReaderAsync(ct);
        while (await r.ReadAsync(ct))
        {
            rows[r.GetInt64(0)] = new(r.GetInt64(0), r.GetInt64(1), r.GetBoolean(2), r.IsDBNull(3) ? null : r.GetString(3), JsonSerializer.Deserialize(r.GetString(4), EngineJson.Default.CommandDetails)!,
                r.GetInt16(5), r.GetFieldValue<string[]>(6), r.GetBoolean(7), r.GetInt32(8), r.IsDBNull(9) ? null : r.GetDouble(9), r.GetString(10));
        }

        return rows;
    }

    private static TreeResult.NotFound Unknown(long id) => new("job-not-found", $"There is no job {id}.");
}
