using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Attempts;

/// <summary>Something that was printed, or is known of what was. The bytes stand until the next part is asked for.</summary>
/// <param name="Gap">So many bytes from the offset on were not kept; there are no bytes then.</param>
/// <param name="Ended">The attempt has ended: no more comes of it.</param>
/// <param name="Missed">So many attempts ended faster than they were read; there is no attempt then.</param>
public sealed record FollowedPart(TaskKind Kind, int Index, int Number, long Offset, ReadOnlyMemory<byte> Bytes, long Gap = 0, bool Ended = false, int Missed = 0);

/// <summary>
/// What the attempts of a job print from now on, in the order in which it reaches the hub: of those that run what they add, of those that end the rest, and of those that were over before they
/// were seen all of it. A round is some statements, each over what runs or a bounded number of rows; what is kept in mind is bounded too.
/// </summary>
public sealed class JobLogFollow(NpgsqlDataSource database, JobReader jobs, JobLogs all, LogReader logs, TimeProvider clock)
{
    private const int MostRunning = 5000, MostPieces = 64, MostEvents = 500, MostWaiting = 2000, EndedAtOnce = 100, Remembered = 10_000;

    private static readonly TimeSpan PollEvery = TimeSpan.FromMilliseconds(300);

    /// <summary>The parts; null when there is nothing more for now. Ends with the job.</summary>
    public async IAsyncEnumerable<FollowedPart?> ReadAsync(JobId id, [EnumeratorCancellation] CancellationToken ct)
    {
        var position = await PositionAsync(ct);
        if (await all.LayoutAsync(id, ct) is not { } layout || await jobs.GetAsync(id, ct) is not { State.IsTerminal: false }) yield break;
        var followed = new Dictionary<(long Task, int Number), (Guid Token, long Offset)>();
        foreach (var (attempt, token) in await RunningAsync(layout, ct)) followed[attempt] = (token, 0);
        foreach (var (attempt, size) in await SizesAsync(followed, ct)) followed[attempt] = followed[attempt] with { Offset = size };
        yield return null;
        var (over, order, waiting) = (new HashSet<(long, int)>(), new Queue<(long, int)>(), new Queue<(long Task, int Number)>());
        for (var ends = false; ;)
        {
            var events = await EventsAsync(layout, position, ct);
            var running = await RunningAsync(layout, ct);
            foreach (var (attempt, token) in running) followed.TryAdd(attempt, (token, 0));
            var pieces = await PiecesAsync(followed, ct);
            foreach (var (attempt, offset, bytes) in pieces)
            {
                var (token, before) = followed[attempt];
                if (offset > before) yield return Part(attempt, before, default) with { Gap = offset - before };
                yield return Part(attempt, offset, bytes);
                followed[attempt] = (token, offset + bytes.Length);
            }

            if (pieces.Count == MostPieces)
            {
                yield return null;
                continue;
            }

            foreach (var attempt in followed.Keys.Where(a => !running.ContainsKey(a)).ToArray())
            {
                await foreach (var part in RestAsync(attempt, followed[attempt].Offset)) yield return part;
                followed.Remove(attempt);
                Remember(attempt);
            }

            foreach (var (at, kind, attempts) in events)
            {
                position = at;
                ends |= kind == "job-ended";
                foreach (var attempt in attempts.Where(a => !over.Contains(a) && !followed.ContainsKey(a))) waiting.Enqueue(attempt);
            }

            var missed = 0;
            for (; waiting.Count > MostWaiting; missed++) Remember(waiting.Dequeue());
            if (missed > 0) yield return new(default, 0, 0, 0, default, Missed: missed);
            for (var i = 0; i < EndedAtOnce && waiting.TryDequeue(out var attempt); i++)
            {
                if (over.Contains(attempt)) continue;
                await foreach (var part in RestAsync(attempt, 0)) yield return part;
                Remember(attempt);
            }

            yield return null;
            if (events.Count == MostEvents || waiting.Count > 0) continue;
            if (ends && followed.Count == 0) yield break;
            await Task.Delay(PollEvery, clock, ct);
        }

        FollowedPart Part((long Task, int Number) attempt, long offset, ReadOnlyMemory<byte> bytes)
        {
            var (kind, index) = layout.Of(attempt.Task);
            return new(kind, index, attempt.Number, offset, bytes);
        }

        async IAsyncEnumerable<FollowedPart> RestAsync((long Task, int Number) attempt, long offset)
        {
            var (kind, index) = layout.Of(attempt.Task);
            if (await logs.OpenAsync(id, kind, index, attempt.Number, offset, ct) is { } slice)
            {
                await foreach (var part in logs.ReadAsync(id, kind, index, slice, ct))
                {
                    if (part.Offset > offset) yield return Part(attempt, offset, default) with { Gap = part.Offset - offset };
                    yield return Part(attempt, part.Offset, part.Bytes);
                    offset = part.End;
                }
            }

            yield return Part(attempt, offset, default) with { Ended = true };
        }

        void Remember((long, int) attempt)
        {
            if (!over.Add(attempt)) return;
            order.Enqueue(attempt);
            if (order.Count > Remembered) over.Remove(order.Dequeue());
        }
    }

    private async Task<long> PositionAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT position FROM relay");
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task<Dictionary<(long Task, int Number), Guid>> RunningAsync(TaskLayout layout, CancellationToken ct)
    {
        // By what runs on all workers, which is little, and not by what waits of this job.
        await using var command = database.CreateCommand("""
            WITH running AS MATERIALIZED (SELECT task_id, attempt, token FROM live WHERE session_id IS NOT NULL)
            SELECT task_id, attempt, token FROM running WHERE task_id >= $1 AND task_id < $2 AND token IS NOT NULL ORDER BY task_id, attempt LIMIT $3
            """);
        command.Parameters.AddWithValue(layout.First);
        command.Parameters.AddWithValue(layout.First + layout.Total);
        command.Parameters.AddWithValue(MostRunning);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var running = new Dictionary<(long, int), Guid>();
        while (await reader.ReadAsync(ct)) running[(reader.GetInt64(0), reader.GetInt32(1))] = reader.GetGuid(2);
        return running;
    }

    private async Task<List<((long, int) Attempt, long Size)>> SizesAsync(Dictionary<(long Task, int Number), (Guid Token, long Offset)> followed, CancellationToken ct)
    {
        await using var command = Of(followed, """
            SELECT f.task_id, f.number, greatest(
                coalesce((SELECT "offset" + length(bytes) FROM live_log l WHERE l.task_id = f.task_id AND l.token = f.token ORDER BY "offset" DESC LIMIT 1), 0),
                coalesce((SELECT "offset" + length(bytes) FROM run_log r WHERE r.token = f.token ORDER BY "offset" DESC LIMIT 1), 0))
            FROM unnest($1::bigint[], $2::int[], $3::uuid[], $4::bigint[]) AS f(task_id, number, token, seen)
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var sizes = new List<((long, int), long)>();
        while (await reader.ReadAsync(ct)) sizes.Add(((reader.GetInt64(0), reader.GetInt32(1)), reader.GetInt64(2)));
        return sizes;
    }

    /// <summary>What was printed behind what is known, as it came.</summary>
    private async Task<List<((long, int) Attempt, long Offset, byte[] Bytes)>> PiecesAsync(Dictionary<(long Task, int Number), (Guid Token, long Offset)> followed, CancellationToken ct)
    {
        var pieces = new List<((long, int), long, byte[])>();
        if (followed.Count == 0) return pieces;
        await using var command = Of(followed, $"""
            SELECT f.task_id, f.number, c."offset", c.bytes FROM unnest($1::bigint[], $2::int[], $3::uuid[], $4::bigint[]) AS f(task_id, number, token, seen)
            CROSS JOIN LATERAL (
                (SELECT l."offset", l.bytes, l.at FROM live_log l WHERE l.task_id = f.task_id AND l.token = f.token AND l."offset" >= f.seen ORDER BY l."offset" LIMIT 4)
                UNION ALL
                (SELECT r."offset", r.bytes, NULL FROM run_log r WHERE r.token = f.token AND r."offset" >= f.seen ORDER BY r."offset" LIMIT 4)) c
            ORDER BY c.at, f.task_id, f.number, c."offset" LIMIT {MostPieces}
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) pieces.Add(((reader.GetInt64(0), reader.GetInt32(1)), reader.GetInt64(2), (byte[])reader.GetValue(3)));
        return pieces;
    }

    private NpgsqlCommand Of(Dictionary<(long Task, int Number), (Guid Token, long Offset)> followed, string sql)
    {
        var command = database.CreateCommand(sql);
        command.Parameters.Add(new() { Value = followed.Keys.Select(static k => k.Task).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        command.Parameters.Add(new() { Value = followed.Keys.Select(static k => k.Number).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer });
        command.Parameters.Add(new() { Value = followed.Values.Select(static v => v.Token).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid });
        command.Parameters.Add(new() { Value = followed.Values.Select(static v => v.Offset).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        return command;
    }

    /// <summary>What has happened in the job: attempts that ended, and its own end.</summary>
    private async Task<List<(long Position, string Kind, (long, int)[] Attempts)>> EventsAsync(TaskLayout layout, long after, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT position, kind, payload::text FROM ledger WHERE job = $1 AND position > $2 ORDER BY position LIMIT $3");
        command.Parameters.AddWithValue(layout.Number);
        command.Parameters.AddWithValue(after);
        command.Parameters.AddWithValue(MostEvents);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var events = new List<(long, string, (long, int)[])>();
        while (await reader.ReadAsync(ct)) events.Add((reader.GetInt64(0), reader.GetString(1), EndedOf(layout, reader.GetString(1), reader.IsDBNull(2) ? "{}" : reader.GetString(2))));
        return events;
    }

    private static (long, int)[] EndedOf(TaskLayout layout, string kind, string payload)
    {
        if (kind is not ("tasks-ended" or "attempt-ended")) return [];
        using var json = JsonDocument.Parse(payload);
        if (kind == "attempt-ended") return [(layout.First + json.RootElement.GetProperty("task").GetInt32(), json.RootElement.GetProperty("attempt").GetInt32())];
        // A task that ended without an attempt has none in its pair.
        return [.. json.RootElement.GetProperty("tasks").EnumerateArray().Where(static t => t.GetArrayLength() == 2 && t[1].ValueKind is JsonValueKind.Number)
            .Select(t => (layout.First + t[0].GetInt32(), t[1].GetInt32())).Where(static a => a.Item2 > 0)];
    }
}
