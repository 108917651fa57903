using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What ids of jobs mean.</summary>
public sealed class JobIds(NpgsqlDataSource database)
{
    /// <summary>Number and project of jobs; those that are not there are absent.</summary>
    public async Task<Dictionary<JobId, (long Number, string Project)>> FindAsync(IReadOnlyCollection<JobId> ids, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var statement = new NpgsqlBatchCommand("""
            SELECT j.id, j.number, j.project FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL (SELECT * FROM job WHERE id = i.id OFFSET 0) j WHERE j.deleted_at IS NULL
            """);
        statement.Parameters.AddWithValue(ids.Select(static i => i.Value).ToArray());
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        var found = new Dictionary<JobId, (long, string)>(ids.Count);
        while (await reader.ReadAsync(ct)) found[new(reader.GetGuid(0))] = (reader.GetInt64(1), reader.GetString(2));
        return found;
    }
}
