using System.Text.Json;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Events;

/// <summary>A change of a job, ready to be told.</summary>
/// <param name="Position">Of its event: unique, and growing in the order of what happened.</param>
/// <param name="Event">job-queued, job-running or job-ended.</param>
/// <param name="Job">The job's number.</param>
/// <param name="JobId">As the message names the job.</param>
public sealed record OutboxMessage(long Position, string Event, long Job, string JobId, string Project, byte[] Body)
{
    public const string Queued = "job-queued", Running = "job-running", Ended = "job-ended";

    public bool IsFinal => Event == Ended;
}

/// <summary>A stretch of the ledger.</summary>
/// <param name="Upto">All events up to this position are covered, whether they are told or not.</param>
/// <param name="Newest">The ledger's last position.</param>
public sealed record OutboxPage(List<OutboxMessage> Messages, long Upto, long Newest);

/// <summary>The outbox is the ledger: what is to be told about jobs, by position, each position once and none left out.</summary>
public static class Outbox
{
    // One statement walks over at most this many events, told or not.
    private const int Stride = 20_000;
    private static readonly string[] Final = ["job-ended"];
    private static readonly string[] All = ["job-ended", "job-submitted", "tasks-started"];

    private const string PageSql = """
        WITH edge AS MATERIALIZED (SELECT least($1 + $2, position) AS upto, position AS newest FROM relay)
        SELECT edge.upto, edge.newest, e.position, e.kind, e.payload->>'state', j.id, j.name, j.number, j.family, j.project, left(j.details->>'command', 65536),
               j.started_at, j.ended_at, j.error::text, j.maps, j.reduces, j.commands, j.analyses
        FROM edge
        LEFT JOIN LATERAL (
            SELECT l.position, l.kind, l.payload, l.job FROM ledger l WHERE l.position > $1 AND l.position <= edge.upto AND l.kind = ANY($3) ORDER BY l.position LIMIT $4) e ON true
        LEFT JOIN job j ON j.number = e.job
        ORDER BY e.position
        """;

    // The attempt that decided: the winner's, else the last.
    private const string AttemptSql = """
        SELECT i.id, a.token, a.number, a.outcome, a.started_at, a.ended_at, a.exit_code, a.signal, a.error::text
        FROM unnest($1::bigint[]) AS i(id) LEFT JOIN task t ON t.id = i.id
        CROSS JOIN LATERAL (SELECT * FROM attempt WHERE task_id = i.id ORDER BY number = t.attempt DESC NULLS LAST, number DESC LIMIT 1) a
        """;

    private sealed record Row(long Position, string Kind, string? State, Guid Id, string? Name, TaskLayout Layout, JobFamily Family, string Project, string? Command,
        DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, JobError? Error)
    {
        /// <summary>The task whose last attempt says how the job ended: its only one, or the one that failed it.</summary>
        public long? Deciding => Kind != "job-ended" ? null
            : Layout.Total == 1 ? Layout.First
            : TaskName.TryRead(Error?.TaskId) is { } task ? Layout.IdOf(task.Kind, task.Index) : null;
    }

    /// <summary>The next messages after a position.</summary>
    /// <param name="every">Every change, or only final ones.</param>
    /// <param name="limit">At most this many messages.</param>
    public static async Task<OutboxPage> ReadAsync(NpgsqlConnection connection, long after, bool every, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(connection);
        var rows = new List<Row>(limit);
        long upto, newest, last = after;
        var seen = 0;
        await using (var command = new NpgsqlCommand(PageSql, connection))
        {
            command.Parameters.AddWithValue(after);
            command.Parameters.AddWithValue((long)Stride);
            command.Parameters.AddWithValue(every ? All : Final);
            command.Parameters.AddWithValue(limit);
            await using var reader = await command.ExecuteReaderAsync(ct);
            await reader.ReadAsync(ct);
            (upto, newest) = (reader.GetInt64(0), reader.GetInt64(1));
            do
            {
                if (reader.IsDBNull(2)) break;
                seen++;
                last = reader.GetInt64(2);
                // A job that retention has removed meanwhile has nobody who waits for its message.
                if (!reader.IsDBNull(5) && ReadRow(reader) is { } row) rows.Add(row);
            }
            while (await reader.ReadAsync(ct));
        }

        var attempts = await AttemptsAsync(connection, [.. rows.Select(r => r.Deciding).OfType<long>().Distinct()], ct);
        return new([.. rows.Select(r => MessageOf(r, r.Deciding is { } task ? attempts.GetValueOrDefault(task) : null))], seen == limit ? last : Math.Max(upto, after), newest);
    }

    private static Row? ReadRow(NpgsqlDataReader reader)
    {
        var (kind, family) = (reader.GetString(3), (JobFamily)reader.GetInt16(8));
        // Jobs of many tasks say that they start each time a task of theirs does.
        if (kind == "tasks-started" && family != JobFamily.Commands) return null;
        return new(reader.GetInt64(2), kind, Text(reader, 4), reader.GetGuid(5), Text(reader, 6),
            new(reader.GetInt64(7), reader.GetInt32(14), reader.GetInt32(15), reader.GetInt32(16), reader.GetInt32(17)), family, reader.GetString(9), Text(reader, 10),
            Time(reader, 11), Time(reader, 12), Text(reader, 13) is { } error ? JsonSerializer.Deserialize(error, EngineJson.Default.JobError) : null);
    }

    private static async Task<Dictionary<long, AttemptView>> AttemptsAsync(NpgsqlConnection connection, long[] tasks, CancellationToken ct)
    {
        var attempts = new Dictionary<long, AttemptView>(tasks.Length);
        if (tasks.Length == 0) return attempts;
        await using var command = new NpgsqlCommand(AttemptSql, connection) { Parameters = { new() { Value = tasks, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint } } };
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            attempts[reader.GetInt64(0)] = new()
            {
                TaskId = reader.GetInt64(0), Token = reader.GetGuid(1), Number = reader.GetInt32(2), Worker = null, Outcome = (AttemptOutcome)reader.GetInt16(3),
                StartedAt = Time(reader, 4), EndedAt = Time(reader, 5),
                ExitCode = reader.IsDBNull(6) ? null : reader.GetInt32(6), Signal = reader.IsDBNull(7) ? null : reader.GetInt32(7),
                Error = Text(reader, 8) is { } error ? JsonSerializer.Deserialize(error, EngineJson.Default.AttemptError) : null,
            };
        }

        return attempts;
    }

    private static OutboxMessage MessageOf(Row row, AttemptView? attempt)
    {
        var jobId = row.Name ?? row.Id.ToString("D");
        var message = new JobMessage(jobId, JobMessage.KindOf(row.Family), row.Command, JobMessage.Queued, null, null, null, null, row.Project);
        var what = OutboxMessage.Queued;
        if (row.Kind == "tasks-started")
        {
            what = OutboxMessage.Running;
            message = message with { Status = JobMessage.Running, Started = TimeText(row.StartedAt) };
        }
        else if (row.Kind == "job-ended")
        {
            what = OutboxMessage.Ended;
            var state = Enum.TryParse<JobState>(row.State, out var said) ? said : JobState.Failed;
            var ending = JobEnding.Of(state, row.Error, attempt);
            message = message with
            {
                Status = state == JobState.Succeeded ? JobMessage.Complete : JobMessage.Failed, ExitCode = ending.ExitCode,
                Error = ending.Type is { } type ? new(type, ending.Message ?? "", ending.Signal) : null,
                Started = TimeText(row.StartedAt), Ended = TimeText(row.EndedAt),
            };
        }

        return new(row.Position, what, row.Layout.Number, jobId, row.Project, message.ToJson());
    }

    private static string? TimeText(DateTimeOffset? time) => time is { } known ? JobMessage.TimeText(known) : null;

    private static string? Text(NpgsqlDataReader reader, int i) => reader.IsDBNull(i) ? null : reader.GetString(i);

    private static DateTimeOffset? Time(NpgsqlDataReader reader, int i) => reader.IsDBNull(i) ? null : reader.GetFieldValue<DateTimeOffset>(i);
}
