using System.ComponentModel.DataAnnotations;
using JobHub.Engine.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>Section JobHub:Retention.</summary>
public sealed class RetentionOptions
{
    /// <summary>Ended jobs, with their tasks, attempts, logs and events, are kept this long.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "36500.00:00:00")]
    public TimeSpan Jobs { get; init; } = TimeSpan.FromDays(30);

    /// <summary>Answers to a repeated Idempotency-Key.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "365.00:00:00")]
    public TimeSpan IdempotencyKeys { get; init; } = TimeSpan.FromHours(24);
}

/// <summary>What one run removed.</summary>
public sealed record RetentionResult(int Jobs, long Rows, long Objects, int Kept);

/// <summary>
/// Forgets what is old: whole ended trees of jobs with their logs in the store, old ledger rows, idempotency keys, ended sessions. In chunks of at most 2 000 rows, each a
/// transaction of its own, so that no snapshot is held for long; a run that is cut off is continued by the next. Results that jobs wrote belong to their owners and stay.
/// </summary>
/// <param name="stores">Null where the process has no store: jobs with logs in the store are then kept.</param>
public sealed class Retention(NpgsqlDataSource db, IOptions<RetentionOptions> options, ILogger<Retention> logger, StoreRegistry? stores = null)
{
    private readonly JobRemoval removal = new(db, stores);

    public async Task<RetentionResult> ApplyAsync(CancellationToken ct)
    {
        int jobs = 0, kept = 0;
        long rows = 0, objects = 0, after = 0;
        var passed = await PassedByCursorsAsync(ct);
        while (true)
        {
            var ended = await EndedRootsAsync(after, ct);
            if (ended.Count == 0) break;
            foreach (var number in ended)
            {
                after = number;
                var (forgotten, r, o) = await ForgetTreeAsync(number, passed, ct);
                (rows, objects) = (rows + r, objects + o);
                if (forgotten > 0) jobs += forgotten;
                else kept++;
            }
        }
        rows += await RepeatAsync("""
            with oldest as (select position from ledger where position is not null order by position limit $2)
            delete from ledger l using oldest o where l.position = o.position and l.at < clock_timestamp() - $1 and l.position <= $3
            """, options.Value.Jobs, ct, passed);
        rows += await RepeatAsync("delete from idempotency where (caller, key) in (select caller, key from idempotency where created_at < clock_timestamp() - $1 limit $2)",
            options.Value.IdempotencyKeys, ct);
        rows += await RepeatAsync("delete from worker_session where id in (select id from worker_session where ended_at < clock_timestamp() - $1 limit $2)", options.Value.Jobs, ct);
        rows += await RepeatAsync("delete from access_token where id in (select id from access_token where expires_at < clock_timestamp() - $1 limit $2)", options.Value.Jobs, ct);
        var result = new RetentionResult(jobs, rows, objects, kept);
        logger.Retained(result.Jobs, result.Rows, result.Objects, result.Kept);
        return result;
    }

    /// <summary>The position that every outbox has published, read once: cursors only move on. One that nobody has held for a week was switched off and keeps nothing.</summary>
    private async Task<long> PassedByCursorsAsync(CancellationToken ct)
    {
        await using var command = db.CreateCommand("select coalesce(min(position), 9223372036854775807) from event_cursor where seen_at > clock_timestamp() - interval '7 days'");
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task<List<long>> EndedRootsAsync(long after, CancellationToken ct)
    {
        // A child goes with its root; one whose root is gone already is a root to us.
        await using var command = db.CreateCommand("""
            select j.number from job j
            where j.ended_at < clock_timestamp() - $1 and j.number > $2 and not j.dirty and not j.cleanup
              and (j.parent is null or not exists (select from job p where p.number = j.parent))
            order by j.number limit 200
            """);
        command.Parameters.Add(new() { Value = options.Value.Jobs });
        command.Parameters.Add(new() { Value = after });
        return await ReadNumbersAsync(command, ct);
    }

    // Deepest first, so that a run that is cut off leaves no child without its root's row. Zero jobs when something of the tree must stay.
    private async Task<(int Jobs, long Rows, long Objects)> ForgetTreeAsync(long root, long passed, CancellationToken ct)
    {
        var tree = new List<long>();
        await using (var command = db.CreateCommand("""
            with recursive tree as (
                select number, ended_at, dirty, cleanup, family, 0 as depth from job where number = $1
                union all
                select c.number, c.ended_at, c.dirty, c.cleanup, c.family, t.depth + 1 from tree t join job c on c.parent = t.number where t.family = $2)
            select number, ended_at is not null and ended_at < clock_timestamp() - $3 and not dirty and not cleanup
                   and not exists (select from ledger l where l.job = tree.number and l.position > $4)
            from tree order by depth desc, number
            """))
        {
            command.Parameters.Add(new() { Value = root });
            // Only the farm has trees; other jobs are not searched for children.
            command.Parameters.Add(new() { Value = (short)JobFamily.Farm });
            command.Parameters.Add(new() { Value = options.Value.Jobs });
            // A message about it is still to be published, and is made from its row.
            command.Parameters.Add(new() { Value = passed });
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
            {
                if (!reader.GetBoolean(1)) return default;
                tree.Add(reader.GetInt64(0));
            }
        }
        long rows = 0, objects = 0;
        foreach (var number in tree)
        {
            if (await removal.RemoveAsync(number, ct) is not (var r, var o)) return default;
            (rows, objects) = (rows + r, objects + o);
        }
        return (tree.Count, rows, objects);
    }

    private Task<long> RepeatAsync<T>(string sql, T value, CancellationToken ct, long? more = null) => JobRemoval.RepeatAsync(db, sql, value, ct, more);

    private static async Task<List<long>> ReadNumbersAsync(NpgsqlCommand command, CancellationToken ct)
    {
        var numbers = new List<long>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) numbers.Add(reader.GetInt64(0));
        return numbers;
    }
}

internal static partial class RetentionLog
{
    [LoggerMessage(2300, LogLevel.Information, "Retention removed {Jobs} jobs, {Rows} rows, {Objects} log objects; {Kept} old jobs must stay for now")]
    public static partial void Retained(this ILogger logger, int jobs, long rows, long objects, int kept);
}
