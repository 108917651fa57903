using System.Collections.Concurrent;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>What form workers' runs print: rows of run_log by token, in the order they came. What is small goes into the attempt at its end; the rest stays there.</summary>
public sealed class FormLogs(NpgsqlDataSource database)
{
    /// <summary>A row holds at most this much.</summary>
    public const int PieceBytes = 1 << 20;

    /// <summary>A log up to this size is kept in its attempt.</summary>
    internal const int InlineBytes = 16 << 10;

    internal const string ForgetSql = "DELETE FROM run_log WHERE token = ANY($1)";

    // Logs that stand in their attempts. Whoever writes next takes them along; what a stopped process leaves goes with its job.
    private readonly ConcurrentQueue<Guid> _kept = new();

    /// <summary>A log's size now.</summary>
    public async Task<long> SizeAsync(Guid token, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""SELECT "offset" + length(bytes) FROM run_log WHERE token = $1 ORDER BY "offset" DESC LIMIT 1""");
        command.Parameters.AddWithValue(token);
        return await command.ExecuteScalarAsync(ct) is long size ? size : 0;
    }

    /// <summary>The bytes of a log from one place to another, read as they are asked for.</summary>
    public Stream OpenRead(Guid token, long from, long end) => new Reading(database, token, from, end);

    /// <summary>The log as an ended attempt keeps it.</summary>
    internal async Task<LogContent?> ContentAsync(Guid token, CancellationToken ct)
    {
        var size = await SizeAsync(token, ct);
        if (size == 0) return null;
        if (size > InlineBytes) return new(null, null, size, null);
        using var bytes = new MemoryStream((int)size);
        await using (var stream = OpenRead(token, 0, size)) await stream.CopyToAsync(bytes, ct);
        return new(bytes.ToArray(), null, size, null);
    }

    /// <summary>The attempt holds this log now.</summary>
    internal void Kept(Guid token) => _kept.Enqueue(token);

    /// <summary>Adds the removal of logs that their attempts hold.</summary>
    internal void Forget(NpgsqlBatch batch)
    {
        if (_kept.IsEmpty) return;
        var tokens = new List<Guid>();
        while (tokens.Count < 100 && _kept.TryDequeue(out var token)) tokens.Add(token);
        if (tokens.Count > 0) batch.BatchCommands.Add(new(ForgetSql) { Parameters = { new() { Value = tokens.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid } } });
    }

    private sealed class Reading(NpgsqlDataSource database, Guid token, long from, long end) : ReadingStream
    {
        private ReadOnlyMemory<byte> _piece;
        private readonly Queue<byte[]> _next = new();
        private long _at = from;
        private long? _row;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_piece.IsEmpty && !await FillAsync(cancellationToken)) return 0;
            var count = Math.Min(buffer.Length, _piece.Length);
            _piece[..count].CopyTo(buffer);
            _piece = _piece[count..];
            return count;
        }

        // A few rows at a time, less than two pieces together: neither a snapshot nor a connection is held while the reader reads.
        private async Task<bool> FillAsync(CancellationToken ct)
        {
            if (_at >= end) return false;
            if (_next.Count == 0)
            {
                await using var command = database.CreateCommand($"""
                    SELECT "offset", bytes FROM (
                        SELECT r."offset", r.bytes, sum(length(r.bytes)) OVER (ORDER BY r."offset") - length(r.bytes) AS before FROM (
                            SELECT "offset", bytes FROM run_log WHERE token = $1
                                AND "offset" >= coalesce($2, (SELECT max("offset") FROM run_log WHERE token = $1 AND "offset" <= $3)) ORDER BY "offset" LIMIT 256) r) p
                    WHERE before < {PieceBytes} ORDER BY "offset"
                    """);
                command.Parameters.AddWithValue(token);
                command.Parameters.Add(new() { Value = (object?)_row ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
                command.Parameters.AddWithValue(_at);
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    _row ??= reader.GetInt64(0);
                    var bytes = (byte[])reader.GetValue(1);
                    _row += bytes.Length;
                    _next.Enqueue(bytes);
                }

                // The first row may begin before the place that was asked for.
                if (_next.Count == 0) return false;
            }

            var row = _next.Dequeue();
            var start = _row!.Value - _next.Sum(b => (long)b.Length) - row.Length;
            _piece = row.AsMemory((int)Math.Clamp(_at - start, 0, row.Length));
            if (_piece.Length > end - _at) _piece = _piece[..(int)(end - _at)];
            _at += _piece.Length;
            return !_piece.IsEmpty;
        }
    }
}
