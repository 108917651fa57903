using System.Globalization;
using JobHub.Engine.Trees;
using JobHub.Engine.Upkeep;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Jobs;

/// <summary>
/// The one door to change jobs of any family after they were submitted. The intent is stored with the job and answered; what it means for its queue rows follows in chunks
/// (<see cref="JobChangeSteps"/>), and claims look at the intent themselves. Trees have a door of their own, <see cref="JobTrees"/>.
/// </summary>
public sealed class JobChanges(NpgsqlDataSource database, JobTrees trees, Wakeups wakeups)
{
    private sealed record Found(long Number, JobFamily Family, JobState State, short Stop, bool Paused, bool Later, bool Restarting, bool DatasetGone);

    /// <summary>Does it to jobs.</summary>
    /// <param name="priority">The new one, of <see cref="JobAction.Priority"/>.</param>
    /// <returns>Those to which it could not be done, and why.</returns>
    public async Task<Dictionary<long, JobRefusal>> ApplyAsync(JobAction action, IReadOnlyCollection<long> jobs, int priority, string caller, CancellationToken ct)
    {
        var refused = new Dictionary<long, JobRefusal>();
        await ApplyAsync(action, jobs, priority, caller, (job, refusal) =>
        {
            if (refusal is not null) refused[job] = refusal;
        }, ct);
        return refused;
    }

    /// <summary>Does it to jobs in their order; jobs of trees and others have transactions of their own.</summary>
    /// <param name="settled">Told of jobs, as soon as it is stored, that it was done to them or why not: what was not told when this throws was not changed.</param>
    public async Task ApplyAsync(JobAction action, IReadOnlyCollection<long> jobs, int priority, string caller, Action<long, JobRefusal?> settled, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        ArgumentNullException.ThrowIfNull(settled);
        var trees = action == JobAction.Cancel || jobs.Count == 0 ? [] : await FarmAsync(jobs, ct);
        for (var left = jobs.ToArray().AsMemory(); left.Length > 0;)
        {
            var ofTree = trees.Contains(left.Span[0]);
            var run = 1;
            while (run < left.Length && trees.Contains(left.Span[run]) == ofTree) run++;
            if (ofTree) await ApplyToTreesAsync(action, left[..run].ToArray(), priority, caller, settled, ct);
            else await ApplyToOthersAsync(action, left[..run].ToArray(), priority, caller, settled, ct);
            left = left[run..];
        }
    }

    private async Task ApplyToOthersAsync(JobAction action, long[] jobs, int priority, string caller, Action<long, JobRefusal?> settled, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        var found = await LockAsync(connection, jobs, action == JobAction.Retry, ct);
        var outcomes = jobs.Distinct().ToDictionary(static job => job, job => found.TryGetValue(job, out var row) ? Objection(action, row) : JobRefusal.NotFound);
        long[] able = [.. found.Keys.Where(job => outcomes[job] is null)];
        if (able.Length > 0) await StoreAsync(connection, action, able, priority, caller, ct);
        await transaction.CommitAsync(ct);
        foreach (var (job, refusal) in outcomes) settled(job, refusal);
        wakeups.Upkeep();
        wakeups.Steps();
        wakeups.Changes();
        if (action == JobAction.Cancel) wakeups.Trees();
    }

    private async Task<HashSet<long>> FarmAsync(IReadOnlyCollection<long> jobs, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT coalesce(array_agg(number), '{}') FROM job WHERE number = ANY($1) AND family + 0 = 3 AND deleted_at IS NULL");
        command.Parameters.AddWithValue(jobs.ToArray());
        return [.. (long[])(await command.ExecuteScalarAsync(ct))!];
    }

    private static async Task<Dictionary<long, Found>> LockAsync(NpgsqlConnection connection, long[] jobs, bool retry, CancellationToken ct)
    {
        var found = new Dictionary<long, Found>(jobs.Length);
        // A job whose row goes meanwhile is not found; the order is that of everybody who locks several.
        await using var command = new NpgsqlCommand("""
            SELECT j.number, j.family, j.state, j.stop, j.paused,
                   $2 AND j.state < 4 AND EXISTS (SELECT FROM live l WHERE l.task_id >= j.number << 20 AND l.task_id < (j.number + 1) << 20 AND l.not_before IS NOT NULL),
                   EXISTS (SELECT FROM job_change c WHERE c.job = j.number AND c.kind = 1),
                   $2 AND j.family = 2 AND NOT EXISTS (SELECT FROM dataset d WHERE d.id = (j.details->>'dataset')::uuid)
            FROM job j WHERE j.number = ANY($1) AND j.deleted_at IS NULL ORDER BY j.number FOR UPDATE OF j
            """, connection);
        command.Parameters.AddWithValue(jobs);
        command.Parameters.AddWithValue(retry);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            found[reader.GetInt64(0)] = new(reader.GetInt64(0), (JobFamily)reader.GetInt16(1), (JobState)reader.GetInt16(2), reader.GetInt16(3), reader.GetBoolean(4), reader.GetBoolean(5),
                reader.GetBoolean(6), reader.GetBoolean(7));
        }

        return found;
    }

    private static JobRefusal? Objection(JobAction action, Found job)
    {
        var ended = job.State.IsTerminal && !job.Restarting;
        return action switch
        {
            JobAction.Reset => new("not-supported", "Only jobs of trees are reset. Submit this one again instead."),
            JobAction.Delete when !ended => new("job-not-ended", Text($"Job {job.Number} has not ended. Cancel it first.")),
            JobAction.Retry when job.DatasetGone => new("input-deleted", "The dataset that it reads was deleted."),
            JobAction.Retry when job.Restarting || job.Stop != 0 || job.Later || job.State is JobState.Failed or JobState.Canceled => null,
            JobAction.Retry => new("nothing-to-retry", Text($"Nothing of job {job.Number} has failed.")),
            JobAction.Delete => null,
            _ when ended => new("job-already-finished", Text($"Job {job.Number} is {job.State}.")),
            _ => null,
        };
    }

    private static async Task StoreAsync(NpgsqlConnection connection, JobAction action, long[] jobs, int priority, string caller, CancellationToken ct)
    {
        var sql = action switch
        {
            JobAction.Cancel => """
                WITH asked AS (
                    -- A group has no task of its own: its leaves are canceled, and what they come to is its state.
                    UPDATE job SET stop = CASE WHEN is_group THEN 0 ELSE 1 END, cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), dirty = NOT is_group
                    WHERE number = ANY($1) AND state < 4 RETURNING number, is_group),
                below AS (INSERT INTO tree_change (roots, kind) SELECT array_agg(number), 5 FROM asked WHERE is_group HAVING count(*) > 0),
                nomore AS (DELETE FROM job_change WHERE job = ANY($1) AND kind = 1),
                """,
            JobAction.Pause or JobAction.Resume => """
                WITH asked AS (UPDATE job SET paused = $3 WHERE number = ANY($1) AND paused <> $3 RETURNING number),
                rows AS (INSERT INTO job_change (job, kind) SELECT number, 0 FROM asked ORDER BY number ON CONFLICT (job, kind) DO UPDATE SET after = -1),
                """,
            JobAction.Priority => """
                WITH asked AS (
                    UPDATE job SET priority = $3, rank = ($3::bigint - 128) << 56 WHERE number = ANY($1) AND priority <> $3 RETURNING number),
                rows AS (INSERT INTO job_change (job, kind) SELECT number, 0 FROM asked ORDER BY number ON CONFLICT (job, kind) DO UPDATE SET after = -1),
                """,
            JobAction.Retry => """
                WITH asked AS (INSERT INTO job_change (job, kind, caller) SELECT n, 1, $2 FROM unnest($1::bigint[]) AS n ORDER BY n ON CONFLICT (job, kind) DO NOTHING RETURNING job AS number),
                """,
            _ => """
                WITH asked AS (UPDATE job SET deleted_at = clock_timestamp(), dirty = false WHERE number = ANY($1) RETURNING number),
                rows AS (INSERT INTO job_change (job, kind) SELECT number, 2 FROM asked ORDER BY number ON CONFLICT (job, kind) DO NOTHING),
                """,
        };
        await using var command = new NpgsqlCommand($"""
            {sql}
            noted AS (INSERT INTO ledger (job, kind, payload) SELECT number, $4, jsonb_build_object('caller', $2::text) FROM asked ORDER BY number)
            SELECT count(*), $3 IS NULL FROM asked
            """, connection);
        command.Parameters.AddWithValue(jobs);
        command.Parameters.AddWithValue(caller);
        command.Parameters.Add(action == JobAction.Priority ? new() { Value = (short)priority, NpgsqlDbType = NpgsqlDbType.Smallint } : new() { Value = action == JobAction.Pause, NpgsqlDbType = NpgsqlDbType.Boolean });
        command.Parameters.AddWithValue(action switch
        {
            JobAction.Cancel => "job-cancel-requested", JobAction.Pause => "job-paused", JobAction.Resume => "job-resumed", JobAction.Priority => "job-priority",
            JobAction.Retry => "job-retry-requested", _ => "job-deleted",
        });
        await command.ExecuteNonQueryAsync(ct);
    }

    private async Task ApplyToTreesAsync(JobAction action, long[] jobs, int priority, string caller, Action<long, JobRefusal?> settled, CancellationToken ct)
    {
        var refusal = await ChangeTreesAsync(action, jobs, priority, caller, ct);
        // One of them is in the way of the others: each for itself.
        var each = refusal is not null && jobs.Length > 1;
        foreach (var job in jobs) settled(job, each ? await ChangeTreesAsync(action, [job], priority, caller, ct) : refusal);
    }

    private async Task<JobRefusal?> ChangeTreesAsync(JobAction action, long[] jobs, int priority, string caller, CancellationToken ct) => await (action switch
    {
        JobAction.Pause => trees.PauseAsync(jobs, caller, ct),
        JobAction.Resume => trees.EditAsync([.. jobs.Select(static j => new TreeEdit(j) { Paused = false })], caller, ct),
        JobAction.Priority => trees.EditAsync([.. jobs.Select(j => new TreeEdit(j) { Priority = priority })], caller, ct),
        JobAction.Retry => trees.ResetAsync(jobs, failedOnly: true, caller, ct),
        JobAction.Reset => trees.ResetAsync(jobs, failedOnly: false, caller, ct),
        _ => trees.DeleteAsync(jobs, caller, ct),
    }) switch
    {
        TreeResult.Done => null,
        TreeResult.Conflict conflict => new(conflict.Code, conflict.Message),
        _ => JobRefusal.NotFound,
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
