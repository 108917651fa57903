using Npgsql;

namespace JobHub.Engine.Trees;

// Calls on subtrees: the intent is stored with the jobs named and is answered; what it means for the leaves below follows in chunks.
public sealed partial class JobTrees
{
    /// <summary>Runs subtrees' leaves again from the beginning: counters, logs and times begin anew.</summary>
    /// <param name="failedOnly">Only leaves that have failed.</param>
    public Task<TreeResult> ResetAsync(IReadOnlyList<long> ids, bool failedOnly, string caller, CancellationToken ct) =>
        EachAsync(ids, caller, (intents, id) =>
        {
            intents.Add(failedOnly ? TreeChangeKind.ResetFailed : TreeChangeKind.Reset, id);
            intents.Note(failedOnly ? "subtree-errors-reset" : "subtree-reset", id);
        }, ct);

    /// <summary>Takes the pause off the jobs named, and runs again what has ended below.</summary>
    public Task<TreeResult> StartAsync(IReadOnlyList<long> ids, string caller, CancellationToken ct) => EachAsync(ids, caller, (intents, id) => intents.Switch(id, pause: false), ct);

    /// <summary>Pauses: nothing below is given out, what runs is stopped and waits.</summary>
    public Task<TreeResult> PauseAsync(IReadOnlyList<long> ids, string caller, CancellationToken ct) => EachAsync(ids, caller, (intents, id) => intents.Switch(id, pause: true), ct);

    /// <summary>Removes subtrees with their logs and what runs.</summary>
    public async Task<TreeResult> DeleteAsync(IReadOnlyList<long> ids, string caller, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(ids);
        return await EachAsync(ids, caller, (intents, id) =>
        {
            intents.Add(TreeChangeKind.Delete, id);
            intents.Note("subtree-deleted", id);
            intents.CutOff(id);
        }, ct);
    }

    private async Task<TreeResult> EachAsync(IReadOnlyList<long> ids, string caller, Action<Intents, long> intend, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(ids);
        if (ids.Count == 0) return new TreeResult.Done([]);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await TreeLocks.TakeAsync(connection, TreeLocks.ChangeSql, ct);
        long[] wanted = [.. ids.Distinct()];
        if (await MissingAsync(connection, wanted, ct) is { } missing) return Unknown(missing);
        var intents = new Intents(connection, caller);
        foreach (var id in wanted) intend(intents, id);
        var begun = await intents.StoreAsync(ct);
        await transaction.CommitAsync(ct);
        wakeups.Upkeep();
        await changes.BeginAsync(begun, ct);
        return new TreeResult.Done(wanted);
    }

    private static async Task<long?> MissingAsync(NpgsqlConnection connection, long[] ids, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE up AS (
                SELECT n AS start, j.parent, j.deleted_at FROM unnest($1::bigint[]) AS n CROSS JOIN LATERAL (SELECT * FROM job WHERE number = n OFFSET 0) j WHERE j.family = 3
                UNION ALL SELECT u.start, p.parent, p.deleted_at FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.parent OFFSET 0) p)
            SELECT n FROM unnest($1::bigint[]) AS n WHERE n NOT IN (SELECT start FROM up) OR n IN (SELECT start FROM up WHERE deleted_at IS NOT NULL) LIMIT 1
            """, connection);
        command.Parameters.AddWithValue(ids);
        return await command.ExecuteScalarAsync(ct) as long?;
    }

    /// <summary>What one call wants of which jobs, stored together.</summary>
    private sealed class Intents(NpgsqlConnection connection, string caller)
    {
        // One change carries out what is wanted of many jobs alike. In the order in which they were wanted first: a start derives before it runs again.
        private readonly List<(TreeChangeKind Kind, HashSet<long> Roots)> _changes = [];
        private readonly List<(string Kind, long Job)> _notes = [];
        private readonly List<(long Job, bool Paused)> _switches = [];
        private readonly List<long> _cut = [];

        public void Add(TreeChangeKind kind, long root)
        {
            var change = _changes.Find(c => c.Kind == kind);
            if (change.Roots is null) _changes.Add(change = (kind, []));
            change.Roots.Add(root);
        }

        public void Note(string kind, long job) => _notes.Add((kind, job));

        /// <summary>Pauses a job, or starts it: then what has ended runs again.</summary>
        public void Switch(long job, bool pause)
        {
            _switches.Add((job, pause));
            Add(TreeChangeKind.Derive, job);
            if (!pause) Add(TreeChangeKind.Start, job);
            Note(pause ? "subtree-paused" : "subtree-started", job);
        }

        public void CutOff(long job) => _cut.Add(job);

        /// <returns>The changes to be carried out.</returns>
        public async Task<List<long>> StoreAsync(CancellationToken ct)
        {
            if (_switches.Count > 0)
            {
                await ExecuteAsync("UPDATE job j SET paused = s.paused FROM unnest($1::bigint[], $2::boolean[]) AS s(number, paused) WHERE j.number = s.number",
                    ct, _switches.Select(s => s.Job).ToArray(), _switches.Select(s => s.Paused).ToArray());
            }

            if (_cut.Count > 0)
            {
                // Off their groups at once, counters and all; what is below goes with them.
                var above = await TreeChains.ReadAsync(connection, _cut, ct);
                var cut = _cut.ToHashSet();
                long[] tops = [.. _cut.Where(job => !above[job].Groups.SkipLast(1).Any(g => cut.Contains(g.Number)))];
                await ShiftAsync(connection, tops, -1, ct);
                await ExecuteAsync("UPDATE job SET parent = NULL, deleted_at = clock_timestamp() WHERE number = ANY($1)", ct, tops);
            }

            await ExecuteAsync("INSERT INTO ledger (job, kind, payload) SELECT number, kind, jsonb_build_object('caller', $3::text) FROM unnest($1::bigint[], $2::text[]) AS n(number, kind)",
                ct, _notes.Select(n => n.Job).ToArray(), _notes.Select(n => n.Kind).ToArray(), caller);
            var ids = new List<long>(_changes.Count);
            var chains = await TreeChains.ReadAsync(connection, _changes.SelectMany(c => c.Roots), ct);
            foreach (var (kind, roots) in _changes)
            {
                // What is below another one is reached with it: a second visit would run again what the first one has set going.
                roots.RemoveWhere(job => chains.TryGetValue(job, out var chain) && chain.Groups.SkipLast(1).Any(g => roots.Contains(g.Number)));
                await using var command = new NpgsqlCommand("INSERT INTO tree_change (roots, kind) VALUES ($1, $2) RETURNING id", connection);
                command.Parameters.AddWithValue(roots.ToArray());
                command.Parameters.AddWithValue((short)kind);
                ids.Add((long)(await command.ExecuteScalarAsync(ct))!);
            }

            return ids;
        }

        private async Task ExecuteAsync(string sql, CancellationToken ct, params object[] values)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            foreach (var value in values) command.Parameters.AddWithValue(value);
            await command.ExecuteNonQueryAsync(ct);
        }
    }
}
