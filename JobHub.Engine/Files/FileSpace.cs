using System.Runtime.CompilerServices;
using JobHub.Engine.Storage;
using Npgsql;

namespace JobHub.Engine.Files;

/// <summary>What a put or removal came to.</summary>
public enum FileChange
{
    Done, NotFound,
    /// <summary>There is a folder of this name.</summary>
    IsFolder,
    /// <summary>A part of the path is a file.</summary>
    BelowFile,
}

/// <summary>
/// Files by path: one space a project (the newest of each path, whoever made it), and one tree a job (what it was given and what it left).
/// Two jobs may leave <c>/a</c> and <c>/a/b</c>: nothing is lost for that, the space then has a file and a folder of one name.
/// </summary>
public sealed class FileSpace(NpgsqlDataSource database, StoreRegistry stores)
{
    /// <summary>The job number of a project's own space.</summary>
    public const long Space = 0;

    private const int Page = 1000;

    /// <summary>From one entry to the next: each step is one probe of the index, however many files a folder below has.</summary>
    private const string ListSql = """
        WITH RECURSIVE step AS (
            (SELECT path, object, size, executable, modified_at, maker FROM file WHERE project = $1 AND job = $2 AND path >= $4 AND path < $5 ORDER BY path LIMIT 1)
            UNION ALL
            SELECT n.path, n.object, n.size, n.executable, n.modified_at, n.maker FROM step s
            CROSS JOIN LATERAL (SELECT strpos(substr(s.path, char_length($3) + 1), '/') AS slash) c
            CROSS JOIN LATERAL (
                SELECT f.path, f.object, f.size, f.executable, f.modified_at, f.maker FROM file f WHERE f.project = $1 AND f.job = $2 AND f.path < $5 AND starts_with(s.path, $7)
                  AND f.path >= CASE WHEN c.slash > 0 THEN $3 || substr(s.path, char_length($3) + 1, c.slash - 1) || '0' ELSE s.path || chr(1) END
                ORDER BY f.path LIMIT 1) n)
        SELECT path, object, size, executable, modified_at, maker FROM step WHERE starts_with(path, $7) LIMIT $6
        """;

    private const string SpaceUpsert = """
        ON CONFLICT (project, job, path) DO UPDATE
        SET object = excluded.object, size = excluded.size, executable = excluded.executable, maker = excluded.maker, modified_at = clock_timestamp()
        """;

    /// <summary>Files of a new job: into its tree, and those that came with it into the project's space. In the submission's transaction.</summary>
    internal static async Task PlaceAsync(NpgsqlConnection connection, string project, long job, IReadOnlyList<JobFile> files, CancellationToken ct)
    {
        if (files.Count == 0) return;
        await using var command = new NpgsqlCommand($"""
            WITH f AS MATERIALIZED (SELECT * FROM unnest($3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::boolean[]) AS u(path, object, size, executable, uploaded)),
            kept AS (DELETE FROM file_garbage g USING f WHERE f.uploaded AND g.object = f.object RETURNING g.object),
            own AS (INSERT INTO file (project, job, path, object, size, executable) SELECT $1, $2, path, object, size, executable FROM f),
            space AS (INSERT INTO file (project, job, path, object, size, executable, maker) SELECT $1, 0, path, object, size, executable, $2 FROM f WHERE uploaded ORDER BY path {SpaceUpsert})
            SELECT count(*) FROM kept
            """, connection);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(job);
        command.Parameters.AddWithValue(files.Select(f => f.Path.Value).ToArray());
        command.Parameters.AddWithValue(files.Select(f => f.Object).ToArray());
        command.Parameters.AddWithValue(files.Select(f => f.Size).ToArray());
        command.Parameters.AddWithValue(files.Select(f => f.Executable).ToArray());
        command.Parameters.AddWithValue(files.Select(f => f.Uploaded).ToArray());
        var kept = (long)(await command.ExecuteScalarAsync(ct))!;
        if (kept != files.Count(f => f.Uploaded)) throw new StoreException(StoreFault.NotFound, "The upload took over a day; its bytes were given up.", transient: false);
    }

    /// <summary>What an attempt sent of its tree becomes the job's and the project's newest. $1 = the attempt's token; in the transaction that ends the task.</summary>
    internal const string PublishSql = $"""
        WITH took AS (DELETE FROM captured_file WHERE token = $1 RETURNING task_id, path, object, size, executable),
        kept AS (DELETE FROM file_garbage g USING took t WHERE g.object = t.object),
        placed AS MATERIALIZED (SELECT j.project, j.number, t.path, t.object, t.size, t.executable FROM took t JOIN job j ON j.number = t.task_id >> 20 ORDER BY t.path),
        own AS (INSERT INTO file (project, job, path, object, size, executable, maker) SELECT project, number, path, object, size, executable, number FROM placed {SpaceUpsert})
        INSERT INTO file (project, job, path, object, size, executable, maker) SELECT project, 0, path, object, size, executable, number FROM placed {SpaceUpsert}
        """;

    /// <summary>A file, or null.</summary>
    public async Task<StoredFile?> FindAsync(string project, long job, FilePath path, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT path, object, size, executable, modified_at FROM file WHERE project = $1 AND job = $2 AND path = $3");
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(job);
        command.Parameters.AddWithValue(path.Value);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>Files by path, from a place on: of a job's tree, or below a folder of the space.</summary>
    public async Task<List<StoredFile>> PageAsync(string project, long job, FilePath folder, string? after, int limit, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT path, object, size, executable, modified_at FROM file WHERE project = $1 AND job = $2 AND path >= $3 AND path < $4 AND path > $5 ORDER BY path LIMIT $6
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(job);
        command.Parameters.AddWithValue(folder.FolderPrefix);
        command.Parameters.AddWithValue(EndOf(folder));
        command.Parameters.AddWithValue(after ?? "");
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var files = new List<StoredFile>();
        while (await reader.ReadAsync(ct)) files.Add(Read(reader));
        return files;
    }

    /// <summary>Whether anything is below a folder. The root is always there.</summary>
    public async Task<bool> HasFolderAsync(string project, long job, FilePath folder, CancellationToken ct) =>
        folder.IsRoot || (await PageAsync(project, job, folder, null, 1, ct)).Count > 0;

    /// <summary>The top level of a folder, by the order of bytes; streamed in pages.</summary>
    /// <param name="after">The <see cref="FolderEntry.Place"/> it begins behind.</param>
    /// <param name="size">Entries of a page.</param>
    public async IAsyncEnumerable<FolderEntry> ListAsync(string project, long job, FilePath folder, [EnumeratorCancellation] CancellationToken ct, string? after = null, int size = Page)
    {
        await foreach (var (entry, _) in LevelAsync(project, job, folder, "", after, size, ct)) yield return entry;
    }

    /// <summary>The files in a folder, none of those in folders of it, whose names begin so; streamed in pages.</summary>
    public async IAsyncEnumerable<StoredFile> FilesAsync(string project, long job, FilePath folder, string beginning, [EnumeratorCancellation] CancellationToken ct)
    {
        await foreach (var (_, file) in LevelAsync(project, job, folder, beginning, null, Page, ct))
        {
            if (file is not null) yield return file;
        }
    }

    private async IAsyncEnumerable<(FolderEntry Entry, StoredFile? File)> LevelAsync(string project, long job, FilePath folder, string beginning, string? after, int size, [EnumeratorCancellation] CancellationToken ct)
    {
        var prefix = folder.FolderPrefix;
        for (var from = prefix + (after is null ? beginning : Behind(after)); ;)
        {
            var count = 0;
            var page = new List<(FolderEntry Entry, StoredFile? File)>();
            await using (var command = database.CreateCommand(ListSql))
            {
                command.Parameters.AddWithValue(project);
                command.Parameters.AddWithValue(job);
                command.Parameters.AddWithValue(prefix);
                command.Parameters.AddWithValue(from);
                command.Parameters.AddWithValue(EndOf(folder));
                command.Parameters.AddWithValue(size);
                command.Parameters.AddWithValue(prefix + beginning);
                await using var reader = await command.ExecuteReaderAsync(ct);
                for (; await reader.ReadAsync(ct); count++)
                {
                    var path = reader.GetString(0);
                    var slash = path.IndexOf('/', prefix.Length);
                    page.Add(slash >= 0 ? (new(path[prefix.Length..slash], true, null, null), null)
                        : (new(path[prefix.Length..], false, reader.GetInt64(2), reader.GetFieldValue<DateTimeOffset>(4), reader.IsDBNull(5) ? null : reader.GetInt64(5)), Read(reader)));
                    from = prefix + Behind(page[^1].Entry.Place);
                }
            }

            foreach (var entry in page) yield return entry;
            if (count < size) yield break;
        }
    }

    /// <summary>Makes staged bytes the file of a path.</summary>
    public async Task<FileChange> PutAsync(string project, FilePath path, StagedFile staged, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(staged);
        if (path.IsRoot || await HasFolderAsync(project, Space, path, ct)) return FileChange.IsFolder;
        await using var command = database.CreateCommand($"""
            WITH above AS (SELECT FROM file WHERE project = $1 AND job = 0 AND path = ANY($6) LIMIT 1),
            kept AS (DELETE FROM file_garbage WHERE object = $3 AND NOT EXISTS (SELECT FROM above) RETURNING object)
            INSERT INTO file (project, job, path, object, size, executable) SELECT $1, 0, $2, object, $4, $5 FROM kept {SpaceUpsert}
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(path.Value);
        command.Parameters.AddWithValue(staged.Object);
        command.Parameters.AddWithValue(staged.Size);
        command.Parameters.AddWithValue(staged.Executable);
        command.Parameters.AddWithValue(Ancestors(path));
        return await command.ExecuteNonQueryAsync(ct) == 1 ? FileChange.Done : FileChange.BelowFile;
    }

    /// <summary>Removes a file, or with <paramref name="recursive"/> all files below a folder, in chunks.</summary>
    /// <param name="asFolder">The folder is meant, also where a file has the same name.</param>
    public async Task<FileChange> RemoveAsync(string project, FilePath path, bool asFolder, bool recursive, CancellationToken ct)
    {
        if (!asFolder) await using (var command = database.CreateCommand("DELETE FROM file WHERE project = $1 AND job = 0 AND path = $2"))
        {
            command.Parameters.AddWithValue(project);
            command.Parameters.AddWithValue(path.Value);
            if (await command.ExecuteNonQueryAsync(ct) == 1) return FileChange.Done;
        }

        if (!await HasFolderAsync(project, Space, path, ct)) return FileChange.NotFound;
        if (!recursive) return FileChange.IsFolder;
        while (true)
        {
            await using var chunk = database.CreateCommand("""
                DELETE FROM file WHERE project = $1 AND job = 0 AND path IN (
                    SELECT path FROM file WHERE project = $1 AND job = 0 AND path >= $2 AND path < $3 ORDER BY path LIMIT 2000)
                """);
            chunk.Parameters.AddWithValue(project);
            chunk.Parameters.AddWithValue(path.FolderPrefix);
            chunk.Parameters.AddWithValue(EndOf(path));
            if (await chunk.ExecuteNonQueryAsync(ct) < 2000) return FileChange.Done;
        }
    }

    /// <summary>A file's bytes.</summary>
    public Task<Stream> OpenAsync(StoredFile file, long offset, long? length, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(file);
        return stores.Hub.OpenReadAsync(new ObjectPath(stores.HubBucket, file.Object), offset, length, ct);
    }

    // '0' is the character after '/': everything below a folder is before it. NUL cannot be in a path: a file's next is just behind it.
    private static string Behind(string? place) => place is null ? "" : place.EndsWith('/') ? place[..^1] + "0" : place + "\u0001";

    private static string EndOf(FilePath folder) => folder.FolderPrefix[..^1] + "0";

    private static string[] Ancestors(FilePath path)
    {
        var all = new List<string>();
        for (var slash = path.Value.LastIndexOf('/'); slash > 0; slash = path.Value.LastIndexOf('/', slash - 1)) all.Add(path.Value[..slash]);
        return [.. all];
    }

    private static StoredFile Read(NpgsqlDataReader reader) => new(
        FilePath.Known(reader.GetString(0)), reader.GetString(1), reader.GetInt64(2), reader.GetBoolean(3), reader.GetFieldValue<DateTimeOffset>(4));
}
