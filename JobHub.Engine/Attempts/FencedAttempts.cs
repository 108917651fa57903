using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Attempts;

/// <summary>An attempt a session holds now.</summary>
public sealed record FencedAttempt(long TaskId, int Attempt, TaskKind Kind, int Index, JobContext Job);

/// <summary>What an attempt may do while it is held: the fence before every byte it reads or writes through the hub.</summary>
public sealed class FencedAttempts(NpgsqlDataSource database, JobContexts contexts)
{
    /// <summary>The attempt, or null when the session does not hold it (any more).</summary>
    public async Task<FencedAttempt?> FindAsync(long session, Guid token, CancellationToken ct)
    {
        long taskId;
        int number;
        await using (var command = database.CreateCommand("SELECT task_id, attempt FROM live WHERE session_id = $1 AND token = $2"))
        {
            command.Parameters.AddWithValue(session);
            command.Parameters.AddWithValue(token);
            await using var reader = await command.ExecuteReaderAsync(ct);
            if (!await reader.ReadAsync(ct)) return null;
            (taskId, number) = (reader.GetInt64(0), reader.GetInt32(1));
        }

        if (await contexts.GetAsync(TaskLayout.NumberOf(taskId), ct) is not { } job) return null;
        var (kind, index) = job.Layout.Of(taskId);
        return new(taskId, number, kind, index, job);
    }

    /// <summary>Keeps an open multipart upload in mind.</summary>
    public async Task NoteUploadAsync(long taskId, Guid token, string uploadId, CancellationToken ct)
    {
        await using var command = database.CreateCommand("INSERT INTO upload (task_id, token, upload_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
        command.Parameters.AddWithValue(taskId);
        command.Parameters.AddWithValue(token);
        command.Parameters.AddWithValue(uploadId);
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Adds to the live log; a chunk sent twice is kept once. Only the newest 4 MiB stay.</summary>
    public async Task AppendLiveLogAsync(long taskId, Guid token, long offset, byte[] bytes, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH trimmed AS (DELETE FROM live_log WHERE task_id = $1 AND token = $2 AND "offset" < $3 - 4194304)
            INSERT INTO live_log (task_id, token, "offset", bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
            """);
        command.Parameters.AddWithValue(taskId);
        command.Parameters.AddWithValue(token);
        command.Parameters.AddWithValue(offset);
        command.Parameters.AddWithValue(bytes);
        await command.ExecuteNonQueryAsync(ct);
    }
}
