using System.Runtime.CompilerServices;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using Npgsql;

namespace JobHub.Engine.Artifacts;

/// <summary>
/// Uploaded programs: bytes by their hash in the hub's own store, names and versions in Postgres. Bytes are never changed and are kept when a name is deleted,
/// because jobs pin them.
/// </summary>
public sealed class ArtifactStore(NpgsqlDataSource database, StoreRegistry stores)
{
    private const string CurrentColumns = "SELECT DISTINCT ON (name) name, version, type, size, hash, created_at FROM artifact WHERE deleted_at IS NULL";

    /// <summary>Where a program's bytes are in the hub's bucket.</summary>
    public static string KeyOf(string hash) => "artifacts/" + hash;

    /// <summary>The current versions, by name.</summary>
    public async IAsyncEnumerable<Artifact> ListAsync([EnumeratorCancellation] CancellationToken ct)
    {
        await using var command = database.CreateCommand(CurrentColumns + " ORDER BY name, version DESC");
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return Read(reader);
    }

    /// <summary>The current version, or null.</summary>
    public async Task<Artifact?> FindAsync(string name, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(name);
        // Postgres text cannot hold it, and so no name has it.
        if (name.Contains('\0')) return null;
        await using var command = database.CreateCommand(CurrentColumns + " AND name = $1 ORDER BY name, version DESC");
        command.Parameters.AddWithValue(name);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>Takes the bytes of an upload, hashing them on their way. Nothing can be found by name before <see cref="PublishAsync"/>.</summary>
    public Task<StagedContent> StageAsync(Stream content, CancellationToken ct) => StagedContent.TakeAsync(stores.Hub, stores.HubBucket, content, ct);

    /// <summary>Makes staged bytes the current version of a name. The same bytes and type again change nothing.</summary>
    public async Task<Artifact> PublishAsync(string name, ProgramType type, StagedContent staged, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(staged);
        if (!ArtifactName.IsValid(name)) throw new ArgumentException("Not a name for an artifact.", nameof(name));
        await staged.StoreAsync(KeyOf(staged.Hash), ct);
        while (true)
        {
            await using var command = database.CreateCommand("""
                WITH current AS (
                    SELECT version, type, hash FROM artifact WHERE name = $1 AND deleted_at IS NULL ORDER BY version DESC LIMIT 1)
                INSERT INTO artifact (name, version, type, size, hash)
                SELECT $1, (SELECT coalesce(max(version), 0) + 1 FROM artifact WHERE name = $1), $2, $3, $4
                WHERE NOT EXISTS (SELECT FROM current WHERE type = $2 AND hash = $4)
                ON CONFLICT DO NOTHING
                """);
            command.Parameters.AddWithValue(name);
            command.Parameters.AddWithValue((short)type);
            command.Parameters.AddWithValue(staged.Size);
            command.Parameters.AddWithValue(staged.Hash);
            var inserted = await command.ExecuteNonQueryAsync(ct) == 1;
            var current = await FindAsync(name, ct);
            // No row: the same was there already, or another upload of this name took the version's number; then it is tried again.
            if (current is not null && (inserted || (current.Hash == staged.Hash && current.Type == type))) return current;
            if (inserted) return new Artifact(name, 0, type, staged.Size, staged.Hash, default);
        }
    }

    /// <summary>Takes a name away; the bytes stay while jobs may pin them. False when there is no such name.</summary>
    public async Task<bool> DeleteAsync(string name, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Contains('\0')) return false;
        await using var command = database.CreateCommand("UPDATE artifact SET deleted_at = clock_timestamp() WHERE name = $1 AND deleted_at IS NULL");
        command.Parameters.AddWithValue(name);
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>The bytes of a version.</summary>
    public Task<Stream> OpenAsync(Artifact artifact, long offset, long? length, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(artifact);
        return stores.Hub.OpenReadAsync(new ObjectPath(stores.HubBucket, KeyOf(artifact.Hash)), offset, length, ct);
    }

    /// <summary>Removes what uploads left that were cut off with their host, once it is older than any upload may take.</summary>
    public async Task SweepAsync(DateTimeOffset olderThan, CancellationToken ct)
    {
        var left = new List<ObjectPath>();
        await foreach (var found in stores.Hub.ListAsync(new ObjectPath(stores.HubBucket, StagedContent.Prefix), ct))
        {
            if (found.Modified < olderThan) left.Add(new ObjectPath(stores.HubBucket, found.Key));
        }

        if (left.Count > 0) await stores.Hub.DeleteAsync(left, ct);
    }

    internal static Artifact Read(NpgsqlDataReader reader) => new(
        reader.GetString(0), reader.GetInt32(1), (ProgramType)reader.GetInt16(2), reader.GetInt64(3), reader.GetString(4), reader.GetFieldValue<DateTimeOffset>(5));
}
