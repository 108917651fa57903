using Npgsql;

namespace JobHub.Engine.Accounts;

/// <summary>What somebody may do in a project.</summary>
public enum ProjectRight
{
    /// <summary>Nothing: for him it is as if it did not exist.</summary>
    None,
    Read,
    Write,
}

/// <summary>What a project is to an account.</summary>
public readonly record struct ProjectStanding(bool Exists, bool IsPublic, bool IsMember);

/// <summary>Who may do what in which project: the only place that reads it.</summary>
public sealed class ProjectRights(NpgsqlDataSource database)
{
    /// <summary>Where submissions without a project go; every member is a member of it.</summary>
    public const string Default = "default";

    // One statement and one row whatever is there, so that a private project takes as long to refuse as none.
    private const string Sql = """
        SELECT p.id IS NOT NULL, coalesce(p.visibility = 1, false), m.project IS NOT NULL
        FROM (SELECT) one LEFT JOIN LATERAL (SELECT * FROM project WHERE id = $1 OFFSET 0) p ON true
        LEFT JOIN LATERAL (SELECT * FROM project_member WHERE project = $1 AND account = $2 OFFSET 0) m ON true
        """;

    public async Task<ProjectStanding> OfAsync(long account, string project, CancellationToken ct)
    {
        await using var command = database.CreateCommand(Sql);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(account);
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return new(reader.GetBoolean(0), reader.GetBoolean(1), reader.GetBoolean(2) || project == Default);
    }

    /// <summary>The projects that an account may read, those of others that are public included.</summary>
    public async Task<string[]> ReadableAsync(long account, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT array_agg(id) FROM (
                SELECT 'default' COLLATE "C" AS id UNION SELECT project FROM project_member WHERE account = $1 UNION SELECT id FROM project WHERE visibility = 1) p
            """);
        command.Parameters.AddWithValue(account);
        return (string[])(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>The projects that a member's account may change.</summary>
    public async Task<string[]> WritableAsync(long account, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT array_agg(id) FROM (SELECT 'default' COLLATE "C" AS id UNION SELECT project FROM project_member WHERE account = $1) p
            """);
        command.Parameters.AddWithValue(account);
        return (string[])(await command.ExecuteScalarAsync(ct))!;
    }
}
