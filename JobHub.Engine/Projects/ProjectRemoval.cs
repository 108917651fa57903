using JobHub.Engine.Jobs;
using Npgsql;

namespace JobHub.Engine.Projects;

/// <summary>
/// Removes what deleted projects and datasets leave: jobs that run, files, datasets, rows of revisions that no dataset points to. In chunks, each a transaction of its own; idempotent,
/// and several may do it at once. Objects go by way of <c>file_garbage</c>.
/// </summary>
public sealed class ProjectRemoval(NpgsqlDataSource database, DatasetStore datasets, JobService jobs)
{
    private const int Chunk = 2000;

    /// <summary>One round.</summary>
    public async Task RemoveAsync(CancellationToken ct)
    {
        foreach (var (project, caller, last) in await ProjectsAsync(ct)) await RemoveProjectAsync(project, caller, last, ct);
        while (await RemoveRevisionsAsync(ct) > 0)
        {
        }
    }

    private async Task<List<(string Project, string Caller, bool Last)>> ProjectsAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT project, caller, last FROM project_garbage WHERE due_at <= clock_timestamp() LIMIT 50");
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<(string, string, bool)>();
        while (await reader.ReadAsync(ct)) list.Add((reader.GetString(0), reader.GetString(1), reader.GetBoolean(2)));
        return list;
    }

    private async Task RemoveProjectAsync(string project, string caller, bool last, CancellationToken ct)
    {
        for (var before = long.MaxValue; await JobsAsync(project, before, ct) is { Count: > 0 } page; before = page[^1].Number)
        {
            foreach (var (_, id, ended) in page)
            {
                if (!ended) await jobs.CancelAsync(new JobId(id), caller, ct);
            }
        }

        while (await ExecuteAsync("""
            DELETE FROM file WHERE (project, job, path) IN (SELECT project, job, path FROM file WHERE project = $1 AND job = 0 LIMIT $2)
            """, ct, project, Chunk) == Chunk)
        {
        }

        while (await datasets.ListAsync(project, 0, 100, ct) is { Count: > 0 } some)
        {
            foreach (var dataset in some) await datasets.DeleteAsync(project, dataset.Id, ct);
        }

        // What was being submitted while the project went is found by the second round.
        if (last) await ExecuteAsync("DELETE FROM project_garbage WHERE project = $1", ct, project);
        else await ExecuteAsync("UPDATE project_garbage SET last = true, due_at = clock_timestamp() + interval '1 minute' WHERE project = $1", ct, project);
    }

    private async Task<List<(long Number, Guid Id, bool Ended)>> JobsAsync(string project, long before, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT number, id, state >= 4 OR cancel_requested_at IS NOT NULL FROM job WHERE project = $1 AND number < $2 ORDER BY number DESC LIMIT $3
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(before);
        command.Parameters.AddWithValue(Chunk);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<(long, Guid, bool)>();
        while (await reader.ReadAsync(ct)) list.Add((reader.GetInt64(0), reader.GetGuid(1), reader.GetBoolean(2)));
        return list;
    }

    private async Task<int> RemoveRevisionsAsync(CancellationToken ct)
    {
        // Doomed first: an upload that comes back to a revision after that is told so, and points no dataset to half of its rows.
        var doomed = new List<(Guid Dataset, int Revision, short Kind)>();
        await using (var command = database.CreateCommand("""
            UPDATE revision_garbage g SET doomed = true FROM (SELECT dataset, revision FROM revision_garbage WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT 20 FOR UPDATE SKIP LOCKED) due
            WHERE g.dataset = due.dataset AND g.revision = due.revision RETURNING g.dataset, g.revision, g.kind
            """))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) doomed.Add((reader.GetGuid(0), reader.GetInt32(1), reader.GetInt16(2)));
        }

        foreach (var (dataset, revision, kind) in doomed)
        {
            var table = kind == 0 ? "profile" : "isolate";
            await using (var command = database.CreateCommand($"SELECT coalesce((SELECT position FROM {table} WHERE dataset = $1 AND revision = $2 ORDER BY position DESC LIMIT 1), -1)"))
            {
                command.Parameters.AddWithValue(dataset);
                command.Parameters.AddWithValue(revision);
                var end = (int)(await command.ExecuteScalarAsync(ct))!;
                for (var from = 0; from <= end; from += Chunk)
                    await ExecuteAsync($"DELETE FROM {table} WHERE dataset = $1 AND revision = $2 AND position >= $3 AND position < $4", ct, dataset, revision, from, from + Chunk);
            }

            while (kind == 1 && await ExecuteAsync("""
                DELETE FROM isolate_count WHERE dataset = $1 AND revision = $2 AND profile IN (SELECT profile FROM isolate_count WHERE dataset = $1 AND revision = $2 LIMIT $3)
                """, ct, dataset, revision, Chunk) == Chunk)
            {
            }

            await ExecuteAsync("DELETE FROM revision_garbage WHERE dataset = $1 AND revision = $2", ct, dataset, revision);
        }

        return doomed.Count;
    }

    // Planned by key: revisions are removed from tables of any size, and a plan outlives the day it was made on.
    private async Task<int> ExecuteAsync(string sql, CancellationToken ct, params object[] values)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = DatasetStore.Keyed(connection, sql, values);
        await batch.ExecuteNonQueryAsync(ct);
        return (int)batch.BatchCommands[1].Rows;
    }
}
