using JobHub.Engine.Analyses;
using JobHub.Engine.Files;
using JobHub.Engine.Storage;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Projects;

/// <summary>What a dataset is to an analysis.</summary>
public readonly record struct DatasetSize(int Loci, int Profiles);

/// <summary>An inference or a visualization that exists.</summary>
/// <param name="Parameters">What its job was given: a JSON array. Of an uploaded one empty.</param>
/// <param name="Inference">Of a visualization.</param>
/// <param name="Object">Its key in the hub's store.</param>
/// <param name="Profiles">The key of the dataset as it was then.</param>
public sealed record Analysis(Guid Id, Guid Dataset, AnalysisKind Kind, string Algorithm, string Parameters, Guid? Inference, string Object, DateTimeOffset MadeAt, string? Profiles);

/// <summary>The analyses of datasets. One that a job has reserved and not made does not exist here.</summary>
public sealed class AnalysisStore(NpgsqlDataSource database, StoreRegistry stores)
{
    private const string Columns = "SELECT id, dataset, kind, algorithm, parameters::text, inference, object, made_at, profiles FROM analysis";

    /// <summary>How large a dataset of a project is; null when the project has none of this id.</summary>
    public async Task<DatasetSize?> DatasetAsync(string project, Guid dataset, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT cardinality(loci), profiles FROM dataset WHERE id = $1 AND project = $2");
        command.Parameters.AddWithValue(dataset);
        command.Parameters.AddWithValue(project);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? new DatasetSize(reader.GetInt32(0), reader.GetInt32(1)) : null;
    }

    /// <summary>A page of a dataset's inferences, or with <paramref name="inference"/> of its visualizations, oldest first.</summary>
    public async Task<IReadOnlyList<Analysis>> ListAsync(string project, Guid dataset, Guid? inference, long page, int size, CancellationToken ct)
    {
        await using var command = database.CreateCommand(inference is null
            ? $"{Columns} WHERE dataset = $1 AND kind = 0 AND project = $2 AND made_at IS NOT NULL ORDER BY created_at, id OFFSET $3 LIMIT $4"
            : $"{Columns} WHERE inference = $5 AND dataset = $1 AND project = $2 AND made_at IS NOT NULL ORDER BY created_at, id OFFSET $3 LIMIT $4");
        command.Parameters.AddWithValue(dataset);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(page * size);
        command.Parameters.AddWithValue(size);
        if (inference is { } of) command.Parameters.AddWithValue(of);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new List<Analysis>();
        while (await reader.ReadAsync(ct)) found.Add(Read(reader));
        return found;
    }

    /// <summary>An inference of a dataset, or with <paramref name="inference"/> a visualization of that one. Null when it does not exist there.</summary>
    public async Task<Analysis?> FindAsync(string project, Guid dataset, Guid? inference, Guid id, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"{Columns} WHERE id = $1 AND dataset = $2 AND project = $3 AND inference IS NOT DISTINCT FROM $4 AND made_at IS NOT NULL");
        Name(command, project, dataset, inference, id);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>Removes an analysis with what was made of it; upkeep removes the objects. False when it does not exist there.</summary>
    public async Task<bool> DeleteAsync(string project, Guid dataset, Guid? inference, Guid id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("DELETE FROM analysis WHERE id = $1 AND dataset = $2 AND project = $3 AND inference IS NOT DISTINCT FROM $4 AND made_at IS NOT NULL");
        Name(command, project, dataset, inference, id);
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>Makes staged edges an inference of a dataset. Null when the dataset went meanwhile; the bytes are then the caller's to drop.</summary>
    public async Task<Guid?> AddAsync(string project, Guid dataset, string algorithm, StagedFile edges, string profiles, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(edges);
        var id = Guid.CreateVersion7();
        await using var command = database.CreateCommand("""
            WITH made AS (
                INSERT INTO analysis (id, project, dataset, kind, algorithm, parameters, object, made_at, profiles)
                SELECT $1, project, id, 0, $2, '[]', $3, clock_timestamp(), $6 FROM dataset WHERE id = $4 AND project = $5 RETURNING id)
            DELETE FROM file_garbage WHERE object = $3 AND EXISTS (SELECT FROM made)
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(algorithm);
        command.Parameters.AddWithValue(edges.Object);
        command.Parameters.AddWithValue(dataset);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(profiles);
        try
        {
            return await command.ExecuteNonQueryAsync(ct) > 0 ? id : null;
        }
        catch (PostgresException fault) when (fault.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            return null;
        }
    }

    /// <summary>The first of the labels that is no profile of the dataset; null when all are.</summary>
    public async Task<string?> UnknownProfileAsync(Guid dataset, IEnumerable<string> labels, CancellationToken ct)
    {
        foreach (var chunk in labels.Chunk(5000))
        {
            await using var command = database.CreateCommand("""
                SELECT l.id FROM unnest($2::text[]) AS l(id) CROSS JOIN (SELECT revision FROM dataset WHERE id = $1) d
                WHERE (SELECT position FROM profile p WHERE p.dataset = $1 AND p.revision = d.revision AND p.id = l.id) IS NULL LIMIT 1
                """);
            command.Parameters.AddWithValue(dataset);
            command.Parameters.AddWithValue(chunk);
            if (await command.ExecuteScalarAsync(ct) is string unknown) return unknown;
        }

        return null;
    }

    /// <summary>Its lines: see <see cref="AnalysisFiles"/>.</summary>
    public Task<Stream> OpenAsync(Analysis analysis, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(analysis);
        return stores.Hub.OpenReadAsync(new(stores.HubBucket, analysis.Object), 0, null, ct);
    }

    /// <summary>The profiles that it was made of; null when they are not kept any more.</summary>
    public async Task<ProfileTable?> ProfilesAsync(Analysis analysis, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(analysis);
        if (analysis.Profiles is not { } key) return null;
        try
        {
            await using var stream = await stores.Hub.OpenReadAsync(new(stores.HubBucket, key), 0, null, ct);
            return await AnalysisFiles.ReadProfilesAsync(stream, ct);
        }
        catch (StoreException fault) when (fault.Fault == StoreFault.NotFound)
        {
            return null;
        }
    }

    private static void Name(NpgsqlCommand command, string project, Guid dataset, Guid? inference, Guid id)
    {
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(dataset);
        command.Parameters.AddWithValue(project);
        command.Parameters.Add(new() { Value = (object?)inference ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid });
    }

    private static Analysis Read(NpgsqlDataReader reader) => new(reader.GetGuid(0), reader.GetGuid(1), (AnalysisKind)reader.GetInt16(2), reader.GetString(3), reader.GetString(4),
        reader.IsDBNull(5) ? null : reader.GetGuid(5), reader.GetString(6), reader.GetFieldValue<DateTimeOffset>(7), reader.IsDBNull(8) ? null : reader.GetString(8));
}
