using System.Runtime.CompilerServices;
using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using JobHub.Engine.Protocol;
using Npgsql;

namespace JobHub.Engine.Artifacts;

/// <summary>A job that was submitted with a version of a program.</summary>
/// <param name="Role">mapper, reducer or combiner; of several the first.</param>
public sealed record ArtifactUse(Guid Job, long Number, string? Title, string Project, JobState State, string Role, DateTimeOffset CreatedAt);

/// <summary>Reads of programs for people who look for one: by a part of the name, with their versions and who uses them.</summary>
public sealed class ArtifactHistory(NpgsqlDataSource database)
{
    // Rows looked at for one answer: what a caller may not see of them is left out afterwards.
    private const int LookedAt = 500;

    private const string UsesSql = """
        SELECT id, number, title, project, CASE WHEN state >= 4 THEN state WHEN stop = 1 THEN 3 WHEN paused THEN 2 WHEN started_at IS NOT NULL THEN 1 ELSE state END, min(role), created_at FROM (
            SELECT j.*, r.role FROM unnest(ARRAY[1, 2, 3]) AS r(role) CROSS JOIN LATERAL (
                (SELECT * FROM job m WHERE r.role = 1 AND m.family = 0 AND m.details #>> '{mapper,hash}' = $1 AND m.details #>> '{mapper,name}' = $2 AND m.number < $3 ORDER BY m.number DESC LIMIT $4)
                UNION ALL
                (SELECT * FROM job m WHERE r.role = 2 AND m.family = 0 AND m.details #>> '{reducer,hash}' = $1 AND m.details #>> '{reducer,name}' = $2 AND m.number < $3 ORDER BY m.number DESC LIMIT $4)
                UNION ALL
                (SELECT * FROM job m WHERE r.role = 3 AND m.family = 0 AND m.details ? 'combiner' AND m.details #>> '{combiner,hash}' = $1 AND m.details #>> '{combiner,name}' = $2 AND m.number < $3 ORDER BY m.number DESC LIMIT $4)) j
            WHERE j.deleted_at IS NULL) found
        GROUP BY id, number, title, project, state, stop, paused, started_at, created_at ORDER BY number DESC LIMIT $4
        """;

    /// <summary>Programs in their current version, by name, whose name holds a text.</summary>
    /// <param name="after">The name it begins behind.</param>
    public async IAsyncEnumerable<Artifact> SearchAsync(string? text, string? after, int limit, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT DISTINCT ON (name) name, version, type, size, hash, created_at FROM artifact
            WHERE deleted_at IS NULL AND name > $1 AND strpos(lower(name), lower($2)) > 0 ORDER BY name, version DESC LIMIT $3
            """);
        command.Parameters.AddWithValue(after ?? "");
        command.Parameters.AddWithValue(text ?? "");
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return ArtifactStore.Read(reader);
    }

    /// <summary>A program's versions, newest first; none when there is no such name.</summary>
    /// <param name="before">Only older ones than this.</param>
    public async Task<List<Artifact>> VersionsAsync(string name, int before, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(name);
        var versions = new List<Artifact>();
        if (name.Contains('\0')) return versions;
        await using var command = database.CreateCommand("""
            SELECT name, version, type, size, hash, created_at FROM artifact WHERE name = $1 AND version < $2 AND deleted_at IS NULL ORDER BY version DESC LIMIT $3
            """);
        command.Parameters.AddWithValue(name);
        command.Parameters.AddWithValue(before);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) versions.Add(ArtifactStore.Read(reader));
        return versions;
    }

    /// <summary>One version, or null.</summary>
    public async Task<Artifact?> VersionAsync(string name, int version, CancellationToken ct)
    {
        var found = await VersionsAsync(name, version == int.MaxValue ? version : version + 1, 1, ct);
        return found is [var artifact] && artifact.Version == version ? artifact : null;
    }

    /// <summary>Jobs that were submitted with a version, newest first: those before a number. Few are looked at, by an index of their own; the last number looked at is the answer's second part, null at the end.</summary>
    /// <param name="projects">Those that the caller may see; null = all, and with <paramref name="onlyUnmade"/> those that nobody made.</param>
    public async Task<(List<ArtifactUse> Uses, long? Next)> UsesAsync(Artifact version, string[]? projects, bool onlyUnmade, long before, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(version);
        var statement = new NpgsqlBatchCommand($"""
            SELECT u.*, u.project = 'default' OR NOT EXISTS (SELECT FROM project p WHERE p.id = u.project) FROM ({UsesSql}) u
            """);
        statement.Parameters.AddWithValue(version.Hash);
        statement.Parameters.AddWithValue(version.Name);
        statement.Parameters.AddWithValue(before);
        statement.Parameters.AddWithValue(LookedAt);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
        var uses = new List<ArtifactUse>();
        long? last = null;
        var seen = 0;
        for (; await reader.ReadAsync(ct); seen++)
        {
            if (uses.Count == limit) return (uses, last);
            last = reader.GetInt64(1);
            var project = reader.GetString(3);
            if (projects?.Contains(project) == false || (onlyUnmade && !reader.GetBoolean(7))) continue;
            uses.Add(new(reader.GetGuid(0), last.Value, reader.IsDBNull(2) ? null : reader.GetString(2), project, (JobState)reader.GetInt32(4),
                reader.GetInt32(5) switch { 1 => "mapper", 2 => "reducer", _ => "combiner" }, reader.GetFieldValue<DateTimeOffset>(6)));
        }

        return (uses, seen == LookedAt ? last : null);
    }
}
