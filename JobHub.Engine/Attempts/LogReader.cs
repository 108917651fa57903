using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Attempts;

/// <summary>What an attempt has printed so far, from the offset asked for.</summary>
/// <param name="Content">The kept bytes from the offset on, gaps left out.</param>
/// <param name="Size">Every byte printed, kept or not.</param>
/// <param name="Ended">The attempt has ended: no more will come.</param>
public sealed record LogSlice(ReadOnlyMemory<byte> Content, Stream? Rest, long Offset, long Size, LogGap[] Gaps, bool Ended, int Attempt);

/// <summary>Reads logs: the live tail while an attempt runs, then the final log, inline or in the store. Offsets are original byte offsets.</summary>
public sealed class LogReader(NpgsqlDataSource database, JobReader jobs, JobObjects objects, FormLogs forms)
{
    /// <summary>The log of an attempt (the latest when null), from an offset. Null when there is no such task or attempt.</summary>
    public async Task<LogSlice?> OpenAsync(JobId id, TaskKind kind, int index, int? attempt, long offset, CancellationToken ct)
    {
        if (await jobs.FindAsync(id, ct) is not { } job || job.Layout.IdOf(kind, index) is not { } taskId) return null;
        await using var command = database.CreateCommand("""
            SELECT number, true AS ended, log_inline, log_key, log_size, log_gaps::text, token FROM attempt WHERE task_id = $1 AND ($2::int IS NULL OR number = $2)
            UNION ALL
            SELECT attempt, false, NULL, NULL, 0, NULL, token FROM live l WHERE task_id = $1 AND session_id IS NOT NULL AND ($2::int IS NULL OR attempt = $2)
                AND NOT EXISTS (SELECT FROM attempt a WHERE a.task_id = $1 AND a.number = l.attempt)
            ORDER BY 1 DESC LIMIT 1
            """);
        command.Parameters.AddWithValue(taskId);
        command.Parameters.Add(new() { Value = (object?)attempt ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer });
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        var number = reader.GetInt32(0);
        var token = reader.GetGuid(6);
        if (!reader.GetBoolean(1))
        {
            await reader.CloseAsync();
            return await LiveAsync(taskId, token, number, offset, ct);
        }

        var size = reader.GetInt64(4);
        var gaps = reader.IsDBNull(5) ? [] : System.Text.Json.JsonSerializer.Deserialize(reader.GetString(5), EngineJson.Default.LogGapArray) ?? [];
        if (reader.IsDBNull(3) && reader.IsDBNull(2))
        {
            // Of a form worker: a long one, or of an attempt that never reported.
            await reader.CloseAsync();
            return await FormAsync(token, number, offset, ended: true, ct) ?? new(default, null, offset, size, gaps, true, number);
        }

        if (reader.IsDBNull(3))
        {
            var inline = (byte[])reader.GetValue(2);
            return new(inline.AsMemory((int)Math.Min(offset, inline.Length)), null, offset, size, gaps, true, number);
        }

        var path = objects.Hidden(reader.GetString(3));
        // The object holds the kept bytes back to back; a gap before the offset shifts the place in it.
        var skipped = gaps.Where(g => g.Offset < offset).Sum(g => Math.Min(g.Length, offset - g.Offset));
        var kept = size - gaps.Sum(g => g.Length);
        var at = offset - skipped;
        if (at >= kept) return new(default, null, offset, size, gaps, true, number);
        return new(default, await objects.Hub.OpenReadAsync(path, at, null, ct), offset, size, gaps, true, number);
    }

    /// <summary>How much an attempt (the latest when null) has printed; null when there is no such task or attempt.</summary>
    public async Task<(int Attempt, long Size)?> SizeAsync(JobId id, TaskKind kind, int index, int? attempt, CancellationToken ct)
    {
        if (await jobs.FindAsync(id, ct) is not { } job || job.Layout.IdOf(kind, index) is not { } taskId) return null;
        await using var command = database.CreateCommand("""
            SELECT number, log_size, token FROM attempt WHERE task_id = $1 AND ($2::int IS NULL OR number = $2)
            UNION ALL
            SELECT attempt, coalesce((SELECT "offset" + length(bytes) FROM live_log g WHERE g.task_id = l.task_id AND g.token = l.token ORDER BY "offset" DESC LIMIT 1), 0), token
            FROM live l WHERE task_id = $1 AND session_id IS NOT NULL AND ($2::int IS NULL OR attempt = $2) AND NOT EXISTS (SELECT FROM attempt a WHERE a.task_id = $1 AND a.number = l.attempt)
            ORDER BY 1 DESC LIMIT 1
            """);
        command.Parameters.AddWithValue(taskId);
        command.Parameters.Add(new() { Value = (object?)attempt ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer });
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        var (number, size, token) = (reader.GetInt32(0), reader.GetInt64(1), reader.GetGuid(2));
        await reader.CloseAsync();
        return (number, size > 0 ? size : await forms.SizeAsync(token, ct));
    }

    private async Task<LogSlice> LiveAsync(long taskId, Guid token, int number, long offset, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT "offset", bytes FROM live_log WHERE task_id = $1 AND token = $2 AND "offset" + length(bytes) > $3 ORDER BY "offset" LIMIT 64
            """);
        command.Parameters.AddWithValue(taskId);
        command.Parameters.AddWithValue(token);
        command.Parameters.AddWithValue(offset);
        await using var reader = await command.ExecuteReaderAsync(ct);
        using var content = new MemoryStream();
        var gaps = new List<LogGap>();
        var end = offset;
        while (await reader.ReadAsync(ct))
        {
            var (start, bytes) = (reader.GetInt64(0), (byte[])reader.GetValue(1));
            if (start > end) gaps.Add(new(end, start - end));
            var from = (int)Math.Max(0, end - start);
            if (from < bytes.Length) content.Write(bytes, from, bytes.Length - from);
            end = Math.Max(end, start + bytes.Length);
        }

        if (content.Length == 0)
        {
            await reader.CloseAsync();
            if (await FormAsync(token, number, offset, ended: false, ct) is { } form) return form;
        }

        return new(content.ToArray(), null, offset, end, [.. gaps], false, number);
    }

    private async Task<LogSlice?> FormAsync(Guid token, int number, long offset, bool ended, CancellationToken ct)
    {
        var size = await forms.SizeAsync(token, ct);
        if (size == 0) return null;
        return new(default, offset < size ? forms.OpenRead(token, offset, size) : null, offset, size, [], ended, number);
    }
}
