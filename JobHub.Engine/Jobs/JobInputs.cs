using JobHub.Engine.Files;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Jobs;

/// <summary>An input object of a job, as it was at submit.</summary>
public sealed record KnownInput(int FirstTask, string Path, long Size);

/// <summary>What a job was given and, of its tree, what it left.</summary>
public sealed class JobInputs(NpgsqlDataSource database)
{
    /// <summary>Input objects in the order of their maps, behind the one that begins at a task.</summary>
    public async Task<List<KnownInput>> PageAsync(long job, int after, int limit, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT first_task, path, size FROM job_input WHERE job = $1 AND first_task > $2 ORDER BY first_task LIMIT $3");
        command.Parameters.AddWithValue(job);
        command.Parameters.AddWithValue(after);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var inputs = new List<KnownInput>();
        while (await reader.ReadAsync(ct)) inputs.Add(new(reader.GetInt32(0), reader.GetString(1), reader.GetInt64(2)));
        return inputs;
    }

    /// <summary>
    /// Files of a job's tree by path, behind one: with <paramref name="left"/> those that it made or changed, else those that it was given and has not changed.
    /// What an attempt leaves names the job as its maker; files from before makers were kept are told by the start, which a retry moves.
    /// </summary>
    public async Task<List<StoredFile>> TreeAsync(JobView job, bool left, string? after, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(job);
        await using var command = database.CreateCommand("""
            SELECT path, object, size, executable, modified_at FROM file
            WHERE project = $1 AND job = $2 AND path > $3 AND (maker IS NOT NULL OR $4::timestamptz IS NOT NULL AND modified_at >= $4) = $5 ORDER BY path LIMIT $6
            """);
        command.Parameters.AddWithValue(job.Project);
        command.Parameters.AddWithValue(job.Number);
        command.Parameters.AddWithValue(after ?? "");
        command.Parameters.Add(new() { Value = (object?)job.StartedAt ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz });
        command.Parameters.AddWithValue(left);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var files = new List<StoredFile>();
        while (await reader.ReadAsync(ct)) files.Add(new(FilePath.Known(reader.GetString(0)), reader.GetString(1), reader.GetInt64(2), reader.GetBoolean(3), reader.GetFieldValue<DateTimeOffset>(4)));
        return files;
    }
}
