using JobHub.Engine.Accounts;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Projects;

/// <summary>Projects and their members. Who may see or change which is <see cref="ProjectRights"/>.</summary>
public sealed class ProjectStore(NpgsqlDataSource database)
{
    private const string Columns = "p.id, p.name, p.description, p.visibility = 1, p.created_at, EXISTS (SELECT FROM project_member m WHERE m.project = p.id AND m.account = $1)";

    /// <summary>The accounts of these names, and the first name that none has.</summary>
    public async Task<(long[] Accounts, string? Unknown)> AccountsAsync(IReadOnlyCollection<string> names, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(names);
        if (names.Count == 0) return ([], null);
        await using var command = database.CreateCommand("""
            SELECT n.name, (SELECT a.number FROM account a WHERE a.name = n.name) FROM unnest($1::text[]) WITH ORDINALITY AS n(name, place) ORDER BY n.place
            """);
        command.Parameters.AddWithValue(names.ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        var accounts = new HashSet<long>();
        while (await reader.ReadAsync(ct))
        {
            if (reader.IsDBNull(1)) return ([], reader.GetString(0));
            accounts.Add(reader.GetInt64(1));
        }

        return ([.. accounts], null);
    }

    /// <summary>A new project's id.</summary>
    /// <param name="members">The creator too, when he has an account.</param>
    public async Task<string> CreateAsync(string name, string description, bool isPublic, long? creator, long[] members, CancellationToken ct)
    {
        var id = Guid.CreateVersion7().ToString("D");
        await using var command = database.CreateCommand("""
            WITH made AS (INSERT INTO project (id, name, description, visibility, created_by) VALUES ($1, $2, $3, $4, $5))
            INSERT INTO project_member (project, account) SELECT $1, unnest($6::bigint[])
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(name);
        command.Parameters.AddWithValue(description);
        command.Parameters.AddWithValue((short)(isPublic ? 1 : 0));
        command.Parameters.Add(new() { Value = (object?)creator ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
        command.Parameters.AddWithValue(members);
        await command.ExecuteNonQueryAsync(ct);
        return id;
    }

    /// <summary>A page, oldest first.</summary>
    /// <param name="readable">Those that the caller may see; null = all.</param>
    public async Task<List<ProjectView>> ListAsync(string[]? readable, long account, long page, int size, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"SELECT {Columns} FROM project p WHERE $2::text[] IS NULL OR p.id = ANY($2) ORDER BY p.created_at, p.id LIMIT $3 OFFSET $4");
        command.Parameters.AddWithValue(account);
        command.Parameters.Add(new() { Value = (object?)readable ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        command.Parameters.AddWithValue(size);
        command.Parameters.AddWithValue(page * size);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var list = new List<ProjectView>();
        while (await reader.ReadAsync(ct)) list.Add(Read(reader));
        return list;
    }

    public async Task<ProjectView?> GetAsync(string project, long account, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"SELECT {Columns} FROM project p WHERE p.id = $2");
        command.Parameters.AddWithValue(account);
        command.Parameters.AddWithValue(project);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>The names of the members, by name.</summary>
    public async Task<List<string>> MembersAsync(string project, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT a.name FROM project_member m CROSS JOIN LATERAL (SELECT name FROM account WHERE number = m.account OFFSET 0) a WHERE m.project = $1 ORDER BY a.name
            """);
        command.Parameters.AddWithValue(project);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var names = new List<string>();
        while (await reader.ReadAsync(ct)) names.Add(reader.GetString(0));
        return names;
    }

    /// <summary>Changes what is not null. False when there is no such project.</summary>
    public async Task<bool> ChangeAsync(string project, string? name, string? description, bool? isPublic, long[]? members, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using (var command = new NpgsqlCommand("UPDATE project SET name = coalesce($2, name), description = coalesce($3, description), visibility = coalesce($4, visibility) WHERE id = $1", connection))
        {
            command.Parameters.AddWithValue(project);
            command.Parameters.Add(new() { Value = (object?)name ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
            command.Parameters.Add(new() { Value = (object?)description ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
            command.Parameters.Add(new() { Value = isPublic is { } open ? (short)(open ? 1 : 0) : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Smallint });
            if (await command.ExecuteNonQueryAsync(ct) == 0) return false;
        }

        if (members is not null)
        {
            await using var drop = new NpgsqlCommand("DELETE FROM project_member WHERE project = $1 AND account <> ALL($2)", connection);
            drop.Parameters.AddWithValue(project);
            drop.Parameters.AddWithValue(members);
            await drop.ExecuteNonQueryAsync(ct);
            await using var add = new NpgsqlCommand("INSERT INTO project_member (project, account) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING", connection);
            add.Parameters.AddWithValue(project);
            add.Parameters.AddWithValue(members);
            await add.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        return true;
    }

    /// <summary>False when nobody has this name.</summary>
    public async Task<bool> AddMemberAsync(string project, string name, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH who AS (SELECT number FROM account WHERE name = $2),
            added AS (INSERT INTO project_member (project, account) SELECT p.id, who.number FROM who JOIN project p ON p.id = $1 ON CONFLICT DO NOTHING)
            SELECT count(*) FROM who
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(name);
        return (long)(await command.ExecuteScalarAsync(ct))! == 1;
    }

    /// <summary>False when he is no member.</summary>
    public async Task<bool> RemoveMemberAsync(string project, string name, CancellationToken ct)
    {
        await using var command = database.CreateCommand("DELETE FROM project_member WHERE project = $1 AND account = (SELECT number FROM account WHERE name = $2)");
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(name);
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>
    /// Removes a project: from now on nobody sees it. Its jobs are canceled and what it holds is removed by <see cref="ProjectRemoval"/>. False when there is none, or it is the default one.
    /// </summary>
    public async Task<bool> DeleteAsync(string project, string caller, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH gone AS (DELETE FROM project WHERE id = $1 AND id <> $3 RETURNING id) INSERT INTO project_garbage (project, caller) SELECT id, $2 FROM gone
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(caller);
        command.Parameters.AddWithValue(ProjectRights.Default);
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    internal static ProjectView Read(NpgsqlDataReader reader) => new(
        reader.GetString(0), reader.GetString(1), reader.GetString(2), reader.GetBoolean(3), reader.GetFieldValue<DateTimeOffset>(4), reader.GetBoolean(5));
}
