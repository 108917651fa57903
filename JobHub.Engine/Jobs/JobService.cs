using System.Globalization;
using System.Text.Json;
using JobHub.Engine.Files;
using JobHub.Engine.Secrets;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Jobs;

/// <summary>The one door by which every family submits and cancels.</summary>
public sealed class JobService(NpgsqlDataSource database, RequirementClasses classes, SecretBox secrets, Wakeups wakeups)
{
    // One statement for one job or ten thousand: jobs, their queue rows and their ledger rows, from arrays.
    private const string SubmitSql = """
        WITH spec AS (
            SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::int[], $9::int[],
                                 $10::double precision[], $11::boolean[], $12::text[], $13::int[], $14::int[], $15::int[], $16::int[], $17::int[], $18::text[], $19::text[],
                                 $20::bigint[], $21::bigint[], $22::boolean[], $23::text[], $24::boolean[], $25::boolean[], $26::boolean[])
                AS s(id, family, project, caller, title, labels, priority, class, max_attempts, timeout_seconds, speculative, details,
                     maps, reduces, commands, analyses, blocked, payload, name, parent, rank, is_group, tags, paused, path_paused, path_waits)),
        made AS (
            INSERT INTO job (id, name, family, project, caller, title, labels, priority, rank, class, max_attempts, timeout_seconds, speculative, details,
                             maps, reduces, commands, analyses, blocked, dirty, parent, is_group, tags, paused)
            SELECT id, name, family, project, caller, title, labels::jsonb, priority, rank, class, max_attempts, timeout_seconds, speculative,
                   details::jsonb, maps, reduces, commands, analyses, 0, maps + reduces + commands + analyses = 0 AND NOT is_group, parent, is_group, string_to_array(tags, ','), paused
            FROM spec RETURNING id, number, rank, class, family, maps, reduces, commands, analyses),
        queued AS (
            INSERT INTO live (task_id, class, rank, state, claimable, paused, run)
            SELECT (m.number << 20) + i, m.class, m.rank, CASE WHEN waits THEN 0 ELSE 1 END, NOT waits AND NOT s.path_paused, s.path_paused, CASE WHEN m.family = 3 THEN 0 END
            FROM made m JOIN spec s USING (id) CROSS JOIN LATERAL generate_series(0, m.maps + m.reduces + m.commands + m.analyses - 1) AS i
            CROSS JOIN LATERAL (SELECT s.path_waits OR (s.blocked > 0 AND i >= m.maps AND i < m.maps + s.blocked) AS waits) w),
        noted AS (
            INSERT INTO ledger (job, kind, payload, blocked, leaves)
            SELECT m.number, 'job-submitted', s.payload::jsonb, s.blocked, CASE WHEN m.family = 3 THEN m.commands ELSE 0 END FROM made m JOIN spec s USING (id))
        SELECT m.id, m.number FROM made m
        """;

    /// <summary>Stores a job with all its tasks, or answers the job that the same Idempotency-Key made within 24 hours.</summary>
    public async Task<SubmitResult> SubmitAsync(JobSpec spec, Submission who, CancellationToken ct)
    {
        var classId = await classes.IdOfAsync(spec.Needs, ct);
        await using var connection = await database.OpenConnectionAsync(ct);
        // One statement is a transaction of its own; more than that only for what comes in several.
        var several = who.IdempotencyKey is not null || spec.Analysis is not null || spec.Inputs.Count + spec.Files.Count + spec.Secrets.Count > 0;
        await using var transaction = several ? await connection.BeginTransactionAsync(ct) : null;
        if (who.IdempotencyKey is not null && await ReplayAsync(connection, spec.Id, who, ct) is { } earlier)
        {
            await transaction!.CommitAsync(ct);
            return earlier;
        }

        long number;
        try
        {
            number = (await InsertAsync(connection, [spec], [classId], who.Caller, ct))[0];
        }
        catch (PostgresException fault) when (fault is { SqlState: PostgresErrorCodes.UniqueViolation, ConstraintName: "job_name" })
        {
            return new SubmitResult.NameTaken();
        }

        await InsertInputsAsync(connection, number, spec.Inputs, ct);
        await FileSpace.PlaceAsync(connection, spec.Project, number, spec.Files, ct);
        if (spec.Analysis is { } analysis && !await InsertAnalysisAsync(connection, spec.Project, number, analysis, ct)) return new SubmitResult.InputDeleted();
        foreach (var (name, value) in spec.Secrets)
        {
            await using var command = new NpgsqlCommand("INSERT INTO secret (job, name, sealed) VALUES ($1, $2, $3)", connection);
            command.Parameters.AddWithValue(number);
            command.Parameters.AddWithValue(name);
            command.Parameters.AddWithValue(secrets.Seal(value, SecretId(number, name)));
            await command.ExecuteNonQueryAsync(ct);
        }

        if (transaction is not null) await transaction.CommitAsync(ct);
        wakeups.Work(classId);
        wakeups.Upkeep();
        return new SubmitResult.Accepted(spec.Id, Replayed: false);
    }

    /// <summary>What an earlier submission with this Idempotency-Key came to, or null. A family whose planning looks at the world asks first: a resend's answer must not depend on it.</summary>
    public async Task<SubmitResult?> FindReplayAsync(Submission who, CancellationToken ct)
    {
        if (who.IdempotencyKey is null) return null;
        await using var command = database.CreateCommand(
            "SELECT job_id, body_hash FROM idempotency WHERE caller = $1 AND key = $2 AND created_at >= clock_timestamp() - interval '24 hours'");
        command.Parameters.AddWithValue(who.KeyOwner);
        command.Parameters.AddWithValue(who.IdempotencyKey);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        var hash = reader.IsDBNull(1) ? null : (byte[])reader.GetValue(1);
        return hash.AsSpan().SequenceEqual(who.BodyHash) ? new SubmitResult.Accepted(new(reader.GetGuid(0)), Replayed: true) : new SubmitResult.KeyReused();
    }

    /// <summary>Stores many jobs without inputs or secrets in one transaction: all or none.</summary>
    public async Task<IReadOnlyList<JobId>> SubmitManyAsync(IReadOnlyList<JobSpec> specs, string caller, CancellationToken ct)
    {
        var ids = new int[specs.Count];
        for (var i = 0; i < ids.Length; i++) ids[i] = await classes.IdOfAsync(specs[i].Needs, ct);
        await using var connection = await database.OpenConnectionAsync(ct);
        await InsertAsync(connection, specs, ids, caller, ct);
        foreach (var id in ids.Distinct()) wakeups.Work(id);
        wakeups.Upkeep();
        return [.. specs.Select(s => s.Id)];
    }

    /// <summary>Asks for a job's end. It reads as canceling from this answer on; what runs is told within a second.</summary>
    public async Task<CancelResult> CancelAsync(JobId id, string caller, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH found AS (SELECT number, state FROM job WHERE id = $1 AND deleted_at IS NULL FOR UPDATE),
            asked AS (
                -- A group has no task of its own: its leaves are canceled, and what they come to is its state.
                UPDATE job SET stop = CASE WHEN is_group THEN 0 ELSE 1 END, cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), dirty = NOT is_group
                FROM found WHERE job.number = found.number AND found.state < 4 RETURNING job.number, job.is_group),
            below AS (INSERT INTO tree_change (roots, kind) SELECT ARRAY[number], 5 FROM asked WHERE is_group),
            noted AS (INSERT INTO ledger (job, kind, payload) SELECT number, 'job-cancel-requested', jsonb_build_object('caller', $2::text) FROM asked)
            SELECT found.state, EXISTS (SELECT FROM asked) FROM found
            """);
        command.Parameters.AddWithValue(id.Value);
        command.Parameters.AddWithValue(caller);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return new CancelResult.NotFound();
        var (state, asked) = ((JobState)reader.GetInt16(0), reader.GetBoolean(1));
        if (!asked) return new CancelResult.AlreadyFinished(state);
        wakeups.Upkeep();
        wakeups.Steps();
        wakeups.Trees();
        return new CancelResult.Accepted();
    }

    /// <summary>The row id a job's secret is bound to.</summary>
    public static string SecretId(long number, string name) => string.Create(CultureInfo.InvariantCulture, $"job/{number}/{name}");

    internal static async Task<SubmitResult?> ReplayAsync(NpgsqlConnection connection, JobId id, Submission who, CancellationToken ct)
    {
        // A concurrent submit with the same key waits here for the first one's commit.
        await using var command = new NpgsqlCommand("""
            INSERT INTO idempotency (caller, key, body_hash, job_id) VALUES ($1, $2, $3, $4)
            ON CONFLICT (caller, key) DO UPDATE SET body_hash = excluded.body_hash, job_id = excluded.job_id, created_at = clock_timestamp()
            WHERE idempotency.created_at < clock_timestamp() - interval '24 hours'
            RETURNING job_id
            """, connection);
        command.Parameters.AddWithValue(who.KeyOwner);
        command.Parameters.AddWithValue(who.IdempotencyKey!);
        command.Parameters.Add(new() { Value = (object?)who.BodyHash ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bytea });
        command.Parameters.AddWithValue(id.Value);
        if (await command.ExecuteScalarAsync(ct) is not null) return null;
        await using var find = new NpgsqlCommand("SELECT job_id, body_hash FROM idempotency WHERE caller = $1 AND key = $2", connection);
        find.Parameters.AddWithValue(who.KeyOwner);
        find.Parameters.AddWithValue(who.IdempotencyKey!);
        await using var reader = await find.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var hash = reader.IsDBNull(1) ? null : (byte[])reader.GetValue(1);
        return hash.AsSpan().SequenceEqual(who.BodyHash) ? new SubmitResult.Accepted(new(reader.GetGuid(0)), Replayed: true) : new SubmitResult.KeyReused();
    }

    /// <summary>The numbers of the jobs, in the order of the specs.</summary>
    internal static async Task<long[]> InsertAsync(NpgsqlConnection connection, IReadOnlyList<JobSpec> specs, int[] classIds, string caller, CancellationToken ct)
    {
        var layouts = specs.Select(s => TaskLayout.Of(0, s.Tasks)).ToArray();
        if (layouts.Any(l => l.Total > TaskLayout.MaxTasks)) throw new ArgumentException($"A job has at most {TaskLayout.MaxTasks} tasks.", nameof(specs));
        T[] Column<T>(Func<JobSpec, T> of) => [.. specs.Select(of)];
        await using var command = new NpgsqlCommand(SubmitSql, connection);
        var parameters = command.Parameters;
        parameters.AddWithValue(Column(s => s.Id.Value));
        parameters.AddWithValue(Column(s => (short)s.Family));
        parameters.AddWithValue(Column(s => s.Project));
        parameters.AddWithValue(Column(s => s.User ?? caller));
        parameters.Add(new() { Value = Column(s => s.Title), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        parameters.AddWithValue(Column(s => s.Labels.Count == 0 ? "{}" : JsonSerializer.Serialize(s.Labels)));
        parameters.AddWithValue(Column(s => (short)Math.Clamp(s.Priority, 0, 255)));
        parameters.AddWithValue(classIds);
        parameters.AddWithValue(Column(s => s.MaxAttempts));
        parameters.Add(new() { Value = Column(s => s.TimeoutSeconds), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Double });
        parameters.AddWithValue(Column(s => s.Speculative));
        parameters.AddWithValue(Column(s => s.Details));
        parameters.AddWithValue(layouts.Select(l => l.Maps).ToArray());
        parameters.AddWithValue(layouts.Select(l => l.Reduces).ToArray());
        parameters.AddWithValue(layouts.Select(l => l.Commands).ToArray());
        parameters.AddWithValue(layouts.Select(l => l.Analyses).ToArray());
        parameters.AddWithValue(Column(s => s.Tasks.Where(t => t.Blocked).Sum(t => t.Count)));
        var payload = JsonSerializer.Serialize(new { caller });
        parameters.AddWithValue(Column(_ => payload));
        parameters.Add(new() { Value = Column(s => s.Name), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        parameters.Add(new() { Value = Column(s => s.Place?.Parent), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        parameters.AddWithValue(Column(s => s.Place?.Rank ?? (long)(Math.Clamp(s.Priority, 0, 255) - 128) << 56));
        parameters.AddWithValue(Column(s => s.Place?.IsGroup ?? false));
        parameters.AddWithValue(Column(s => s.Place is { } place ? string.Join(',', place.Tags) : ""));
        parameters.AddWithValue(Column(s => s.Place?.Paused ?? false));
        parameters.AddWithValue(Column(s => s.Place?.PathPaused ?? false));
        parameters.AddWithValue(Column(s => s.Place?.PathWaits ?? false));
        var numbers = new Dictionary<Guid, long>(specs.Count);
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) numbers[reader.GetGuid(0)] = reader.GetInt64(1);
        }

        return [.. specs.Select(s => numbers[s.Id.Value])];
    }

    /// <summary>Reserves the analysis. False when the project, the dataset or the inference went meanwhile.</summary>
    private static async Task<bool> InsertAnalysisAsync(NpgsqlConnection connection, string project, long number, NewAnalysis analysis, CancellationToken ct)
    {
        var details = analysis.Details;
        await using var command = new NpgsqlCommand("""
            INSERT INTO analysis (id, project, dataset, kind, algorithm, parameters, inference, job, profiles) VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9)
            """, connection);
        command.Parameters.AddWithValue(details.Analysis);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(details.Dataset);
        command.Parameters.AddWithValue((short)details.Kind);
        command.Parameters.AddWithValue(details.Algorithm);
        command.Parameters.AddWithValue(analysis.Parameters);
        command.Parameters.Add(new() { Value = (object?)details.Inference ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid });
        command.Parameters.AddWithValue(number);
        command.Parameters.AddWithValue(details.Profiles);
        try
        {
            await command.ExecuteNonQueryAsync(ct);
            return true;
        }
        catch (PostgresException fault) when (fault.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            return false;
        }
    }

    private static async Task InsertInputsAsync(NpgsqlConnection connection, long number, IReadOnlyList<JobInput> inputs, CancellationToken ct)
    {
        if (inputs.Count == 0) return;
        await using var copy = await connection.BeginBinaryImportAsync("COPY job_input (job, first_task, path, size, etag) FROM STDIN (FORMAT BINARY)", ct);
        foreach (var input in inputs)
        {
            await copy.StartRowAsync(ct);
            await copy.WriteAsync(number, NpgsqlDbType.Bigint, ct);
            await copy.WriteAsync(input.FirstTask, NpgsqlDbType.Integer, ct);
            await copy.WriteAsync(input.Path, NpgsqlDbType.Text, ct);
            await copy.WriteAsync(input.Size, NpgsqlDbType.Bigint, ct);
            if (input.ETag is null) await copy.WriteNullAsync(ct);
            else await copy.WriteAsync(input.ETag, NpgsqlDbType.Text, ct);
        }

        await copy.CompleteAsync(ct);
    }
}
