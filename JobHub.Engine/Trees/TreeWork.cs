using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>A job that a change has reached.</summary>
internal sealed record Reached(long Number, long Parent, bool IsGroup, int Priority, string[] Tags, bool Paused, bool Waits);

/// <summary>One chunk of one change, inside its transaction. Job rows are locked before queue rows, both in the order of their numbers.</summary>
internal sealed class TreeWork(NpgsqlConnection connection, RequirementClasses classes, long change, TreeChangeKind kind)
{
    public TreeChangeKind Kind => kind;

    /// <summary>Something may be claimed now.</summary>
    public bool Freed { get; private set; }

    /// <summary>Something that runs is to stop.</summary>
    public bool Told { get; private set; }

    private const string Columns = """
        j.number, coalesce(j.parent, 0), j.is_group, j.priority, j.tags, j.paused,
        EXISTS (SELECT FROM dependency d WHERE d.job = j.number AND (SELECT o.state FROM job o WHERE o.number = d.dependency) <> 4)
        """;

    /// <summary>The jobs that are still there.</summary>
    public async Task<List<Reached>> FindAsync(long[] numbers, CancellationToken ct)
    {
        await using var command = Command($"SELECT {Columns} FROM job j WHERE j.number = ANY($1) ORDER BY j.number", [numbers]);
        return await ReadAsync(command, ct);
    }

    /// <summary>The tops of the subtrees: changed like the rest, and walked when they are groups.</summary>
    public async Task EnterAsync(List<Reached> tops, CancellationToken ct)
    {
        await ApplyAsync(tops, ct);
        await WalkAsync([.. tops.Where(t => t.IsGroup).Select(t => t.Number)], ct);
    }

    /// <summary>Keeps the first tops for this change and makes changes of their own of the others.</summary>
    public async Task BeginAsync(int most, CancellationToken ct)
    {
        await using var command = Command("""
            WITH others AS (
                INSERT INTO tree_change (roots, kind)
                SELECT c.roots[i:i + $2 - 1], c.kind FROM tree_change c, generate_series($2 + 1, cardinality(c.roots), $2) AS i WHERE c.id = $1)
            UPDATE tree_change SET begun = true, roots = roots[1:$2] WHERE id = $1
            """, change, most);
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>The next jobs below the groups that are still to be walked, and those groups.</summary>
    public async Task<(List<Reached> Jobs, List<long> Groups)> NextAsync(int groups, int most, CancellationToken ct)
    {
        var open = new List<long>();
        await using (var walk = Command("SELECT job FROM tree_walk WHERE change = $1 ORDER BY job LIMIT $2", change, groups))
        await using (var reader = await walk.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) open.Add(reader.GetInt64(0));
        }

        if (open.Count == 0) return ([], open);
        await using var command = Command($"""
            SELECT {Columns} FROM (SELECT job, after FROM tree_walk WHERE change = $1 ORDER BY job LIMIT $2) w
            CROSS JOIN LATERAL (SELECT * FROM job WHERE parent = w.job AND number > w.after ORDER BY number LIMIT $3) j ORDER BY w.job, j.number LIMIT $3
            """, change, groups, most);
        return (await ReadAsync(command, ct), open);
    }

    /// <returns>How many of them are new on the walk.</returns>
    public async Task<int> WalkAsync(long[] groups, CancellationToken ct)
    {
        if (groups.Length == 0) return 0;
        await using var command = Command("INSERT INTO tree_walk (change, job) SELECT $1, g FROM unnest($2::bigint[]) AS g ON CONFLICT DO NOTHING", change, groups);
        return await command.ExecuteNonQueryAsync(ct);
    }

    public async Task GoOnAsync(long group, long after, CancellationToken ct)
    {
        await using var command = Command("UPDATE tree_walk SET after = $3 WHERE change = $1 AND job = $2", change, group, after);
        await command.ExecuteNonQueryAsync(ct);
    }

    public async Task LeaveAsync(long[] groups, CancellationToken ct)
    {
        await using var command = Command("DELETE FROM tree_walk WHERE change = $1 AND job = ANY($2)", change, groups);
        await command.ExecuteNonQueryAsync(ct);
    }

    public async Task FinishAsync(CancellationToken ct)
    {
        await using var command = Command("DELETE FROM tree_change WHERE id = $1", change);
        await command.ExecuteNonQueryAsync(ct);
    }

    public async Task ApplyAsync(IReadOnlyList<Reached> jobs, CancellationToken ct)
    {
        if (jobs.Count == 0) return;
        if (kind is TreeChangeKind.Reset && jobs.Any(j => j.IsGroup)) await BeginGroupsAnewAsync([.. jobs.Where(j => j.IsGroup).Select(j => j.Number)], ct);
        if (kind == TreeChangeKind.Delete) await ReleaseAsync(connection, [.. jobs.Select(j => j.Number)], ct);
        if (kind == TreeChangeKind.Delete && jobs.Any(j => j.IsGroup)) await MarkDeletedAsync([.. jobs.Where(j => j.IsGroup).Select(j => j.Number)], ct);
        Reached[] leaves = [.. jobs.Where(j => !j.IsGroup).OrderBy(j => j.Number)];
        if (leaves.Length == 0) return;
        await using (var locked = Command("SELECT FROM job WHERE number = ANY($1) ORDER BY number FOR UPDATE", [leaves.Select(l => l.Number).ToArray()])) await locked.ExecuteNonQueryAsync(ct);
        switch (kind)
        {
            case TreeChangeKind.Delete: await DeleteAsync(leaves, ct); break;
            case TreeChangeKind.Cancel: await CancelAsync(leaves, ct); break;
            case TreeChangeKind.Derive: await DeriveAsync(leaves, ct); break;
            default: await RestartAsync(leaves, ct); break;
        }
    }

    // What the tree makes of each leaf, as columns for unnest: numbers, classes, ranks, paused, waits.
    private async Task<object[]> PlacesAsync(Reached[] leaves, CancellationToken ct)
    {
        var chains = await TreeChains.ReadAsync(connection, leaves.Select(l => l.Parent), ct);
        var places = new int[leaves.Length];
        for (var i = 0; i < places.Length; i++) places[i] = await classes.IdOfAsync(chains[leaves[i].Parent].Needs(leaves[i].Tags), ct);
        return
        [
            leaves.Select(l => l.Number).ToArray(), places, leaves.Select(l => chains[l.Parent].Rank(l.Priority)).ToArray(),
            leaves.Select(l => l.Paused || chains[l.Parent].Paused).ToArray(), leaves.Select(l => l.Waits || chains[l.Parent].Waits).ToArray(),
        ];
    }

    private const string Placed = "placed AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::boolean[], $5::boolean[]) AS p(number, class, rank, paused, waits))";

    private async Task DeriveAsync(Reached[] leaves, CancellationToken ct)
    {
        await using var command = Command($"""
            WITH {Placed},
            jobs AS (UPDATE job j SET class = p.class, rank = p.rank FROM placed p WHERE j.number = p.number AND (j.class <> p.class OR j.rank <> p.rank)),
            rows AS MATERIALIZED (
                SELECT l.task_id, l.session_id IS NOT NULL AS held, l.stop, p.class, p.rank, p.paused, p.waits FROM placed p JOIN live l ON l.task_id = p.number << 20 AND NOT l.speculative
                WHERE l.class <> p.class OR l.rank <> p.rank OR l.paused <> p.paused OR (l.session_id IS NULL AND (l.state = 0) <> p.waits) ORDER BY l.task_id FOR UPDATE OF l),
            changed AS (
                UPDATE live l SET class = r.class, rank = r.rank, paused = r.paused,
                    state = CASE WHEN r.held THEN l.state WHEN r.waits THEN 0 ELSE 1 END,
                    claimable = NOT r.held AND NOT r.waits AND NOT r.paused AND l.not_before IS NULL,
                    stop = CASE WHEN r.held AND r.paused AND l.stop = 0 THEN $6 ELSE l.stop END
                FROM rows r WHERE l.task_id = r.task_id AND NOT l.speculative
                RETURNING l.claimable, l.stop <> r.stop AS told)
            SELECT coalesce(bool_or(claimable), false), coalesce(bool_or(told), false) FROM changed
            """, [.. await PlacesAsync(leaves, ct), StopOrders.Stored(StopReason.Paused)]);
        await ReadChangedAsync(command, ct);
    }

    /// <summary>Runs again: what has ended goes back to the queue, with a reset what runs or waits begins anew as well. Numbers of attempts go on.</summary>
    private async Task RestartAsync(Reached[] leaves, CancellationToken ct)
    {
        await using var command = Command($"""
            WITH {Placed},
            -- Subtrees move while they are walked: what has begun since the call was made is not of its time.
            asked AS MATERIALIZED (SELECT created_at AS at FROM tree_change WHERE id = $8),
            gone AS (
                DELETE FROM task t USING placed p, asked WHERE t.id = p.number << 20 AND ($6 <> 2 AND t.state IN (4, 5, 6) OR t.state IN (5, 6))
                  AND CASE WHEN $6 = 3 THEN t.ended_at ELSE coalesce(t.started_at, t.ended_at) END <= asked.at
                RETURNING t.id AS task_id, t.state, p.class, p.rank, p.paused, p.waits, coalesce((SELECT max(a.number) FROM attempt a WHERE a.task_id = t.id), 0) AS attempt),
            queued AS (
                INSERT INTO live (task_id, class, rank, state, claimable, attempt, paused, run)
                SELECT task_id, class, rank, CASE WHEN waits THEN 0 ELSE 1 END, NOT waits AND NOT paused, attempt, paused, 0 FROM gone RETURNING claimable),
            rows AS MATERIALIZED (
                SELECT l.task_id, l.attempt, l.session_id IS NOT NULL AS held, p.class, p.rank FROM placed p JOIN live l ON l.task_id = p.number << 20 AND NOT l.speculative
                JOIN job j ON j.number = p.number CROSS JOIN asked
                WHERE $6 = 1 AND (l.attempt > 0 OR j.stop <> 0) AND (l.leased_at IS NULL OR l.leased_at <= asked.at) ORDER BY l.task_id FOR UPDATE OF l),
            again AS (
                UPDATE live l SET stop = CASE WHEN r.held THEN $7 ELSE 0 END, not_before = NULL, claimable = NOT r.held AND l.state = 1 AND NOT l.paused
                FROM rows r WHERE l.task_id = r.task_id AND NOT l.speculative RETURNING l.task_id, l.attempt, l.claimable, r.held, r.class, r.rank),
            begun AS (SELECT task_id, attempt, class, rank, state FROM gone UNION ALL SELECT task_id, attempt, class, rank, NULL FROM again),
            jobs AS (
                UPDATE job j SET state = 0, stop = 0, error = NULL, started_at = NULL, ended_at = NULL, cancel_requested_at = NULL, dirty = false, reset_at = clock_timestamp(),
                    charged_from = b.attempt, shown_from = CASE WHEN $6 = 3 THEN j.shown_from ELSE b.attempt END, class = b.class, rank = b.rank
                FROM begun b WHERE j.number = b.task_id >> 20 RETURNING j.number),
            noted AS (
                INSERT INTO ledger (job, kind, payload, succeeded, failed, canceled)
                SELECT task_id >> 20, CASE WHEN $6 = 3 THEN 'job-started-again' ELSE 'job-reset' END, NULL,
                       CASE WHEN state = 4 THEN -1 ELSE 0 END, CASE WHEN state = 5 THEN -1 ELSE 0 END, CASE WHEN state = 6 THEN -1 ELSE 0 END
                FROM begun ORDER BY task_id),
            blocked AS (
                INSERT INTO tree_change (roots, kind) SELECT array_agg(DISTINCT d.job), 0 FROM gone g JOIN dependency d ON d.dependency = g.task_id >> 20 WHERE g.state = 4 HAVING count(*) > 0)
            SELECT EXISTS (SELECT FROM queued WHERE claimable) OR EXISTS (SELECT FROM again WHERE claimable), EXISTS (SELECT FROM again WHERE held)
            """, [.. await PlacesAsync(leaves, ct), (short)kind, StopOrders.Stored(StopReason.Restarted), change]);
        await ReadChangedAsync(command, ct);
    }

    private async Task CancelAsync(Reached[] leaves, CancellationToken ct)
    {
        await using var command = Command("""
            WITH asked AS (
                UPDATE job SET stop = 1, cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), dirty = true
                WHERE number = ANY($1) AND state < 4 AND stop = 0 RETURNING number)
            INSERT INTO ledger (job, kind) SELECT number, 'job-cancel-requested' FROM asked ORDER BY number
            """, [leaves.Select(l => l.Number).ToArray()]);
        await command.ExecuteNonQueryAsync(ct);
    }

    private async Task BeginGroupsAnewAsync(long[] groups, CancellationToken ct)
    {
        await using var command = Command("UPDATE job SET started_at = NULL, cancel_requested_at = NULL, reset_at = clock_timestamp() WHERE number = ANY($1)", [groups]);
        await command.ExecuteNonQueryAsync(ct);
    }

    private async Task MarkDeletedAsync(long[] groups, CancellationToken ct)
    {
        await using var command = Command("UPDATE job SET deleted_at = clock_timestamp() WHERE number = ANY($1) AND deleted_at IS NULL", [groups]);
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Takes deleted jobs off what depends on them, and lets that be derived anew.</summary>
    private static async Task ReleaseAsync(NpgsqlConnection connection, long[] deleted, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            WITH edges AS (DELETE FROM dependency WHERE dependency = ANY($1) RETURNING job, dependency),
            noted AS (INSERT INTO ledger (job, kind, payload) SELECT job, 'dependency-deleted', jsonb_build_object('dependency', dependency) FROM edges ORDER BY job)
            INSERT INTO tree_change (roots, kind) SELECT array_agg(DISTINCT job), 0 FROM edges HAVING count(*) > 0
            """, connection);
        command.Parameters.AddWithValue(deleted);
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>What nobody runs is removed with all that belongs to it; who runs the rest is told to stop.</summary>
    private async Task DeleteAsync(Reached[] leaves, CancellationToken ct)
    {
        var numbers = leaves.Select(l => l.Number).ToArray();
        await using (var stop = Command("""
            WITH marked AS (UPDATE job SET deleted_at = clock_timestamp(), stop = 1, dirty = false WHERE number = ANY($1)),
            rows AS MATERIALIZED (SELECT task_id FROM live WHERE task_id = ANY(SELECT n << 20 FROM unnest($1::bigint[]) AS n) ORDER BY task_id FOR UPDATE),
            told AS (UPDATE live SET stop = $2 WHERE task_id IN (SELECT task_id FROM rows) AND session_id IS NOT NULL AND stop <> $2 RETURNING 1)
            SELECT false, EXISTS (SELECT FROM told)
            """, numbers, StopOrders.Stored(StopReason.CancelRequested)))
        {
            await ReadChangedAsync(stop, ct);
        }

        await RemoveAsync(numbers, """
            SELECT n FROM unnest($1::bigint[]) AS n WHERE NOT EXISTS (SELECT FROM live WHERE task_id = n << 20 AND session_id IS NOT NULL)
            """, ct);
    }

    /// <summary>Removes those of the groups that have no children left, and takes them off the walk; the others are walked again from their beginning.</summary>
    public async Task<int> RemoveEmptyAsync(long[] groups, CancellationToken ct)
    {
        var removed = await RemoveAsync(groups, "SELECT n FROM unnest($1::bigint[]) AS n WHERE NOT EXISTS (SELECT FROM job c WHERE c.parent = n)", ct);
        await using var again = Command("UPDATE tree_walk SET after = 0 WHERE change = $1 AND job = ANY($2)", change, groups);
        await again.ExecuteNonQueryAsync(ct);
        return removed;
    }

    // Rows of the ledger stay until their time comes: what has happened has happened.
    private async Task<int> RemoveAsync(long[] numbers, string which, CancellationToken ct)
    {
        await using var command = Command($"""
            WITH doomed AS MATERIALIZED ({which}),
            queue AS (DELETE FROM live WHERE task_id IN (SELECT n << 20 FROM doomed)),
            tasks AS (DELETE FROM task WHERE id IN (SELECT n << 20 FROM doomed)),
            attempts AS (DELETE FROM attempt WHERE task_id IN (SELECT n << 20 FROM doomed) RETURNING token, log_key),
            logs AS (INSERT INTO file_garbage (object) SELECT log_key FROM attempts WHERE log_key IS NOT NULL ON CONFLICT DO NOTHING),
            printed AS (DELETE FROM run_log WHERE token IN (SELECT token FROM attempts)),
            edges AS (DELETE FROM dependency WHERE job IN (SELECT n FROM doomed)),
            walks AS (DELETE FROM tree_walk WHERE change = $2 AND job IN (SELECT n FROM doomed)),
            gone AS (DELETE FROM job WHERE number IN (SELECT n FROM doomed) RETURNING 1)
            SELECT count(*) FROM gone
            """, numbers, change);
        return (int)(long)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task ReadChangedAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        Freed |= reader.GetBoolean(0);
        Told |= reader.GetBoolean(1);
    }

    private static async Task<List<Reached>> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new List<Reached>();
        while (await reader.ReadAsync(ct))
        {
            found.Add(new(reader.GetInt64(0), reader.GetInt64(1), reader.GetBoolean(2), reader.GetInt16(3), reader.GetFieldValue<string[]>(4), reader.GetBoolean(5), reader.GetBoolean(6)));
        }

        return found;
    }

    private NpgsqlCommand Command(string sql, params object[] values)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var value in values) command.Parameters.AddWithValue(value);
        return command;
    }
}
