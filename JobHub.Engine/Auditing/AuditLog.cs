using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Auditing;

/// <summary>A row of the audit.</summary>
public sealed record AuditRow(long Id, DateTimeOffset At, AuditEntry Entry);

/// <summary>Which rows are wanted; null is any.</summary>
public sealed record AuditFilter(string? Caller = null, string? Kind = null, string? Object = null, string? Project = null, string? Action = null);

/// <summary>
/// Writes and reads the audit. What concurrent requests have to say goes into one statement: while one is on its way the next gather, so that a lone one waits for nobody and many
/// cost little more than one.
/// </summary>
public sealed class AuditLog(NpgsqlDataSource database, EngineMeter meter, ILogger<AuditLog> logger)
{
    private const int MostRows = 256, Writers = 2, LongestText = 300, MostScanned = 10_000;

    private readonly Lock gate = new();
    private readonly Queue<(AuditEntry Entry, TaskCompletionSource<bool> Written)> waiting = new();
    private int writers;

    /// <summary>Appends a row; done when it is durable. False: it could not be written, which is logged and counted, and what it tells of has happened all the same.</summary>
    public Task<bool> AppendAsync(AuditEntry entry)
    {
        var mine = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            waiting.Enqueue((entry, mine));
            if (writers == Writers) return mine.Task;
            writers++;
        }

        _ = WriteGatheredAsync();
        return mine.Task;
    }

    /// <summary>Rows, newest first, and the id after which the next page goes on; null: there are no more. A page may be short, even empty, and yet not be the last: few rows may fit of many.</summary>
    public async Task<(IReadOnlyList<AuditRow> Rows, long? Next)> ReadAsync(AuditFilter filter, long? after, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        // One condition leads, by its index; the others look at a bounded number of rows that it finds.
        var (lead, value) = filter switch
        {
            { Object: { } o } => ("object = $3 AND", o),
            { Caller: { } c } => ("caller = $3 AND", c),
            { Project: { } p } => ("project = $3 AND", p),
            { Kind: { } k } => ("kind = $3 AND", k),
            _ => ("", null),
        };
        await using var command = database.CreateCommand(
            $"SELECT id, at, caller, account, token, action, kind, object, project, address, details FROM audit WHERE {lead} id < $1 ORDER BY id DESC LIMIT $2");
        command.Parameters.AddWithValue(after ?? long.MaxValue);
        command.Parameters.AddWithValue(filter is { Action: null } && new[] { filter.Caller, filter.Kind, filter.Object, filter.Project }.Count(v => v is not null) <= 1 ? limit + 1 : MostScanned);
        if (value is not null) command.Parameters.AddWithValue(value);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var rows = new List<AuditRow>();
        var (scanned, last) = (0, 0L);
        while (await reader.ReadAsync(ct))
        {
            if (rows.Count == limit) return (rows, last);
            (scanned, last) = (scanned + 1, reader.GetInt64(0));
            var entry = Read(reader);
            if (Fits(filter, entry)) rows.Add(new(last, reader.GetFieldValue<DateTimeOffset>(1), entry));
        }

        return (rows, scanned == MostScanned ? last : null);
    }

    private async Task WriteGatheredAsync()
    {
        while (true)
        {
            var batch = new List<(AuditEntry Entry, TaskCompletionSource<bool> Written)>();
            lock (gate)
            {
                while (batch.Count < MostRows && waiting.TryDequeue(out var one)) batch.Add(one);
                if (batch.Count == 0)
                {
                    writers--;
                    return;
                }
            }

            var written = false;
            try
            {
                await InsertAsync(batch.ConvertAll(static one => one.Entry));
                written = true;
            }
            catch (Exception fault)
            {
                EngineLog.AuditLost(logger, batch.Count, fault.Message);
                meter.AuditLost(batch.Count);
            }

            foreach (var one in batch) one.Written.TrySetResult(written);
        }
    }

    private async Task InsertAsync(List<AuditEntry> entries)
    {
        await using var command = database.CreateCommand("""
            INSERT INTO audit (caller, account, token, action, kind, object, project, address, details)
            SELECT caller, account, token, action, kind, object, project, address, details::jsonb
            FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
                WITH ORDINALITY AS u(caller, account, token, action, kind, object, project, address, details, n) ORDER BY n
            """);
        void Add<T>(NpgsqlDbType type, Func<AuditEntry, T> value) =>
            command.Parameters.Add(new() { Value = entries.Select(value).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type });
        Add(NpgsqlDbType.Text, static e => Plain(e.Caller)!);
        Add(NpgsqlDbType.Bigint, static e => e.Account);
        Add(NpgsqlDbType.Uuid, static e => e.Token);
        Add(NpgsqlDbType.Text, static e => Plain(e.Action)!);
        Add(NpgsqlDbType.Text, static e => Plain(e.Kind)!);
        Add(NpgsqlDbType.Text, static e => Plain(e.Object)!);
        Add(NpgsqlDbType.Text, static e => Plain(e.Project));
        Add(NpgsqlDbType.Text, static e => Plain(e.Address));
        Add(NpgsqlDbType.Text, static e => JsonSerializer.Serialize(
            (e.Details ?? new Dictionary<string, string>()).ToDictionary(static d => d.Key, static d => Plain(d.Value)!), EngineJson.Default.DictionaryStringString));
        await command.ExecuteNonQueryAsync();
    }

    private static bool Fits(AuditFilter filter, AuditEntry entry) =>
        (filter.Caller is null || filter.Caller == entry.Caller) && (filter.Kind is null || filter.Kind == entry.Kind) && (filter.Object is null || filter.Object == entry.Object)
        && (filter.Project is null || filter.Project == entry.Project) && (filter.Action is null || filter.Action == entry.Action);

    // One row that the database cannot store would lose those of others with it.
    private static string? Plain(string? text)
    {
        if (text is null) return null;
        var plain = new StringBuilder(Math.Min(text.Length, LongestText));
        foreach (var rune in text.EnumerateRunes())
        {
            if (plain.Length + rune.Utf16SequenceLength > LongestText) break;
            plain.Append(Rune.IsControl(rune) ? "\uFFFD" : rune.ToString());
        }

        return plain.ToString();
    }

    private static AuditEntry Read(NpgsqlDataReader r) => new(
        r.GetString(2), r.IsDBNull(3) ? null : r.GetInt64(3), r.IsDBNull(4) ? null : r.GetGuid(4), r.GetString(5), r.GetString(6), r.GetString(7), Text(r, 8), Text(r, 9),
        JsonSerializer.Deserialize(r.GetString(10), EngineJson.Default.DictionaryStringString));

    private static string? Text(NpgsqlDataReader r, int i) => r.IsDBNull(i) ? null : r.GetString(i);
}
