using JobHub.Engine.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Projects;

/// <summary>A project in a list: with how many members and datasets it has.</summary>
public sealed record ProjectLine(ProjectView Project, int Members, int Datasets);

/// <summary>A project's jobs by how they stand. Of many the newest alone are counted: <paramref name="More"/>.</summary>
public sealed record ProjectJobs(int Open, int Succeeded, int Failed, int Canceled, bool More);

/// <summary>Reads of projects for people who look for one.</summary>
public sealed class ProjectOverview(NpgsqlDataSource database)
{
    // Of one project, in one walk of its index.
    private const int CountedJobs = 10_000, CountedRows = 10_000;

    /// <summary>A page of the projects whose name holds a text, <c>default</c> first and then the newest.</summary>
    /// <param name="readable">Those that the caller may see; null = all.</param>
    /// <param name="after">The id it begins behind.</param>
    public async Task<List<ProjectLine>> ListAsync(string[]? readable, long account, string? text, string? after, int limit, CancellationToken ct)
    {
        var statement = new NpgsqlBatchCommand($"""
            SELECT p.id, p.name, p.description, p.visibility = 1, p.created_at, EXISTS (SELECT FROM project_member m WHERE m.project = p.id AND m.account = $1),
                   (SELECT count(*) FROM (SELECT FROM project_member m WHERE m.project = p.id LIMIT {CountedRows}) m)::int,
                   (SELECT count(*) FROM (SELECT FROM dataset d WHERE d.project = p.id LIMIT {CountedRows}) d)::int
            FROM (SELECT * FROM project WHERE ($2::text[] IS NULL OR id = ANY($2)) AND ($3::text IS NULL OR id < $3) AND strpos(lower(name), lower($4)) > 0 ORDER BY id DESC LIMIT $5) p
            ORDER BY p.id DESC
            """);
        statement.Parameters.AddWithValue(account);
        statement.Parameters.Add(new() { Value = (object?)readable ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        statement.Parameters.Add(new() { Value = (object?)after ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        statement.Parameters.AddWithValue(text ?? "");
        statement.Parameters.AddWithValue(limit);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct);
        var lines = new List<ProjectLine>();
        while (await reader.ReadAsync(ct)) lines.Add(new(ProjectStore.Read(reader), reader.GetInt32(6), reader.GetInt32(7)));
        return lines;
    }

    /// <summary>How many datasets a project has, counted to ten thousand.</summary>
    public async Task<int> DatasetsAsync(string project, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"SELECT count(*)::int FROM (SELECT FROM dataset WHERE project = $1 LIMIT {CountedRows}) d");
        command.Parameters.AddWithValue(project);
        return (int)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>The newest jobs of a project by how they stand.</summary>
    public async Task<ProjectJobs> JobsAsync(string project, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT count(*) FILTER (WHERE state < 4)::int, count(*) FILTER (WHERE state = 4)::int, count(*) FILTER (WHERE state = 5)::int, count(*) FILTER (WHERE state = 6)::int, count(*) = $2
            FROM (SELECT state FROM job WHERE project = $1 AND parent IS NULL AND deleted_at IS NULL ORDER BY number DESC LIMIT $2) j
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(CountedJobs);
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return new(reader.GetInt32(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt32(3), reader.GetBoolean(4));
    }
}
