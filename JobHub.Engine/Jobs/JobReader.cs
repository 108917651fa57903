using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Engine.Attempts;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Postgres;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Jobs;

/// <summary>Reads of jobs, tasks and attempts: base counters plus unfolded deltas, from one snapshot.</summary>
public sealed class JobReader(NpgsqlDataSource database)
{
    // Leased rows of the whole hub are bounded by its slots, so a join with them costs the same for one job and for a page of jobs.
    private const string JobColumns = """
        SELECT j.id, j.number, j.family, j.project, j.caller, j.title, j.labels::text, j.priority, j.state, j.paused, j.stop, j.created_at,
               least(j.started_at, d.started_at, h.leased_at), j.ended_at, j.details::text, j.error::text,
               j.maps + j.reduces + j.commands + j.analyses, j.blocked + coalesce(d.blocked, 0), coalesce(h.leased, 0), coalesce(h.running, 0),
               j.succeeded + coalesce(d.succeeded, 0), j.failed + coalesce(d.failed, 0), j.canceled + coalesce(d.canceled, 0), j.skipped + coalesce(d.skipped, 0),
               j.counters::text, d.counters, j.name, coalesce(h.progress, 0)
        FROM job j
        LEFT JOIN LATERAL (
            SELECT sum(blocked)::int AS blocked, sum(succeeded)::int AS succeeded, sum(failed)::int AS failed, sum(canceled)::int AS canceled,
                   sum(skipped)::int AS skipped, min(started_at) AS started_at, array_agg(counters::text) FILTER (WHERE counters IS NOT NULL) AS counters
            FROM ledger WHERE ledger.job = j.number AND position IS NULL) d ON true
        LEFT JOIN (
            SELECT task_id >> 20 AS number, count(*) FILTER (WHERE state = 2)::int AS leased, count(*) FILTER (WHERE state = 3)::int AS running, min(leased_at) AS leased_at, max(progress) AS progress
            FROM (
                -- A task with two attempts is one task, and none once it has ended: the loser may still be in its grace.
                SELECT l.task_id, max(l.state) AS state, min(l.leased_at) AS leased_at, max(l.progress) AS progress FROM live l
                WHERE l.session_id IS NOT NULL AND NOT EXISTS (SELECT FROM task t WHERE t.id = l.task_id AND t.state > 3) GROUP BY l.task_id) held
            GROUP BY 1) h ON h.number = j.number
        """;

    private const string AttemptColumns = """
        SELECT a.task_id, a.token, a.number, s.worker, a.outcome, a.started_at, a.ended_at, a.exit_code, a.signal, a.error::text, a.cpu_seconds, a.peak_memory, a.log_size
        FROM attempt a LEFT JOIN worker_session s ON s.id = a.session_id WHERE a.task_id = $task
        UNION ALL
        SELECT l.task_id, l.token, l.attempt, s.worker, NULL, l.leased_at, NULL, NULL, NULL, NULL, NULL, NULL,
               coalesce((SELECT max("offset" + length(bytes)) FROM live_log g WHERE g.task_id = l.task_id AND g.token = l.token), 0)
        FROM live l JOIN worker_session s ON s.id = l.session_id
        WHERE l.task_id = $task AND NOT EXISTS (SELECT FROM attempt a WHERE a.task_id = $task AND a.number = l.attempt)
        """;

    /// <summary>The job that a caller of a project means: by its own id (its name there), else by the hub's. Null when there is none in the project.</summary>
    public async Task<JobView?> FindAsync(string project, string text, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length is 0 or > 128 || text.Contains('\0')) return null;
        await using (var command = database.CreateCommand(JobColumns + " WHERE j.project = $1 AND j.name = $2"))
        {
            command.Parameters.AddWithValue(project);
            command.Parameters.AddWithValue(text);
            await using var reader = await command.ExecuteReaderAsync(ct);
            if (await reader.ReadAsync(ct)) return ReadJob(reader);
        }

        return JobId.TryRead(text) is { } id && await GetAsync(id, ct) is { } job && job.Project == project ? job : null;
    }

    /// <summary>The last attempt of each task that has had one, by the task's id.</summary>
    public async Task<Dictionary<long, AttemptView>> LastAttemptsAsync(IReadOnlyCollection<long> tasks, CancellationToken ct)
    {
        var last = new Dictionary<long, AttemptView>(tasks.Count);
        if (tasks.Count == 0) return last;
        await using var command = database.CreateCommand($"""
            SELECT a.* FROM unnest($1::bigint[]) AS t(id) CROSS JOIN LATERAL (SELECT * FROM ({AttemptColumns}) u ORDER BY number DESC LIMIT 1) a
            """.Replace("$task", "t.id", StringComparison.Ordinal));
        command.Parameters.AddWithValue(tasks.ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var attempt = ReadAttempt(reader);
            last[attempt.TaskId] = attempt;
        }

        return last;
    }

    /// <summary>How many jobs a filter finds, its page left aside.</summary>
    public async Task<long> CountAsync(JobFilter filter, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        var statement = new NpgsqlBatchCommand();
        // What only the job's own row decides needs neither its deltas nor its leases.
        var from = filter.Stage is null ? "FROM job j" : JobColumns[JobColumns.IndexOf("FROM job j", StringComparison.Ordinal)..];
        statement.CommandText = $"SELECT count(*) {from}{JobConditions.Of(filter with { After = null, Limit = null }, statement.Parameters)}";
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct);
        await reader.ReadAsync(ct);
        return reader.GetInt64(0);
    }

    /// <summary>One job, or null.</summary>
    public async Task<JobView?> GetAsync(JobId id, CancellationToken ct)
    {
        await using var command = database.CreateCommand(JobColumns + " WHERE j.id = $1 AND j.deleted_at IS NULL");
        command.Parameters.AddWithValue(id.Value);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? ReadJob(reader) : null;
    }

    /// <summary>Jobs in the order that the filter asks for, newest first by itself; streamed.</summary>
    public async IAsyncEnumerable<JobView> ListAsync(JobFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, ListOf(filter), ct);
        while (await reader.ReadAsync(ct)) yield return ReadJob(reader);
    }

    /// <summary>A page of them, read whole; the server ends a search that takes longer.</summary>
    public async Task<List<JobView>> PageAsync(JobFilter filter, TimeSpan? longest, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, ListOf(filter), ct, longest: longest);
        var page = new List<JobView>();
        while (await reader.ReadAsync(ct)) page.Add(ReadJob(reader));
        return page;
    }

    private static NpgsqlBatchCommand ListOf(JobFilter filter)
    {
        var statement = new NpgsqlBatchCommand();
        var conditions = JobConditions.Of(filter, statement.Parameters);
        var limit = "";
        if (filter.Limit is { } n)
        {
            statement.Parameters.AddWithValue(n);
            limit = " LIMIT $" + statement.Parameters.Count;
        }

        statement.CommandText = JobColumns + conditions + JobConditions.OrderOf(filter) + limit;
        return statement;
    }

    /// <summary>Tasks of a job in the order of kind and index, ended or not; streamed. Nothing when there is no such job.</summary>
    public async IAsyncEnumerable<TaskView> TasksAsync(JobId id, TaskFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        if (await FindAsync(id, ct) is not { } job) yield break;
        var layout = job.Layout;
        await using var command = database.CreateCommand("""
            SELECT i.id, coalesce(t.state, l.state), coalesce(t.attempt, l.attempt, 0), coalesce(ts.worker, s.worker), coalesce(t.started_at, l.leased_at), t.ended_at,
                   l.not_before, coalesce(t.error, last.error)::text, coalesce(l.progress, 0), inp.path, inp.size, inp.first_task
            FROM ((SELECT id FROM task WHERE id > $1 AND id < $2 AND ($6::smallint[] IS NULL OR state = ANY ($6)) ORDER BY id LIMIT $7)
                  UNION
                  (SELECT DISTINCT task_id FROM live q WHERE task_id > $1 AND task_id < $2 AND ($6::smallint[] IS NULL OR state = ANY ($6))
                   AND NOT EXISTS (SELECT FROM task WHERE id = q.task_id) AND NOT EXISTS (SELECT FROM live o WHERE o.task_id = q.task_id AND o.state > q.state) ORDER BY task_id LIMIT $7)) i
            LEFT JOIN task t ON t.id = i.id
            LEFT JOIN LATERAL (SELECT * FROM live WHERE task_id = i.id AND t.id IS NULL ORDER BY state DESC, speculative LIMIT 1) l ON true
            LEFT JOIN worker_session s ON s.id = l.session_id
            LEFT JOIN LATERAL (SELECT session_id, error FROM attempt WHERE task_id = i.id ORDER BY number = t.attempt DESC NULLS LAST, number DESC LIMIT 1) last ON true
            LEFT JOIN worker_session ts ON ts.id = last.session_id AND t.id IS NOT NULL
            LEFT JOIN LATERAL (SELECT path, size, first_task FROM job_input WHERE job = $3 AND first_task <= i.id - $4 AND i.id - $4 < $5 ORDER BY first_task DESC LIMIT 1) inp ON true
            ORDER BY i.id LIMIT $7
            """);
        var after = filter.After is { } a ? layout.IdOf(a.Kind, a.Index) ?? layout.First - 1 : layout.First - 1;
        var end = layout.First + layout.Total;
        if (filter.Kind is { } kindOf)
        {
            // Of one kind indexes are ids; an index that there is not ends with its kind.
            var (first, count) = layout.RangeOf(kindOf);
            (after, end) = (Math.Max(after, first + Math.Min(filter.From, count) - 1), first + Math.Min((long)filter.To + 1, count));
        }

        command.Parameters.AddWithValue(after);
        command.Parameters.AddWithValue(end);
        command.Parameters.AddWithValue(layout.Number);
        command.Parameters.AddWithValue(layout.First);
        command.Parameters.AddWithValue(layout.Maps);
        short[] states = [.. filter.States.Select(static s => (short)s), .. filter.State is { } one ? (short[])[(short)one] : []];
        command.Parameters.Add(new() { Value = states.Length > 0 ? states : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint });
        command.Parameters.Add(new() { Value = (object?)filter.Limit ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer });
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var taskId = reader.GetInt64(0);
            var (kind, index) = layout.Of(taskId);
            var taskState = (TaskState)reader.GetInt16(1);
            yield return new TaskView
            {
                Id = taskId, JobId = id, Kind = kind, Index = index,
                // While its output is being promoted a task still reads as running.
                State = taskState,
                Attempts = reader.GetInt32(2),
                Worker = Text(reader, 3),
                StartedAt = Time(reader, 4),
                EndedAt = Time(reader, 5),
                NotBefore = Time(reader, 6),
                Error = taskState == TaskState.Succeeded ? null : Json<AttemptError>(reader, 7),
                Progress = taskState == TaskState.Succeeded ? 1 : reader.GetFloat(8),
                Split = reader.IsDBNull(9) ? null : SplitOf(reader.GetString(9), reader.GetInt64(10), index - reader.GetInt32(11), job.SplitSize, job.WholeObjects),
            };
        }
    }

    /// <summary>Whether a job has such a task.</summary>
    public async Task<bool> HasTaskAsync(JobId id, TaskKind kind, int index, CancellationToken ct) =>
        await FindAsync(id, ct) is { } job && job.Layout.IdOf(kind, index) is not null;

    /// <summary>The attempts of one task, the running ones included, by number.</summary>
    public async Task<IReadOnlyList<AttemptView>> AttemptsAsync(JobId id, TaskKind kind, int index, CancellationToken ct)
    {
        if (await FindAsync(id, ct) is not { } job || job.Layout.IdOf(kind, index) is not { } taskId) return [];
        await using var command = database.CreateCommand(AttemptColumns.Replace("$task", "$1", StringComparison.Ordinal) + " ORDER BY number");
        command.Parameters.AddWithValue(taskId);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var attempts = new List<AttemptView>();
        while (await reader.ReadAsync(ct))
        {
            attempts.Add(ReadAttempt(reader));
        }

        return attempts;
    }

    /// <summary>Number and layout of a job, for what addresses tasks by name.</summary>
    internal async Task<JobFrame?> FindAsync(JobId id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT number, maps, reduces, commands, analyses, (details->>'splitSize')::bigint, coalesce(details->>'inputType' = 'file/gzip', false) FROM job WHERE id = $1
            """);
        command.Parameters.AddWithValue(id.Value);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return new(new(reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt32(3), reader.GetInt32(4)),
            reader.IsDBNull(5) ? 0 : reader.GetInt64(5), reader.GetBoolean(6));
    }

    private static TaskSplit SplitOf(string path, long size, int part, long splitSize, bool wholeObjects)
    {
        if (SplitPlan.IsGzip(path, wholeObjects)) return new(path, 0, size);
        var start = part * splitSize;
        return new(path, start, Math.Min(size, start + splitSize));
    }

    private static JobView ReadJob(NpgsqlDataReader reader)
    {
        var state = (JobState)reader.GetInt16(8);
        var (paused, stop) = (reader.GetBoolean(9), reader.GetInt16(10));
        var (leased, running) = (reader.GetInt32(18), reader.GetInt32(19));
        var startedAt = Time(reader, 12);
        if (!state.IsTerminal)
        {
            // Intent is stored beside the state; the reader sees both as one word (a job that ends because a task failed still reads as running). The first lease makes a job running before the folder has heard of it.
            state = stop == 1 ? JobState.Canceling : paused ? JobState.Paused : state == JobState.Queued && startedAt is not null ? JobState.Running : state;
        }

        var counters = Json<Dictionary<string, long>>(reader, 24) ?? [];
        if (!reader.IsDBNull(25))
        {
            foreach (var delta in reader.GetFieldValue<string[]>(25))
            {
                foreach (var (name, by) in JsonSerializer.Deserialize(delta, EngineJson.Default.DictionaryStringInt64)!)
                    counters[name] = counters.GetValueOrDefault(name) + by;
            }
        }

        return new JobView
        {
            Id = new(reader.GetGuid(0)), Number = reader.GetInt64(1), Name = Text(reader, 26), Family = (JobFamily)reader.GetInt16(2), Project = reader.GetString(3),
            User = Text(reader, 4), Title = Text(reader, 5), Labels = Json<Dictionary<string, string>>(reader, 6) ?? [], Priority = reader.GetInt16(7),
            State = state, Paused = paused, CreatedAt = reader.GetFieldValue<DateTimeOffset>(11), StartedAt = startedAt, EndedAt = Time(reader, 13),
            Details = reader.GetString(14), Error = Json<JobError>(reader, 15),
            Tasks = new(reader.GetInt32(16), reader.GetInt32(17), leased, running, reader.GetInt32(20), reader.GetInt32(21), reader.GetInt32(22), reader.GetInt32(23)),
            Counters = counters, Reached = reader.GetFloat(27),
        };
    }

    private static AttemptView ReadAttempt(NpgsqlDataReader reader) => new()
    {
        TaskId = reader.GetInt64(0), Token = reader.GetGuid(1), Number = reader.GetInt32(2), Worker = Text(reader, 3),
        Outcome = reader.IsDBNull(4) ? null : (AttemptOutcome)reader.GetInt16(4),
        StartedAt = Time(reader, 5), EndedAt = Time(reader, 6),
        ExitCode = reader.IsDBNull(7) ? null : reader.GetInt32(7), Signal = reader.IsDBNull(8) ? null : reader.GetInt32(8),
        Error = Json<AttemptError>(reader, 9),
        CpuSeconds = reader.IsDBNull(10) ? null : reader.GetFloat(10), // Of a program that used less than its worker ever did the kernel does not tell how much.
        PeakMemoryBytes = reader.IsDBNull(11) || reader.GetInt64(11) == 0 ? null : reader.GetInt64(11),
        LogSize = reader.GetInt64(12),
    };

    private static string? Text(NpgsqlDataReader reader, int i) => reader.IsDBNull(i) ? null : reader.GetString(i);

    private static DateTimeOffset? Time(NpgsqlDataReader reader, int i) => reader.IsDBNull(i) ? null : reader.GetFieldValue<DateTimeOffset>(i);

    private static T? Json<T>(NpgsqlDataReader reader, int i)
        where T : class => reader.IsDBNull(i) ? null : JsonSerializer.Deserialize<T>(reader.GetString(i), EngineJson.Default.Options);
}

/// <summary>A job's number and shape.</summary>
/// <param name="WholeObjects">One split an object, whatever its size (gzip).</param>
internal sealed record JobFrame(TaskLayout Layout, long SplitSize, bool WholeObjects);
