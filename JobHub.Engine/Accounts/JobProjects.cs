using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Accounts;

/// <summary>Which project a job is of.</summary>
public sealed class JobProjects(NpgsqlDataSource database)
{
    /// <summary>A job's project; null when there is no such job.</summary>
    public async Task<string?> OfAsync(JobId job, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT project FROM job WHERE id = $1");
        command.Parameters.AddWithValue(job.Value);
        return (string?)await command.ExecuteScalarAsync(ct);
    }

    /// <summary>The projects of jobs of trees, by number; without those that are not there.</summary>
    public async Task<Dictionary<long, string>> OfAsync(IReadOnlyCollection<long> jobs, CancellationToken ct)
    {
        var statement = new NpgsqlBatchCommand("SELECT n.number, j.project FROM unnest($1::bigint[]) AS n(number) CROSS JOIN LATERAL (SELECT * FROM job WHERE job.number = n.number OFFSET 0) j");
        statement.Parameters.Add(new() { Value = jobs.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        var found = new Dictionary<long, string>(jobs.Count);
        while (await reader.ReadAsync(ct)) found[reader.GetInt64(0)] = reader.GetString(1);
        return found;
    }
}
