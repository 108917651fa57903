using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>
/// The log of a tree's leaf as its callers read it: what each run since the last reset printed, one after another, between lines that begin with <c>* </c>. It is put together
/// when it is read; runs keep their own logs.
/// </summary>
public sealed class TreeLog(NpgsqlDataSource database, LogReader logs)
{
    /// <summary>Runs that are shown; of a job that has had more, the latest.</summary>
    public const int MostRuns = 1000;

    private const string Sql = """
        SELECT j.id, coalesce(j.details->>'command', ''), j.shown_from, a.number, s.worker, a.started_at, a.ended_at, a.outcome, a.exit_code, a.signal, a.error->>'message',
               greatest(a.log_size, coalesce(g.size, 0)), CASE WHEN a.closed IS NULL THEN g.closed ELSE a.closed END
        FROM job j
        LEFT JOIN LATERAL (
            SELECT number, token, session_id, outcome, started_at, ended_at, exit_code, signal, error, log_size,
                   CASE WHEN length(log_inline) > 0 THEN get_byte(log_inline, length(log_inline) - 1) = 10 END AS closed
            FROM attempt WHERE task_id = $1 << 20 AND number > j.shown_from AND run IS NOT NULL
            UNION ALL
            SELECT attempt, token, session_id, NULL, leased_at, NULL, NULL, NULL, NULL,
                   coalesce((SELECT max("offset" + length(bytes)) FROM live_log o WHERE o.task_id = l.task_id AND o.token = l.token), 0), NULL
            FROM live l WHERE task_id = $1 << 20 AND session_id IS NOT NULL AND attempt > j.shown_from
                AND NOT EXISTS (SELECT FROM attempt t WHERE t.task_id = l.task_id AND t.number = l.attempt)
            ORDER BY 1 DESC LIMIT $2) a ON true
        LEFT JOIN LATERAL (
            SELECT "offset" + length(bytes) AS size, length(bytes) > 0 AND get_byte(bytes, length(bytes) - 1) = 10 AS closed
            FROM run_log r WHERE r.token = a.token ORDER BY "offset" DESC LIMIT 1) g ON true
        LEFT JOIN worker_session s ON s.id = a.session_id
        WHERE j.number = $1 AND j.family + 0 = 3 ORDER BY a.number
        """;

    /// <summary>The log as it stands now; empty when nothing has run, of a group, and of a job that is not there.</summary>
    public async Task<TreeLogText> OpenAsync(long number, CancellationToken ct)
    {
        var runs = new List<TreeRun>();
        var (id, command, before) = (default(JobId), "", 0);
        await using (var query = database.CreateCommand(Sql))
        {
            query.Parameters.AddWithValue(number);
            query.Parameters.AddWithValue(MostRuns);
            await using var reader = await query.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
            {
                (id, command) = (new(reader.GetGuid(0)), reader.GetString(1));
                if (reader.IsDBNull(3)) continue;
                var attempt = reader.GetInt32(3);
                if (runs.Count == 0) before = attempt - reader.GetInt32(2) - 1;
                runs.Add(new TreeRun
                {
                    Attempt = attempt, Number = attempt - reader.GetInt32(2), Worker = reader.IsDBNull(4) ? "" : reader.GetString(4),
                    StartedAt = reader.GetFieldValue<DateTimeOffset>(5), EndedAt = reader.IsDBNull(6) ? null : reader.GetFieldValue<DateTimeOffset>(6),
                    Outcome = reader.IsDBNull(7) ? null : (AttemptOutcome)reader.GetInt16(7), ExitCode = reader.IsDBNull(8) ? null : reader.GetInt32(8),
                    Signal = reader.IsDBNull(9) ? null : reader.GetInt32(9), Error = reader.IsDBNull(10) ? null : reader.GetString(10),
                    Printed = reader.GetInt64(11), Closed = reader.IsDBNull(12) ? null : reader.GetBoolean(12),
                });
            }
        }

        // A line of ours begins a line, whatever the program printed last. Of a long log that lies in the store one byte says it.
        for (var i = 0; i < runs.Count; i++)
        {
            if (runs[i] is { Outcome: not null, Printed: > 0, Closed: null }) runs[i] = runs[i] with { Closed = await EndsLineAsync(id, runs[i], ct) };
        }

        return new TreeLogText(logs, id, number, command, before, runs);
    }

    private async Task<bool> EndsLineAsync(JobId id, TreeRun run, CancellationToken ct)
    {
        if (await logs.OpenAsync(id, TaskKind.Command, 0, run.Attempt, run.Printed - 1, ct) is not { } slice) return false;
        if (slice.Rest is null) return slice.Content.Span is [.., (byte)'\n'];
        await using var rest = slice.Rest;
        var last = new byte[1];
        return await rest.ReadAsync(last, ct) == 1 && last[0] == '\n';
    }
}

/// <summary>One run of a leaf.</summary>
internal sealed record TreeRun
{
    public required int Attempt { get; init; }
    /// <summary>From 1 since the last reset.</summary>
    public required int Number { get; init; }
    public required string Worker { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    /// <summary>Null while it runs.</summary>
    public AttemptOutcome? Outcome { get; init; }
    public int? ExitCode { get; init; }
    public int? Signal { get; init; }
    public string? Error { get; init; }
    /// <summary>Bytes printed, those that were not kept too.</summary>
    public required long Printed { get; init; }
    /// <summary>What was printed ends a line.</summary>
    public bool? Closed { get; init; }

    /// <summary>What stands before its output.</summary>
    public string Head(long job, string command) => string.Create(CultureInfo.InvariantCulture,
        $"* START run {Number} of job {job}\n* WORKER : {Worker}\n* DATE : {TimeText(StartedAt)}\n* COMMAND : {command}\n");

    /// <summary>What stands behind it; nothing while it runs.</summary>
    public string Foot()
    {
        if (Outcome is not { } outcome) return "";
        var text = new StringBuilder(Printed == 0 || Closed == true ? "" : "\n");
        if (NoteOf(outcome) is { } note) text.Append(CultureInfo.InvariantCulture, $"* {note} : {OneLine(Error) ?? "no reason was given"}\n");
        if (Signal is { } signal) text.Append(CultureInfo.InvariantCulture, $"* SIGNAL : {signal}\n");
        // As a shell says it.
        if ((Signal is null ? ExitCode : 128 + Signal) is { } code) text.Append(CultureInfo.InvariantCulture, $"* EXIT : {code}\n");
        return text.Append(CultureInfo.InvariantCulture, $"* END run {Number}, {TimeText(EndedAt ?? StartedAt)}\n").ToString();
    }

    // An exit code or a signal speaks for itself.
    private string? NoteOf(AttemptOutcome outcome) => outcome switch
    {
        AttemptOutcome.Succeeded => null,
        AttemptOutcome.Failed => ExitCode is not (null or 0) || Signal is not null ? null : "ERROR",
        AttemptOutcome.TimedOut => "TIMEOUT",
        AttemptOutcome.OutOfMemory => "OUT OF MEMORY",
        AttemptOutcome.Lost => "LOST",
        AttemptOutcome.Interrupted => "STOPPED",
        AttemptOutcome.Canceled => "CANCELED",
        _ => "ERROR",
    };

    private static string? OneLine(string? text) => text?.ReplaceLineEndings(" ");

    private static string TimeText(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture);
}

/// <summary>A composed log. Places in it count every byte that was printed, so that they hold while a run prints and after it; where bytes were not kept a line says so instead.</summary>
public sealed class TreeLogText
{
    private readonly LogReader logs;
    private readonly JobId id;
    private readonly long job;
    private readonly string command, preface;
    private readonly IReadOnlyList<TreeRun> runs;

    internal TreeLogText(LogReader logs, JobId id, long job, string command, int before, IReadOnlyList<TreeRun> runs)
    {
        (this.logs, this.id, this.job, this.command, this.runs) = (logs, id, job, command, runs);
        preface = before == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"* {before} earlier runs are not shown\n");
        Size = Bytes(preface) + runs.Sum(run => Bytes(run.Head(job, command)) + run.Printed + Bytes(run.Foot()));
    }

    /// <summary>Bytes of the whole.</summary>
    public long Size { get; }

    /// <summary>The log from a place on. A piece is valid until the next is asked for; what lies before the place is not read.</summary>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(long offset, [EnumeratorCancellation] CancellationToken ct = default)
    {
        var skip = Math.Max(0, offset);
        if (Cut(preface, ref skip) is { Length: > 0 } first) yield return first;
        var buffer = new byte[64 << 10];
        foreach (var run in runs)
        {
            if (Cut(run.Head(job, command), ref skip) is { Length: > 0 } head) yield return head;
            if (skip < run.Printed)
            {
                await foreach (var piece in OutputAsync(run, skip, buffer, ct)) yield return piece;
            }

            skip = Math.Max(0, skip - run.Printed);
            if (Cut(run.Foot(), ref skip) is { Length: > 0 } foot) yield return foot;
        }
    }

    private async IAsyncEnumerable<ReadOnlyMemory<byte>> OutputAsync(TreeRun run, long from, byte[] buffer, [EnumeratorCancellation] CancellationToken ct)
    {
        var at = from;
        while (at < run.Printed)
        {
            // Of a run that prints this is some of it; of one that has ended all.
            if (await logs.OpenAsync(id, TaskKind.Command, 0, run.Attempt, at, ct) is not { } slice) yield break;
            var before = at;
            await using var content = slice.Rest ?? new MemoryStream(slice.Content.ToArray(), writable: false);
            var end = Math.Min(run.Printed, slice.Size);
            foreach (var (start, length) in slice.Gaps.OrderBy(static gap => gap.Offset).Select(static gap => (gap.Offset, gap.Length)).Append((end, 0L)))
            {
                for (int count; at < Math.Min(start, end) && (count = await content.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, Math.Min(start, end) - at)), ct)) > 0; at += count)
                    yield return buffer.AsMemory(0, count);
                if (at >= end || start + length <= at) continue;
                yield return Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"\n* {Math.Min(start + length, end) - at} bytes were not kept\n"));
                at = Math.Min(start + length, end);
            }

            if (at == before) yield break;
        }
    }

    private static byte[] Cut(string text, ref long skip)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var from = Math.Min(skip, bytes.Length);
        skip -= from;
        return bytes[(int)from..];
    }

    private static long Bytes(string text) => Encoding.UTF8.GetByteCount(text);
}
