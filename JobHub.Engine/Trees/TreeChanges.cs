using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>
/// Carries out changes of subtrees: walks from the top down by the index (parent, number), a chunk a transaction, and goes on where it stopped, in whichever process. Each
/// chunk reads the tree as it is then, so changes that overlap come to the same end in any order.
/// </summary>
public sealed class TreeChanges(NpgsqlDataSource database, RequirementClasses classes, Wakeups wakeups)
{
    private const int Chunk = 2000;
    private const int Groups = 200;

    private enum Step
    {
        /// <summary>Another process has it, or it is done.</summary>
        Nothing,
        More,
        /// <summary>What is left must first end by itself.</summary>
        Waits,
    }

    /// <summary>Takes what is there, all of it.</summary>
    public async Task StepAsync(CancellationToken ct)
    {
        var found = new List<long>();
        await using (var command = database.CreateCommand("SELECT id FROM tree_change ORDER BY id LIMIT 200"))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) found.Add(reader.GetInt64(0));
        }

        foreach (var id in found)
        {
            while (await StepAsync(id, ct) == Step.More)
            {
                // The next chunk.
            }
        }

        if (found.Count == 200) wakeups.Trees();
    }

    /// <summary>Begins changes at once, for so long that a caller may wait for it; upkeep does the rest.</summary>
    internal async Task BeginAsync(IEnumerable<long> changes, CancellationToken ct)
    {
        const int callersTime = 250;
        var deadline = Environment.TickCount64 + callersTime;
        try
        {
            foreach (var id in changes)
            {
                while (await StepAsync(id, ct) == Step.More && Environment.TickCount64 < deadline)
                {
                    // The next chunk.
                }

                if (Environment.TickCount64 >= deadline) break;
            }
        }
        catch (Exception fault) when (fault is NpgsqlException or OperationCanceledException)
        {
            // The intent is stored: what failed here, or was not waited for, is done by upkeep, which says why if it stays.
        }

        wakeups.Trees();
    }

    private async Task<Step> StepAsync(long id, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        long[] roots;
        TreeChangeKind kind;
        bool begun;
        await using (var take = new NpgsqlCommand("""
            SELECT roots, kind, begun FROM tree_change WHERE id = $1 FOR UPDATE SKIP LOCKED
            """, connection))
        {
            take.Parameters.AddWithValue(id);
            await using var reader = await take.ExecuteReaderAsync(ct);
            if (!await reader.ReadAsync(ct)) return Step.Nothing;
            (roots, kind, begun) = (reader.GetFieldValue<long[]>(0), (TreeChangeKind)reader.GetInt16(1), reader.GetBoolean(2));
        }

        // Whoever makes a job has read its groups before it can be seen here. Once, at the beginning, all of them are waited for: who comes later reads the new state.
        await TreeLocks.TakeAsync(connection, begun ? TreeLocks.FoldSql : TreeLocks.ChangeSql, ct);
        var work = new TreeWork(connection, classes, id, kind);
        var step = await ChunkAsync(work, roots, begun, ct);
        await transaction.CommitAsync(ct);
        if (work.Freed) wakeups.Work(0);
        if (work.Told) wakeups.Orders();
        wakeups.Upkeep();
        if (kind == TreeChangeKind.Cancel) wakeups.Steps();
        return step;
    }

    private static async Task<Step> ChunkAsync(TreeWork work, long[] roots, bool begun, CancellationToken ct)
    {
        if (!begun)
        {
            await work.EnterAsync(await work.FindAsync([.. roots.Take(Chunk)], ct), ct);
            await work.BeginAsync(Chunk, ct);
        }

        var (reached, groups) = await work.NextAsync(Groups, Chunk, ct);
        if (groups.Count == 0)
        {
            // Single jobs that are deleted may still run: they are looked at again until they do not.
            if (work.Kind == TreeChangeKind.Delete && begun) await work.EnterAsync(await work.FindAsync(roots, ct), ct);
            if (work.Kind == TreeChangeKind.Delete && await work.FindAsync(roots, ct) is { Count: > 0 }) return Step.Waits;
            await work.FinishAsync(ct);
            return Step.Nothing;
        }

        await work.ApplyAsync(reached, ct);
        var entered = await work.WalkAsync([.. reached.Where(r => r.IsGroup).Select(r => r.Number)], ct);
        // Groups up to the last one reached are done with; that one too when its children came to an end.
        var full = reached.Count == Chunk;
        var open = full ? reached[^1].Parent : (long?)null;
        var done = groups.Where(g => open is null || g < open).ToArray();
        if (open is { } last) await work.GoOnAsync(last, reached[^1].Number, ct);
        if (work.Kind != TreeChangeKind.Delete)
        {
            await work.LeaveAsync(done, ct);
            return Step.More;
        }

        // A group goes when nothing is below it any more. What still runs below is waited for.
        var removed = await work.RemoveEmptyAsync(done, ct);
        return full || removed > 0 || entered > 0 ? Step.More : Step.Waits;
    }
}
