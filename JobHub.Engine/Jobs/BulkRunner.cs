using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Jobs;

/// <summary>
/// Carries out bulks: a page of jobs at a time, from the newest number to the oldest, one process a bulk. A process that dies leaves a page that is taken again: what was done to
/// it once is not done otherwise the second time. Of a page that takes too long the rest is taken again in smaller ones, after the other bulks, and a job that takes so long by itself is left.
/// </summary>
public sealed class BulkRunner(NpgsqlDataSource database, JobSearch search, JobChanges changes, IOptions<BulkOptions> options, TimeProvider clock)
{
    private const int LargestPage = 200, MostFaults = 5;

    /// <summary>Jobs that are named as left; the others are counted.</summary>
    public const int MostRemaining = 100;

    private sealed record Bulk(Guid Id, string Caller, JobAction Action, int Priority, JobFilter? Filter, JobPlace? Place, long Upto, Guid? UndoOf, bool Remembers, long? Account, bool OnlyUnmade);

    private sealed record Target(long Number, int Value, JobPlace Place);

    /// <summary>How a bulk goes on after a page that was late.</summary>
    /// <param name="Jobs">Jobs of its next page.</param>
    /// <param name="Until">The last job of the page that was late: until then pages do not become larger.</param>
    private readonly record struct Pace(int Jobs, long Until);

    private enum Turn
    {
        Ended, More, Late,
    }

    // Pages that failed one after another, of bulks that are open: each process counts for itself.
    private readonly Dictionary<Guid, int> _faults = [];

    // Of bulks that met something slow.
    private readonly Dictionary<Guid, Pace> _paces = [];

    /// <summary>
    /// Takes what is there: a page of each, then what is there is read again, so that a small one made later does not wait for a large one. One whose page was late has its next turn
    /// when the others have ended.
    /// </summary>
    public async Task StepAsync(CancellationToken ct)
    {
        var failed = new Dictionary<Guid, Exception>();
        var late = new HashSet<Guid>();
        for (var more = true; more;)
        {
            more = false;
            foreach (var id in await OpenAsync(ct))
            {
                if (failed.ContainsKey(id) || late.Contains(id)) continue;
                try
                {
                    var turn = await TakeAsync(id, ct);
                    more |= turn == Turn.More;
                    if (turn == Turn.Late) late.Add(id);
                    _faults.Remove(id);
                }
                catch (Exception fault) when (fault is not OperationCanceledException)
                {
                    // The others go on; this one is taken again with the next step.
                    failed[id] = fault;
                    await CountFaultAsync(id, fault, ct);
                }
            }

            if (more || late.Count == 0) continue;
            late.Clear();
            more = true;
        }

        foreach (var gone in _faults.Keys.Where(id => !failed.ContainsKey(id)).ToArray()) _faults.Remove(gone);
        foreach (var gone in _paces.Keys.Where(id => !failed.ContainsKey(id)).ToArray()) _paces.Remove(gone);
        if (failed.Count > 0) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failed.Values.First());

        await using var old = database.CreateCommand("DELETE FROM bulk WHERE id = (SELECT id FROM bulk WHERE created_at < clock_timestamp() - interval '7 days' AND state > 0 ORDER BY created_at LIMIT 1)");
        await old.ExecuteNonQueryAsync(ct);
    }

    private async Task<List<Guid>> OpenAsync(CancellationToken ct)
    {
        var open = new List<Guid>();
        await using var command = database.CreateCommand("SELECT id FROM bulk WHERE state = 0 ORDER BY id LIMIT 10000");
        await using var found = await command.ExecuteReaderAsync(ct);
        while (await found.ReadAsync(ct)) open.Add(found.GetGuid(0));
        return open;
    }

    /// <summary>A page that fails again and again ends its bulk, with the reason. A database that cannot be reached is no fault of the page.</summary>
    private async Task CountFaultAsync(Guid id, Exception fault, CancellationToken ct)
    {
        if (fault is NpgsqlException and not PostgresException or PostgresException { SqlState: ['5', '7', 'P', ..] or ['0', '8', ..] or ['5', '3', ..] }) return;
        _faults[id] = _faults.GetValueOrDefault(id) + 1;
        if (_faults[id] < MostFaults) return;
        await using var command = database.CreateCommand("""
            UPDATE bulk SET state = 3, ended_at = clock_timestamp(), remaining = remaining || jsonb_build_array(jsonb_build_object('Id', '', 'Reason', 'bulk-failed', 'Message', $2::text))
            WHERE id = $1 AND state = 0
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue($"Its next jobs could not be changed {MostFaults} times in a row, and it ended: {(fault is PostgresException said ? said.MessageText : fault.Message).Replace('\0', ' ')}");
        await command.ExecuteNonQueryAsync(ct);
        _faults.Remove(id);
    }

    /// <summary>
    /// The next page of a bulk. What of it was changed in time is written down; a job that was not, though it was alone, is left. Only to find its jobs may fail for being late.
    /// </summary>
    private async Task<Turn> TakeAsync(Guid id, CancellationToken ct)
    {
        var pace = _paces.GetValueOrDefault(id, new(LargestPage, long.MaxValue));
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (await LockAsync(connection, id, ct) is not { } bulk) return Turn.Ended;
        using var limit = new CancellationTokenSource(options.Value.PageLimit, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, limit.Token);
        bool IsLate(Exception fault) => !ct.IsCancellationRequested &&
            (fault is NpgsqlException { InnerException: TimeoutException } || (limit.IsCancellationRequested && fault is OperationCanceledException or NpgsqlException { InnerException: OperationCanceledException }));

        List<Target> page;
        JobPlace? place;
        bool more;
        Dictionary<long, JobRefusal?> outcomes;
        try
        {
            (page, place, more) = await NextAsync(connection, bulk, pace.Jobs, either.Token);
            outcomes = await WithoutRightAsync(connection, bulk, page, either.Token);
        }
        catch (Exception fault) when (IsLate(fault))
        {
            if (pace.Jobs == 1) throw new TimeoutException($"They were not found within {options.Value.PageLimit.TotalSeconds:0.#} s.", fault);
            _paces[id] = pace with { Jobs = Smaller(pace.Jobs) };
            return Turn.Late;
        }

        Exception? stopped = null;
        try
        {
            await ChangeAsync(bulk, page, outcomes, either.Token);
        }
        catch (Exception fault) when (!ct.IsCancellationRequested)
        {
            stopped = fault;
        }

        var late = stopped is not null && IsLate(stopped);
        var changed = page.TakeWhile(t => outcomes.ContainsKey(t.Number)).Count();
        var left = late && changed == 0 && page.Count == 1;
        if (left)
        {
            outcomes[page[0].Number] = new("job-held", $"It was not changed within {options.Value.PageLimit.TotalSeconds:0.#} s; something may hold it.");
            changed = 1;
        }

        if (stopped is not null && !late && changed == 0) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(stopped);
        var whole = changed == page.Count;
        if (whole || changed > 0)
        {
            var refused = page.Take(changed).Where(t => outcomes[t.Number] is not null).ToDictionary(static t => t.Number, t => outcomes[t.Number]!);
            await GoOnAsync(connection, id, changed, whole ? place : page[changed - 1].Place, refused, more || !whole, ct);
            await transaction.CommitAsync(ct);
        }

        if (left) _paces[id] = new(1, long.MaxValue);
        else if (late) _paces[id] = new(Smaller(page.Count - changed), page[^1].Number);
        else if (whole && !(place?.Number > pace.Until))
        {
            if (pace.Jobs * 2 < LargestPage) _paces[id] = new(pace.Jobs * 2, long.MaxValue);
            else _paces.Remove(id);
        }

        return late ? Turn.Late : more || !whole ? Turn.More : Turn.Ended;
    }

    private static int Smaller(int jobs) => Math.Max(1, jobs / 10);

    /// <param name="outcomes">Told of each job that is done with, and of the reason if it was not changed.</param>
    private async Task ChangeAsync(Bulk bulk, List<Target> page, Dictionary<long, JobRefusal?> outcomes, CancellationToken ct)
    {
        if (bulk.UndoOf is not null) await LeaveEndedAsync(page, outcomes, ct);
        var able = page.FindAll(t => !outcomes.ContainsKey(t.Number));
        if (bulk.Remembers && able.Count > 0) await RememberAsync(bulk, able, ct);
        foreach (var alike in able.GroupBy(static t => t.Value))
        {
            var action = (bulk.Action, bulk.UndoOf) switch
            {
                (JobAction.Pause or JobAction.Resume, not null) => alike.Key == 1 ? JobAction.Pause : JobAction.Resume,
                _ => bulk.Action,
            };
            var priority = bulk.UndoOf is null ? bulk.Priority : alike.Key;
            await changes.ApplyAsync(action, [.. alike.Select(static t => t.Number)], priority, bulk.Caller, Settle, ct);
        }

        // What is gone is deleted.
        void Settle(long job, JobRefusal? refusal) => outcomes[job] = bulk.Action == JobAction.Delete && refusal == JobRefusal.NotFound ? null : refusal;
    }

    /// <summary>Of a tree what has ended may still be paused, for its next run; to who takes something back it says nothing.</summary>
    private async Task LeaveEndedAsync(List<Target> page, Dictionary<long, JobRefusal?> outcomes, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT j.number FROM job j WHERE j.number = ANY($1) AND j.family + 0 = 3 AND j.deleted_at IS NULL AND (j.state >= 4 OR EXISTS (SELECT FROM task t WHERE t.id = j.number << 20 AND t.state >= 4))
            """);
        command.Parameters.AddWithValue(page.Select(static t => t.Number).ToArray());
        await using var found = await command.ExecuteReaderAsync(ct);
        while (await found.ReadAsync(ct)) outcomes.TryAdd(found.GetInt64(0), new("job-already-finished", string.Create(CultureInfo.InvariantCulture, $"Job {found.GetInt64(0)} has ended since.")));
    }

    private static async Task<Bulk?> LockAsync(NpgsqlConnection connection, Guid id, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            SELECT caller, action, coalesce(priority, 0), filter::text, place_value, place_number, upto, undo_of, action IN (2, 3, 4) AND undo_of IS NULL AND total <= $2, account, only_unmade
            FROM bulk WHERE id = $1 AND state = 0 FOR NO KEY UPDATE SKIP LOCKED
            """, connection);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue((long)BulkStore.MostUndone);
        await using var found = await command.ExecuteReaderAsync(ct);
        if (!await found.ReadAsync(ct)) return null;
        return new(id, found.GetString(0), (JobAction)found.GetInt16(1), found.GetInt32(2), found.IsDBNull(3) ? null : JsonSerializer.Deserialize<JobFilter>(found.GetString(3)),
            found.IsDBNull(4) ? null : new JobPlace(found.GetInt64(4), found.GetInt64(5)), found.GetInt64(6), found.IsDBNull(7) ? null : found.GetGuid(7), found.GetBoolean(8), found.IsDBNull(9) ? null : found.GetInt64(9), found.GetBoolean(10));
    }

    /// <summary>The next jobs, and the place of the last of them; whether the page is full is not said by the jobs, for some may have been made too late to be meant.</summary>
    private async Task<(List<Target> Jobs, JobPlace? Place, bool More)> NextAsync(NpgsqlConnection connection, Bulk bulk, int most, CancellationToken ct)
    {
        var page = new List<Target>(most);
        if (bulk.Filter is { } filter)
        {
            var (place, read) = (bulk.Place, 0);
            foreach (var job in await search.PageAsync(filter with { Order = JobOrder.Newest, After = null, Place = bulk.Place, Limit = most }, longest: null, ct))
            {
                var own = JobSearch.PlaceOf(filter, job);
                (place, read) = (own, read + 1);
                if (job.Number <= bulk.Upto) page.Add(new(job.Number, 0, own));
            }

            return (page, place, read == most);
        }

        await using var command = new NpgsqlCommand(bulk.UndoOf is null
            ? "SELECT n, 0::smallint FROM bulk b CROSS JOIN unnest(b.jobs) AS n WHERE b.id = $1 AND n < $2 ORDER BY n DESC LIMIT $3"
            : "SELECT job, value FROM bulk_former WHERE bulk = $1 AND job < $2 ORDER BY job DESC LIMIT $3", connection);
        command.Parameters.AddWithValue(bulk.UndoOf ?? bulk.Id);
        command.Parameters.AddWithValue(bulk.Place?.Number ?? long.MaxValue);
        command.Parameters.AddWithValue(most);
        await using var found = await command.ExecuteReaderAsync(ct);
        while (await found.ReadAsync(ct)) page.Add(new(found.GetInt64(0), found.GetInt16(1), new(0, found.GetInt64(0))));
        return (page, page.Count == 0 ? bulk.Place : page[^1].Place, page.Count == most);
    }

    /// <summary>
    /// Those of a page that its caller may not change any more: rights are asked for again with every page. Without an account it is the admin of the token's file, who may all,
    /// or a developer without a token, who may what is of no project that was made.
    /// </summary>
    private static async Task<Dictionary<long, JobRefusal?>> WithoutRightAsync(NpgsqlConnection connection, Bulk bulk, List<Target> page, CancellationToken ct)
    {
        var left = new Dictionary<long, JobRefusal?>();
        if ((bulk.Account is null && !bulk.OnlyUnmade) || page.Count == 0) return left;
        await using var command = new NpgsqlCommand(bulk.Account is null ? $"SELECT j.number FROM job j WHERE j.number = ANY($1) AND NOT {JobConditions.Unmade("j")}" : """
            SELECT j.number FROM job j LEFT JOIN account a ON a.number = $2 AND a.disabled_at IS NULL
            WHERE j.number = ANY($1) AND NOT coalesce(a.role = 2 OR (a.role = 1 AND (j.project = 'default' OR EXISTS (SELECT FROM project_member m WHERE m.project = j.project AND m.account = $2))), false)
            """, connection);
        command.Parameters.AddWithValue(page.Select(static t => t.Number).ToArray());
        if (bulk.Account is { } account) command.Parameters.AddWithValue(account);
        await using var found = await command.ExecuteReaderAsync(ct);
        while (await found.ReadAsync(ct)) left[found.GetInt64(0)] = JobRefusal.NoRight;
        return left;
    }

    /// <summary>What they were, once: of a page that is taken again it is known already. Kept before it changes.</summary>
    private async Task RememberAsync(Bulk bulk, List<Target> page, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            INSERT INTO bulk_former (bulk, job, value)
            SELECT $1, number, CASE WHEN $3 = 4 THEN priority WHEN paused THEN 1 ELSE 0 END FROM job WHERE number = ANY($2) AND state < 4 AND deleted_at IS NULL ON CONFLICT DO NOTHING
            """);
        command.Parameters.AddWithValue(bulk.Id);
        command.Parameters.AddWithValue(page.Select(static t => t.Number).ToArray());
        command.Parameters.AddWithValue((short)bulk.Action);
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task GoOnAsync(NpgsqlConnection connection, Guid id, int jobs, JobPlace? place, Dictionary<long, JobRefusal> left, bool more, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            UPDATE bulk SET place_value = $2, place_number = $10, done = done + $3, failed = failed + $4, state = CASE WHEN $5 THEN 0 ELSE 1 END, ended_at = CASE WHEN $5 THEN NULL ELSE clock_timestamp() END,
                -- A filter's jobs may become more or fewer on the way.
                total = CASE WHEN $5 THEN greatest(total, done + failed + $3 + $4) ELSE done + failed + $3 + $4 END,
                remaining = remaining || coalesce((
                    SELECT jsonb_agg(jsonb_build_object('Id', coalesce(j.id::text, ''), 'Reason', r.reason, 'Message', r.message))
                    FROM (SELECT * FROM unnest($6::bigint[], $7::text[], $8::text[]) AS u(job, reason, message) LIMIT greatest(0, $9 - jsonb_array_length(bulk.remaining))) r
                    LEFT JOIN job j ON j.number = r.job), '[]')
            WHERE id = $1
            """, connection);
        command.Parameters.AddWithValue(id);
        command.Parameters.Add(new() { Value = (object?)place?.Value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
        command.Parameters.AddWithValue((long)(jobs - left.Count));
        command.Parameters.AddWithValue((long)left.Count);
        command.Parameters.AddWithValue(more);
        command.Parameters.AddWithValue(left.Keys.ToArray());
        command.Parameters.AddWithValue(left.Values.Select(static r => r.Code).ToArray());
        command.Parameters.AddWithValue(left.Values.Select(static r => r.Message).ToArray());
        command.Parameters.AddWithValue(MostRemaining);
        command.Parameters.Add(new() { Value = (object?)place?.Number ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
        await command.ExecuteNonQueryAsync(ct);
    }
}
