using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Workers;
using Npgsql;

namespace JobHub.Engine.Files;

/// <summary>The files of a running attempt: what it is given, and what it sends of its tree.</summary>
public sealed class AttemptFiles(NpgsqlDataSource database, FileSpace space, FileStaging staging, JobObjects objects)
{
    private static readonly TimeSpan Validity = TimeSpan.FromHours(1);

    /// <summary>A page of the files to place, by path, each with the right to read it.</summary>
    public async Task<FilePage> PageAsync(WorkerSession session, JobContext job, Guid token, string? after, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(job);
        var files = await space.PageAsync(job.Project, job.Layout.Number, FilePath.Root, after, limit, ct);
        return new FilePage([.. files.Select(file => new TreeFile(file.Path.Value, file.Size, file.Executable,
            objects.Hub.GrantRead(objects.Hidden(file.Object), session.SharesFiles, Validity)
                ?? new ObjectGrant(null, $"/agent/v1/sessions/{session.Id}/attempts/{token}/files/content?path={Uri.EscapeDataString(file.Path.Value)}")))],
            files.Count < limit ? null : files[^1].Path.Value);
    }

    /// <summary>One of them.</summary>
    public Task<StoredFile?> FindAsync(JobContext job, FilePath path, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(job);
        return space.FindAsync(job.Project, job.Layout.Number, path, ct);
    }

    /// <summary>Takes a file of the attempt's tree; the same path again replaces it. False when the attempt is not held any more.</summary>
    public async Task<bool> TakeAsync(FencedAttempt attempt, Guid token, FilePath path, bool executable, Stream content, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(attempt);
        var staged = await staging.StageAsync(content, hash: false, ct);
        await using var command = database.CreateCommand("""
            WITH old AS (SELECT object FROM captured_file WHERE token = $1 AND path = $3),
            put AS (
                INSERT INTO captured_file (token, task_id, path, object, size, executable)
                SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT FROM live WHERE task_id = $2 AND token = $1)
                ON CONFLICT (token, path) DO UPDATE SET object = excluded.object, size = excluded.size, executable = excluded.executable RETURNING path),
            dropped AS (UPDATE file_garbage SET due_at = clock_timestamp() WHERE object IN (SELECT object FROM old) AND EXISTS (SELECT FROM put))
            SELECT count(*) FROM put
            """);
        command.Parameters.AddWithValue(token);
        command.Parameters.AddWithValue(attempt.TaskId);
        command.Parameters.AddWithValue(path.Value);
        command.Parameters.AddWithValue(staged.Object);
        command.Parameters.AddWithValue(staged.Size);
        command.Parameters.AddWithValue(executable);
        if ((long)(await command.ExecuteScalarAsync(ct))! == 1) return true;
        await staging.DropAsync([staged.Object]);
        return false;
    }
}
