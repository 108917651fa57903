using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Projects;

/// <summary>Datasets with their profiles and isolates, to read, make and remove. Uploads are <see cref="DatasetUpload"/>.</summary>
public sealed class DatasetStore(NpgsqlDataSource database)
{
    private const int Chunk = 500;

    public async Task<Guid> CreateAsync(string project, string description, CancellationToken ct)
    {
        var id = Guid.CreateVersion7();
        await using var command = database.CreateCommand("INSERT INTO dataset (id, project, description) VALUES ($1, $2, $3)");
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(description);
        await command.ExecuteNonQueryAsync(ct);
        return id;
    }

    /// <summary>Null when the project has no such dataset.</summary>
    public async Task<DatasetView?> GetAsync(string project, Guid id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT id, description, created_at, loci, profiles, isolates FROM dataset WHERE id = $1 AND project = $2");
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(project);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>A page, oldest first, without the names of the loci.</summary>
    public async Task<List<DatasetView>> ListAsync(string project, long page, int size, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT id, description, created_at, '{}'::text[], profiles, isolates FROM dataset WHERE project = $1 ORDER BY created_at, id LIMIT $2 OFFSET $3
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(size);
        command.Parameters.AddWithValue(page * size);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<DatasetView>();
        while (await reader.ReadAsync(ct)) list.Add(Read(reader));
        return list;
    }

    /// <summary>The numbers of the jobs that still work on it.</summary>
    public async Task<List<Guid>> RunningJobsAsync(Guid id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT j.id FROM analysis a CROSS JOIN LATERAL (SELECT id FROM job WHERE number = a.job AND state < 4 OFFSET 0) j WHERE a.dataset = $1 AND a.made_at IS NULL LIMIT 10000
            """);
        command.Parameters.AddWithValue(id);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var jobs = new List<Guid>();
        while (await reader.ReadAsync(ct)) jobs.Add(reader.GetGuid(0));
        return jobs;
    }

    /// <summary>Removes a dataset with what was worked out from it. Its rows and objects are removed by upkeep. False when there is none.</summary>
    public async Task<bool> DeleteAsync(string project, Guid id, CancellationToken ct)
    {
        // In chunks, visualizations before their inferences: the row itself would take all of them with it in one statement.
        foreach (var kind in (short[])[1, 0])
        {
            while (true)
            {
                await using var some = database.CreateCommand("""
                    DELETE FROM analysis WHERE id IN (
                        SELECT a.id FROM dataset d CROSS JOIN LATERAL (SELECT id FROM analysis WHERE dataset = d.id AND kind = $3 LIMIT $4) a WHERE d.id = $1 AND d.project = $2)
                    """);
                some.Parameters.AddWithValue(id);
                some.Parameters.AddWithValue(project);
                some.Parameters.AddWithValue(kind);
                some.Parameters.AddWithValue(Chunk);
                if (await some.ExecuteNonQueryAsync(ct) < Chunk) break;
            }
        }

        await using var command = database.CreateCommand("DELETE FROM dataset WHERE id = $1 AND project = $2");
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(project);
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>A page of profiles in the order of the file; null when the project has no such dataset. One statement, so all of one revision.</summary>
    public async Task<List<ProfileView>?> ProfilesAsync(string project, Guid id, long page, int size, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = Keyed(connection, """
            SELECT p.id, coalesce((SELECT isolates FROM isolate_count c WHERE c.dataset = d.id AND c.revision = d.isolates_revision AND c.profile = p.id), 0), p.alleles
            FROM (SELECT * FROM dataset WHERE id = $1 AND project = $2) d
            LEFT JOIN LATERAL (SELECT * FROM profile WHERE dataset = d.id AND revision = d.revision AND position >= $3 AND position < $4 ORDER BY position OFFSET 0) p ON true
            """, id, project, FirstOf(page, size), FirstOf(page + 1, size));
        await using var reader = await ReadAsync(batch, ct);
        List<ProfileView>? list = null;
        while (await reader.ReadAsync(ct))
        {
            list ??= [];
            if (!reader.IsDBNull(0)) list.Add(new(reader.GetString(0), reader.GetInt32(1), reader.GetString(2)));
        }

        return list;
    }

    /// <summary>One profile, or null.</summary>
    public async Task<ProfileView?> ProfileAsync(string project, Guid id, string profile, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = Keyed(connection, """
            SELECT p.id, coalesce((SELECT isolates FROM isolate_count c WHERE c.dataset = d.id AND c.revision = d.isolates_revision AND c.profile = p.id), 0), p.alleles
            FROM (SELECT * FROM dataset WHERE id = $1 AND project = $2) d
            CROSS JOIN LATERAL (SELECT * FROM profile WHERE dataset = d.id AND revision = d.revision AND id = $3 OFFSET 0) p
            """, id, project, profile);
        await using var reader = await ReadAsync(batch, ct);
        return await reader.ReadAsync(ct) ? new(reader.GetString(0), reader.GetInt32(1), reader.GetString(2)) : null;
    }

    /// <summary>A page of isolates in the order of the file; null when the project has no such dataset.</summary>
    public async Task<List<IsolateView>?> IsolatesAsync(string project, Guid id, long page, int size, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = Keyed(connection, """
            SELECT i.id, i.profile FROM (SELECT * FROM dataset WHERE id = $1 AND project = $2) d
            LEFT JOIN LATERAL (SELECT * FROM isolate WHERE dataset = d.id AND revision = d.isolates_revision AND position >= $3 AND position < $4 ORDER BY position OFFSET 0) i ON true
            """, id, project, FirstOf(page, size), FirstOf(page + 1, size));
        await using var reader = await ReadAsync(batch, ct);
        List<IsolateView>? list = null;
        while (await reader.ReadAsync(ct))
        {
            list ??= [];
            if (!reader.IsDBNull(0)) list.Add(new(reader.GetString(0), reader.GetString(1)));
        }

        return list;
    }

    /// <summary>A statement that reaches its rows by key, whatever the tables held when it was planned.</summary>
    internal static NpgsqlBatch Keyed(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> values) => Batch(connection, KeyedPlans.Sql, sql, values);

    /// <summary>The same of a statement whose order says which index it is.</summary>
    internal static NpgsqlBatch Ordered(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> values) => Batch(connection, KeyedPlans.OrderedSql, sql, values);

    private static NpgsqlBatch Batch(NpgsqlConnection connection, string plans, string sql, ReadOnlySpan<object> values)
    {
        var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(new(plans));
        var statement = new NpgsqlBatchCommand(sql);
        foreach (var value in values) statement.Parameters.Add(new() { Value = value });
        batch.BatchCommands.Add(statement);
        return batch;
    }

    /// <summary>The rows of <see cref="Keyed"/>.</summary>
    internal static async Task<NpgsqlDataReader> ReadAsync(NpgsqlBatch batch, CancellationToken ct)
    {
        var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        return reader;
    }

    private static int FirstOf(long page, int size) => (int)Math.Min(int.MaxValue, page * size);

    private static DatasetView Read(NpgsqlDataReader reader) =>
        new(reader.GetGuid(0), reader.GetString(1), reader.GetFieldValue<DateTimeOffset>(2), reader.GetFieldValue<string[]>(3), reader.GetInt32(4), reader.GetInt32(5));
}
