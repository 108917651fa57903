using JobHub.Engine.Artifacts;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobHub.Engine.Upkeep;

/// <summary>Removes what nobody will read: shuffle data and partial output of ended jobs, pending bytes of attempts that did not win, live logs of ended attempts.</summary>
public sealed class Cleaner(NpgsqlDataSource database, JobContexts contexts, JobObjects objects, ArtifactStore artifacts, FileStaging files, WorkerSessions sessions, IOptions<StorageOptions> storage, TimeProvider clock,
    ILogger<Cleaner> logger)
{
    private const int Page = 500;

    /// <summary>One round.</summary>
    public async Task CleanAsync(CancellationToken ct)
    {
        await DiscardAsync(ct);
        await sessions.ForgetProofsAsync(ct);
        try
        {
            await files.CollectAsync(ct);
        }
        catch (Exception fault) when (fault is StoreException or IOException)
        {
            EngineLog.JobStepFailed(logger, "files", 0, fault.Message);
        }

        foreach (var (number, succeeded) in await EndedAsync(ct))
        {
            try
            {
                if (await contexts.GetAsync(number, ct) is { MapReduce: not null } job)
                {
                    await objects.Hub.DiscardAllAsync(objects.ShuffleFolder(job.Id), ct);
                    await DeleteFolderAsync(objects.Hub, objects.ShuffleFolder(job.Id), ct);
                    var (store, folder) = objects.Result(job);
                    await store.DiscardAllAsync(folder, ct);
                    if (!succeeded)
                    {
                        await DeleteFolderAsync(store, folder, ct);
                    }
                }
                else if (await contexts.GetAsync(number, ct) is { Analysis: { } analysis })
                {
                    await objects.Hub.DiscardAllAsync(objects.Analysis(analysis.Analysis), ct);
                }

                await using var done = database.CreateCommand("UPDATE job SET cleanup = false WHERE number = $1");
                done.Parameters.AddWithValue(number);
                await done.ExecuteNonQueryAsync(ct);
            }
            catch (Exception fault) when (fault is StoreException or IOException)
            {
                EngineLog.JobStepFailed(logger, "clean-up", number, fault.Message);
            }
        }

        await using var logs = database.CreateCommand("""
            DELETE FROM live_log g WHERE at < clock_timestamp() - interval '5 seconds' AND NOT EXISTS (SELECT FROM live l WHERE l.task_id = g.task_id AND l.token = g.token)
            """);
        await logs.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Removes what belongs to no job: uploads cut off with their host, and proofs that no worker came for.</summary>
    public async Task RemoveLeftoversAsync(CancellationToken ct)
    {
        await artifacts.SweepAsync(clock.GetUtcNow() - TimeSpan.FromDays(1), ct);
        if (storage.Value is not { Kind: StorageKind.Files, Root: { } root }) return;
        var folder = new DirectoryInfo(Path.Combine(root, WorkerSessions.ProofFolder));
        if (!folder.Exists) return;
        foreach (var file in folder.EnumerateFiles(WorkerSessions.ProofPrefix + "*"))
        {
            if (file.LastWriteTimeUtc < clock.GetUtcNow().UtcDateTime - TimeSpan.FromMinutes(10)) file.Delete();
        }
    }

    private async Task<List<(long Number, bool Succeeded)>> EndedAsync(CancellationToken ct)
    {
        // While an attempt of the job still runs (the slower of two, a cancel in its grace) its files are its own.
        await using var command = database.CreateCommand("""
            SELECT number, state = 4 FROM job j WHERE cleanup AND NOT EXISTS (SELECT FROM live WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20)
              AND NOT EXISTS (SELECT FROM discard WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20) ORDER BY number LIMIT 50
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var jobs = new List<(long, bool)>();
        while (await reader.ReadAsync(ct)) jobs.Add((reader.GetInt64(0), reader.GetBoolean(1)));
        return jobs;
    }

    private async Task DiscardAsync(CancellationToken ct)
    {
        var rows = new List<(long TaskId, Guid Token, int Attempt, string? UploadId, bool Won)>();
        await using (var command = database.CreateCommand("""
            SELECT d.task_id, d.token, d.attempt, u.upload_id, EXISTS (SELECT FROM task t WHERE t.id = d.task_id AND t.winner = d.token)
            FROM (SELECT * FROM discard WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT 500) d LEFT JOIN upload u ON u.token = d.token
            """))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
                rows.Add((reader.GetInt64(0), reader.GetGuid(1), reader.GetInt32(2), reader.IsDBNull(3) ? null : reader.GetString(3), reader.GetBoolean(4)));
        }

        if (rows.Count == 0) return;
        var jobs = await contexts.GetAsync([.. rows.Select(r => TaskLayout.NumberOf(r.TaskId)).Distinct()], ct);
        var done = new List<Guid>();
        foreach (var row in rows)
        {
            try
            {
                if (!row.Won && jobs.TryGetValue(TaskLayout.NumberOf(row.TaskId), out var job) && objects.Output(job, row.TaskId, row.Attempt) is { } output)
                {
                    await output.Store.DiscardAsync(output.Path, row.Token, row.UploadId, ct);
                    if (job.Layout.Of(row.TaskId).Kind == TaskKind.Map) await output.Store.DeleteAsync([output.Path], ct);
                }

                done.Add(row.Token);
            }
            catch (Exception fault) when (fault is StoreException or IOException)
            {
                EngineLog.JobStepFailed(logger, "discard", TaskLayout.NumberOf(row.TaskId), fault.Message);
            }
        }

        await using var forget = database.CreateCommand("""
            WITH gone AS (DELETE FROM discard WHERE token = ANY($1)), uploads AS (DELETE FROM upload WHERE token = ANY($1)),
            captured AS (DELETE FROM captured_file c WHERE c.token = ANY($1) RETURNING c.object),
            unwanted AS (UPDATE file_garbage g SET due_at = clock_timestamp() FROM captured c WHERE g.object = c.object)
            UPDATE discard SET due_at = clock_timestamp() + interval '10 seconds' WHERE token = ANY($2)
            """);
        forget.Parameters.AddWithValue(done.ToArray());
        forget.Parameters.AddWithValue(rows.Select(r => r.Token).Except(done).ToArray());
        await forget.ExecuteNonQueryAsync(ct);
    }

    private static async Task DeleteFolderAsync(IObjectStore store, ObjectPath folder, CancellationToken ct)
    {
        var page = new List<ObjectPath>(Page);
        await foreach (var found in store.ListAsync(folder, ct))
        {
            page.Add(folder with { Key = found.Key });
            if (page.Count < Page) continue;
            await store.DeleteAsync(page, ct);
            page.Clear();
        }

        if (page.Count > 0) await store.DeleteAsync(page, ct);
    }
}
