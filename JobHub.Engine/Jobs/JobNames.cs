using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>A job as a line about something else names it.</summary>
public sealed record JobName(JobId Id, long Number, string? Title);

/// <summary>Jobs by number.</summary>
public sealed class JobNames(NpgsqlDataSource database)
{
    /// <summary>Those that are there still.</summary>
    public async Task<Dictionary<long, JobName>> OfAsync(IReadOnlyCollection<long> numbers, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(numbers);
        var found = new Dictionary<long, JobName>(numbers.Count);
        if (numbers.Count == 0) return found;
        var statement = new NpgsqlBatchCommand("""
            SELECT j.id, j.number, j.title FROM unnest($1::bigint[]) AS n(number) CROSS JOIN LATERAL (SELECT * FROM job WHERE job.number = n.number AND deleted_at IS NULL OFFSET 0) j
            """);
        statement.Parameters.AddWithValue(numbers.ToArray());
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) found[reader.GetInt64(1)] = new(new(reader.GetGuid(0)), reader.GetInt64(1), reader.IsDBNull(2) ? null : reader.GetString(2));
        return found;
    }
}
