using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Projects;

/// <summary>What an upload came to.</summary>
/// <param name="Stored">Lines of the file that are stored now.</param>
/// <param name="Invalid">Lines that are not, by number: the first <see cref="DatasetUpload.MostNamed"/>.</param>
/// <param name="MoreInvalid">Further ones.</param>
public sealed record UploadResult(int Stored, IReadOnlyList<InvalidLine> Invalid, long MoreInvalid);

/// <summary>Opens uploads of typing data.</summary>
public sealed class DatasetUploads(NpgsqlDataSource database, IOptions<TypingOptions> options)
{
    /// <summary>An upload of profiles; null when the project has no such dataset.</summary>
    /// <param name="add">To what is stored; else instead of it.</param>
    public async Task<DatasetUpload?> ProfilesAsync(string project, Guid dataset, bool add, CancellationToken ct) =>
        await DatasetUpload.BeginAsync(database, project, dataset, 0, ct) is { } start ? new ProfileUpload(database, options.Value, start, add) : null;

    /// <summary>An upload of isolates; null when the project has no such dataset.</summary>
    public async Task<DatasetUpload?> IsolatesAsync(string project, Guid dataset, bool add, CancellationToken ct) =>
        await DatasetUpload.BeginAsync(database, project, dataset, 1, ct) is { } start ? new IsolateUpload(database, options.Value, start, add) : null;
}

/// <summary>A dataset as it was when an upload began.</summary>
/// <param name="New">The revision that the upload writes.</param>
internal sealed record UploadStart(Guid Dataset, short Kind, int New, int Profiles, int Isolates, string[] Loci, int ProfileRows, int IsolateRows);

/// <summary>
/// One file on its way into a dataset: its good lines are written as a revision of their own, in chunks as they come, and <see cref="CommitAsync"/> points the dataset to it. Whatever ends an
/// upload before leaves rows that nothing points to, which upkeep removes. Of two at once the one that ends last is refused.
/// </summary>
public abstract class DatasetUpload : IAsyncDisposable
{
    /// <summary>Lines at fault that are told.</summary>
    public const int MostNamed = 1000;

    private protected const int Rows = 5000;
    private const int Characters = 4 << 20;

    private readonly List<InvalidLine> invalid = [];
    private readonly HashSet<string> ids = new(StringComparer.Ordinal);
    private long invalidCount;
    private int characters;
    private bool committed, read;

    private protected DatasetUpload(NpgsqlDataSource database, TypingOptions options, UploadStart start, bool add) => (Database, Options, Start, Add) = (database, options, start, add);

    private protected NpgsqlDataSource Database { get; }
    private protected TypingOptions Options { get; }
    private protected UploadStart Start { get; }
    private protected bool Add { get; }

    /// <summary>Rows that were stored before this upload and stay.</summary>
    private protected int Before { get; set; }

    /// <summary>Rows of this file that are written.</summary>
    private protected int Stored { get; set; }

    /// <summary>Rows that wait to be written.</summary>
    private protected int Waiting { get; private set; }

    internal static async Task<UploadStart?> BeginAsync(NpgsqlDataSource database, string project, Guid dataset, short kind, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH d AS (UPDATE dataset SET next_revision = next_revision + 1 WHERE id = $1 AND project = $2 RETURNING *),
            noted AS (INSERT INTO revision_garbage (dataset, revision, kind, due_at) SELECT id, next_revision - 1, $3, clock_timestamp() + interval '1 hour' FROM d)
            SELECT next_revision - 1, revision, isolates_revision, loci, profiles, isolates FROM d
            """);
        command.Parameters.AddWithValue(dataset);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(kind);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct)
            ? new(dataset, kind, reader.GetInt32(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetFieldValue<string[]>(3), reader.GetInt32(4), reader.GetInt32(5)) : null;
    }

    /// <summary>Reads the file and writes its good lines. Memory is bounded, however long it is.</summary>
    /// <exception cref="TypingRefusedException">It is refused as a whole.</exception>
    public async Task ReadAsync(Stream file, CancellationToken ct)
    {
        if (read) throw new InvalidOperationException("An upload is one file.");
        read = true;
        using var rows = new TypingRows(file, (Options.MostLoci + 1) * (TypingRows.LongestField + 1) + 4096);
        var (found, fault) = await rows.NextAsync(Options.MostLoci + 1, ct);
        if (!found) throw new TypingRefusedException("header-missing", "The file is empty: its first line is a header.");
        if (fault is not null) throw new TypingRefusedException("invalid-header", "The header cannot be read. " + fault);
        var columns = rows.Count;
        await HeadAsync(rows, ct);
        while (true)
        {
            (found, fault) = await rows.NextAsync(columns, ct);
            if (!found) break;
            if (fault is null && rows.Count != columns) fault = $"The line has {rows.Count} fields, the header {columns}.";
            if (fault is null && Objection(rows) is { } objection) fault = objection;
            if (fault is not null) Refuse(rows.Number, fault);
            else if (Waiting >= Rows || characters >= Characters) await FlushAsync(ct);
        }

        await FlushAsync(ct);
        if (Stored == 0 && invalidCount > 0)
        {
            throw new TypingRefusedException("no-valid-lines", $"None of the {invalidCount} lines below the header is valid, and nothing has changed. " +
                string.Join(' ', invalid.OrderBy(static i => i.Line).Take(5).Select(static i => $"Line {i.Line}: {i.Reason}")));
        }
    }

    /// <summary>Points the dataset to what was written: readers see all of it from now on.</summary>
    /// <exception cref="TypingRefusedException">The dataset was changed or removed meanwhile.</exception>
    public async Task<UploadResult> CommitAsync(CancellationToken ct)
    {
        await using var connection = await Database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using (var mine = new NpgsqlCommand("DELETE FROM revision_garbage WHERE dataset = $1 AND revision = $2 AND NOT doomed", connection))
        {
            mine.Parameters.AddWithValue(Start.Dataset);
            mine.Parameters.AddWithValue(Start.New);
            if (await mine.ExecuteNonQueryAsync(ct) == 0) throw Changed();
        }

        await using (var point = new NpgsqlCommand { Connection = connection })
        {
            Point(point);
            if (await point.ExecuteNonQueryAsync(ct) == 0) throw Changed();
        }

        var old = Start.Kind == 0 ? Start.Profiles : Start.Isolates;
        await using (var drop = new NpgsqlCommand("INSERT INTO revision_garbage (dataset, revision, kind) SELECT $1, $2, $3 WHERE $2 > 0", connection))
        {
            drop.Parameters.AddWithValue(Start.Dataset);
            drop.Parameters.AddWithValue(old);
            drop.Parameters.AddWithValue(Start.Kind);
            await drop.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        committed = true;
        return new(Stored, [.. invalid.OrderBy(static i => i.Line)], invalidCount - invalid.Count);
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (committed) return;
        await using var command = Database.CreateCommand("UPDATE revision_garbage SET due_at = clock_timestamp() WHERE dataset = $1 AND revision = $2");
        command.Parameters.AddWithValue(Start.Dataset);
        command.Parameters.AddWithValue(Start.New);
        await command.ExecuteNonQueryAsync(CancellationToken.None);
    }

    /// <summary>Reads the header and makes ready what rows are added to.</summary>
    private protected abstract Task HeadAsync(TypingRows header, CancellationToken ct);

    /// <summary>Takes a line, or says what is wrong with it.</summary>
    private protected abstract string? Objection(TypingRows row);

    /// <summary>Writes what waits.</summary>
    private protected abstract Task WriteAsync(NpgsqlConnection connection, CancellationToken ct);

    /// <summary>The statement that points the dataset to the new revision, if it is as it was at the start.</summary>
    private protected abstract void Point(NpgsqlCommand command);

    private protected void Refuse(long line, string reason)
    {
        invalidCount++;
        if (invalid.Count < MostNamed) invalid.Add(new(line, reason));
    }

    /// <summary>An id that can be stored and was not seen in this chunk yet.</summary>
    private protected string? IdObjection(ReadOnlySpan<char> id, string column, out string text)
    {
        text = "";
        if (TypingRows.IsMissing(id)) return $"There is no {column}.";
        if (id.Length > TypingRows.LongestField) return $"The {column} has more than {TypingRows.LongestField} characters.";
        text = id.ToString();
        return ids.Contains(text) ? $"The {column} '{text}' is given twice." : null;
    }

    /// <summary>One row more waits.</summary>
    private protected void Wait(string id, int size)
    {
        ids.Add(id);
        Waiting++;
        characters += size;
    }

    /// <summary>The ids that are stored in a revision already, with their positions.</summary>
    /// <remarks>In the order of the index over ids: on a table that was never analysed the primary key looks as good to the planner, and would read the whole revision for each id.</remarks>
    private protected async Task<Dictionary<string, int>> KnownAsync(NpgsqlConnection connection, string table, int revision, string[] wanted, CancellationToken ct)
    {
        await using var batch = DatasetStore.Ordered(connection, $"""
            SELECT k.id, k.position FROM unnest($3::text[]) AS w(id)
            CROSS JOIN LATERAL (SELECT id, position FROM {table} WHERE dataset = $1 AND revision = $2 AND id >= w.id ORDER BY dataset, revision, id LIMIT 1) k WHERE k.id = w.id
            """, Start.Dataset, revision, wanted);
        await using var reader = await DatasetStore.ReadAsync(batch, ct);
        var known = new Dictionary<string, int>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct)) known[reader.GetString(0)] = reader.GetInt32(1);
        return known;
    }

    /// <summary>The rows of the old revision become the first of the new one.</summary>
    private protected async Task CopyAsync(string table, string columns, int revision, int rows, CancellationToken ct)
    {
        for (var from = 0; from < rows; from += Rows)
        {
            await using var connection = await Database.OpenConnectionAsync(ct);
            await using var batch = DatasetStore.Keyed(connection, $"""
                INSERT INTO {table} (dataset, revision, position, {columns})
                SELECT dataset, $2, position, {columns} FROM {table} WHERE dataset = $1 AND revision = $3 AND position >= $4 AND position < $5
                """, Start.Dataset, Start.New, revision, from, from + Rows);
            await batch.ExecuteNonQueryAsync(ct);
            await HoldAsync(connection, ct);
        }
    }

    private protected static TypingRefusedException TooMany(string code, string message) => new(code, message, tooLarge: true);

    private async Task FlushAsync(CancellationToken ct)
    {
        if (Waiting == 0) return;
        // A connection for the chunk and no longer: the next lines come when their sender sends them.
        await using var connection = await Database.OpenConnectionAsync(ct);
        await WriteAsync(connection, ct);
        await HoldAsync(connection, ct);
        ids.Clear();
        Waiting = characters = 0;
    }

    // What is still being written is not garbage yet.
    private async Task HoldAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var hold = new NpgsqlCommand("UPDATE revision_garbage SET due_at = clock_timestamp() + interval '1 hour' WHERE dataset = $1 AND revision = $2 AND NOT doomed", connection);
        hold.Parameters.AddWithValue(Start.Dataset);
        hold.Parameters.AddWithValue(Start.New);
        if (await hold.ExecuteNonQueryAsync(ct) == 0) throw Changed();
    }

    private static TypingRefusedException Changed() =>
        new("dataset-changed", "Another upload changed this dataset while this one ran, or it was removed. Nothing of this one is stored: send it again.", conflict: true);
}
