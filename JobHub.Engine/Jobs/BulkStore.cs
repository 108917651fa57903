using System.Text.Json;
using JobHub.Engine.Upkeep;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Jobs;

/// <summary>Changes of many jobs at once: stored here, carried out by <see cref="BulkRunner"/>.</summary>
public sealed class BulkStore(NpgsqlDataSource database, JobSearch jobs, Wakeups wakeups)
{
    private const string Columns = """
        SELECT b.id, b.caller, b.action, b.priority, b.state, b.total, b.done, b.failed, b.remaining::text, b.undo_of, b.undone, b.created_at, b.ended_at,
               b.action IN (2, 3, 4) AND b.undo_of IS NULL AND b.undone IS NULL AND b.total <= $1 AND b.created_at > clock_timestamp() - interval '10 minutes'
        FROM bulk b
        """;

    /// <summary>Of more jobs than this it is not remembered what they were.</summary>
    public const int MostUndone = 100_000;

    /// <summary>Ids of one call.</summary>
    public const int MostIds = 10_000;

    /// <summary>Stores a bulk, or answers the one that the same Idempotency-Key made within 24 hours.</summary>
    public async Task<BulkResult> CreateAsync(NewBulk bulk, Submission who, long? account, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(bulk);
        var id = Guid.CreateVersion7();
        var upto = await NewestAsync(ct);
        var total = bulk.Jobs?.LongLength ?? (await jobs.CountAsync(bulk.Filter!, ct)).Total;
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (who.IdempotencyKey is not null && await JobService.ReplayAsync(connection, new(id), who, ct) is { } earlier)
        {
            await transaction.CommitAsync(ct);
            return earlier is SubmitResult.Accepted before ? new BulkResult.Accepted(before.Id.Value) : new BulkResult.KeyReused();
        }

        await using var command = new NpgsqlCommand("""
            INSERT INTO bulk (id, caller, account, action, priority, jobs, filter, upto, projects, only_unmade, total, failed, remaining)
            VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12, $13::jsonb)
            """, connection);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(who.Caller);
        Add(command, account, NpgsqlDbType.Bigint);
        command.Parameters.AddWithValue((short)bulk.Action);
        Add(command, (short?)bulk.Priority, NpgsqlDbType.Smallint);
        Add(command, bulk.Jobs, NpgsqlDbType.Array | NpgsqlDbType.Bigint);
        Add(command, bulk.Filter is null ? null : JsonSerializer.Serialize(bulk.Filter), NpgsqlDbType.Text);
        command.Parameters.AddWithValue(upto);
        Add(command, bulk.Projects, NpgsqlDbType.Array | NpgsqlDbType.Text);
        command.Parameters.AddWithValue(bulk.OnlyUnmade);
        command.Parameters.AddWithValue(total + bulk.Refused.Count);
        command.Parameters.AddWithValue((long)bulk.Refused.Count);
        command.Parameters.AddWithValue(JsonSerializer.Serialize(bulk.Refused.Take(BulkRunner.MostRemaining)));
        await command.ExecuteNonQueryAsync(ct);
        await transaction.CommitAsync(ct);
        wakeups.Changes();
        return new BulkResult.Accepted(id);
    }

    /// <summary>One, or null. Of others only for who sees all.</summary>
    /// <param name="project">Only if it is of this project and of no other.</param>
    public async Task<BulkView?> GetAsync(Guid id, string? caller, string? project, CancellationToken ct)
    {
        await using var command = database.CreateCommand(Columns + " WHERE b.id = $2 AND ($3::text IS NULL OR b.caller = $3) AND ($4::text IS NULL OR b.projects <@ ARRAY[$4])");
        command.Parameters.AddWithValue((long)MostUndone);
        command.Parameters.AddWithValue(id);
        Add(command, caller, NpgsqlDbType.Text);
        Add(command, project, NpgsqlDbType.Text);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>The newest ones, of one caller or of all.</summary>
    /// <param name="project">Only those of this project and of no other.</param>
    public async Task<IReadOnlyList<BulkView>> ListAsync(string? caller, string? project, int limit, CancellationToken ct)
    {
        var mine = (caller, project) switch
        {
            (null, _) => "",
            (_, null) => " WHERE b.caller = $3",
            _ => " WHERE b.caller = $3 AND b.projects <@ ARRAY[$4]",
        };
        await using var command = database.CreateCommand(Columns + mine + " ORDER BY b.id DESC LIMIT $2");
        command.Parameters.AddWithValue((long)MostUndone);
        command.Parameters.AddWithValue(limit);
        if (caller is not null) command.Parameters.AddWithValue(caller);
        if (caller is not null && project is not null) command.Parameters.AddWithValue(project);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new List<BulkView>();
        while (await reader.ReadAsync(ct)) found.Add(Read(reader));
        return found;
    }

    /// <summary>Stops one that is under way: what was done stays done.</summary>
    public async Task<BulkResult> StopAsync(Guid id, string? caller, string? project, CancellationToken ct)
    {
        if (await GetAsync(id, caller, project, ct) is not { } bulk) return new BulkResult.NotFound();
        await using var command = database.CreateCommand("UPDATE bulk SET state = 2, ended_at = clock_timestamp() WHERE id = $1 AND state = 0");
        command.Parameters.AddWithValue(id);
        return await command.ExecuteNonQueryAsync(ct) == 1 || bulk.State == BulkState.Stopped
            ? new BulkResult.Accepted(id) : new BulkResult.Conflict("bulk-already-finished", "It is done already; there is nothing to stop.");
    }

    /// <summary>Gives its jobs back what they had: of pause, resume and priority, for ten minutes. One that is under way is stopped first.</summary>
    /// <param name="writable">What the caller may change now; null = all.</param>
    /// <param name="account">His, whose rights the undo has.</param>
    public async Task<BulkResult> UndoAsync(Guid id, string? caller, string? project, string[]? writable, long? account, CancellationToken ct)
    {
        if (await GetAsync(id, caller, project, ct) is not { } bulk) return new BulkResult.NotFound();
        if (bulk.Undone is { } before) return new BulkResult.Accepted(before);
        if (!bulk.CanUndo)
        {
            return new BulkResult.Conflict("cannot-undo", bulk.Action is JobAction.Pause or JobAction.Resume or JobAction.Priority
                ? "It is too long ago, of too many jobs, or an undo itself: what the jobs had is not known any more." : "What was done cannot be taken back.");
        }

        if (writable is not null && !await IsWithinAsync(id, writable, ct)) return new BulkResult.Conflict("cannot-undo", "It was of projects that you may not change any more.");
        var undo = Guid.CreateVersion7();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using (var command = new NpgsqlCommand("UPDATE bulk SET undone = $2, state = CASE WHEN state = 0 THEN 2 ELSE state END, ended_at = coalesce(ended_at, clock_timestamp()) WHERE id = $1 AND undone IS NULL", connection))
        {
            command.Parameters.AddWithValue(id);
            command.Parameters.AddWithValue(undo);
            if (await command.ExecuteNonQueryAsync(ct) == 0) return await GetAsync(id, caller, project, ct) is { Undone: { } other } ? new BulkResult.Accepted(other) : new BulkResult.NotFound();
        }

        await using (var command = new NpgsqlCommand("""
            INSERT INTO bulk (id, caller, account, action, upto, projects, only_unmade, undo_of, total)
            SELECT $2, caller, $3, action, upto, projects, only_unmade, id, (SELECT count(*) FROM bulk_former WHERE bulk = b.id) FROM bulk b WHERE id = $1
            """, connection))
        {
            command.Parameters.AddWithValue(id);
            command.Parameters.AddWithValue(undo);
            Add(command, account, NpgsqlDbType.Bigint);
            await command.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        wakeups.Changes();
        return new BulkResult.Accepted(undo);
    }

    /// <summary>What a bulk would find, by state.</summary>
    public async Task<BulkPreview> PreviewAsync(NewBulk bulk, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(bulk);
        var states = new SortedDictionary<JobState, long>();
        if (bulk.Jobs is { } numbers)
        {
            await using var command = database.CreateCommand("""
                SELECT CASE WHEN state >= 4 THEN state WHEN stop = 1 THEN 3 WHEN paused THEN 2 WHEN started_at IS NOT NULL
                            OR EXISTS (SELECT FROM live WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20 AND session_id IS NOT NULL) THEN 1 ELSE state END, count(*)
                FROM job j WHERE number = ANY($1) AND deleted_at IS NULL GROUP BY 1
                """);
            command.Parameters.AddWithValue(numbers);
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) states[(JobState)reader.GetInt32(0)] = reader.GetInt64(1);
        }
        else
        {
            var counts = await jobs.CountAsync(bulk.Filter!, ct);
            return new(counts.Total, counts.ByState.Where(s => Touches(bulk.Action, s.Key)).Sum(static s => s.Value), counts.Exact, counts.ByState);
        }

        return new(states.Values.Sum(), states.Where(s => Touches(bulk.Action, s.Key)).Sum(static s => s.Value), true, states);
    }

    private static bool Touches(JobAction action, JobState state) => action switch
    {
        JobAction.Cancel or JobAction.Priority => !state.IsTerminal && (action != JobAction.Cancel || state != JobState.Canceling),
        JobAction.Pause => state is JobState.Queued or JobState.Running,
        JobAction.Resume => state == JobState.Paused,
        JobAction.Retry => state is JobState.Failed or JobState.Canceled,
        JobAction.Delete => state.IsTerminal,
        _ => true,
    };

    private async Task<bool> IsWithinAsync(Guid id, string[] writable, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT projects <@ $2 FROM bulk WHERE id = $1");
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(writable);
        return await command.ExecuteScalarAsync(ct) is true;
    }

    private async Task<long> NewestAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT coalesce((SELECT number FROM job ORDER BY number DESC LIMIT 1), 0)");
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    private static BulkView Read(NpgsqlDataReader r) => new(
        r.GetGuid(0), r.GetString(1), (JobAction)r.GetInt16(2), r.IsDBNull(3) ? null : r.GetInt16(3), (BulkState)r.GetInt16(4), r.GetInt64(5), r.GetInt64(6), r.GetInt64(7),
        JsonSerializer.Deserialize<BulkRemaining[]>(r.GetString(8)) ?? [], r.IsDBNull(9) ? null : r.GetGuid(9), r.IsDBNull(10) ? null : r.GetGuid(10), r.GetBoolean(13),
        r.GetFieldValue<DateTimeOffset>(11), r.IsDBNull(12) ? null : r.GetFieldValue<DateTimeOffset>(12));

    private static void Add(NpgsqlCommand command, object? value, NpgsqlDbType type) => command.Parameters.Add(new() { Value = value ?? DBNull.Value, NpgsqlDbType = type });
}
