using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.Testing;
using Npgsql;

namespace JobHub.Benchmarks.Queue;

/// <summary>The jobs that are measured.</summary>
internal static class Work
{
    /// <summary>A job of commands that all run the same line.</summary>
    public static JobSpec Job(int tasks, string command = "true", bool sandbox = true) => new()
    {
        Family = JobFamily.Commands, Details = JsonSerializer.Serialize(new CommandDetails { Command = command, Sandbox = sandbox }, JsonSerializerOptions.Web),
        Tasks = [new TaskGroup(TaskKind.Command, tasks, false)],
    };

    /// <summary>So many jobs of one task.</summary>
    public static async Task SubmitSinglesAsync(JobService jobs, int count, int batch = 5000, string command = "true", bool sandbox = true)
    {
        for (var left = count; left > 0; left -= batch)
            await jobs.SubmitManyAsync([.. Enumerable.Range(0, Math.Min(left, batch)).Select(_ => Job(1, command, sandbox))], "bench", CancellationToken.None);
    }

    /// <summary>Brings the statistics up to date after a bulk load, as autovacuum would have within a minute.</summary>
    public static async Task SettleAsync(NpgsqlDataSource database)
    {
        foreach (var sql in new[] { "VACUUM ANALYZE live", "ANALYZE job", "CHECKPOINT" })
        {
            await using var command = database.CreateCommand(sql);
            command.CommandTimeout = 120;
            await command.ExecuteNonQueryAsync();
        }
    }

    /// <summary>Until every job has ended: folded and stepped, not only reported.</summary>
    public static async Task EndedAsync(NpgsqlDataSource database)
    {
        await using var command = database.CreateCommand("SELECT NOT EXISTS (SELECT FROM job WHERE state < 4)");
        while (await command.ExecuteScalarAsync() is not true) await Task.Delay(20);
    }

    /// <summary>All jobs have succeeded and no row of the queue is left: what was measured was the whole work.</summary>
    public static async Task CheckAsync(NpgsqlDataSource database, long tasks)
    {
        await using var command = database.CreateCommand(
            "SELECT (SELECT count(*) FROM live), (SELECT coalesce(sum(succeeded), 0) FROM job WHERE state = 4), (SELECT count(*) FROM task WHERE state = 4)");
        command.CommandTimeout = 60;
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        var (live, succeeded, ended) = (reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2));
        await reader.CloseAsync();
        if (live == 0 && succeeded == tasks && ended == tasks) return;
        await using var why = database.CreateCommand("SELECT error::text FROM task WHERE error IS NOT NULL LIMIT 1");
        throw new InvalidOperationException($"{live} tasks are left, {succeeded} counted, {ended} ended of {tasks}. {await why.ExecuteScalarAsync()}");
    }
}
