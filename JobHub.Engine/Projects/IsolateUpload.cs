using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Projects;

/// <summary>Isolates: a header with <c>ID</c> and <c>ST</c> among its columns, a line an isolate. Other columns are not kept.</summary>
internal sealed class IsolateUpload : DatasetUpload
{
    private readonly List<(long Line, string Id, string Profile)> waiting = new(Rows);
    private int idColumn = -1, profileColumn = -1;

    public IsolateUpload(NpgsqlDataSource database, TypingOptions options, UploadStart start, bool add) : base(database, options, start, add)
    {
    }

    private protected override async Task HeadAsync(TypingRows header, CancellationToken ct)
    {
        for (var column = 0; column < header.Count; column++)
        {
            if (header[column].Equals("ID", StringComparison.OrdinalIgnoreCase)) Set(ref idColumn, column, "ID");
            else if (header[column].Equals("ST", StringComparison.OrdinalIgnoreCase)) Set(ref profileColumn, column, "ST");
        }

        if (idColumn < 0 || profileColumn < 0)
            throw new TypingRefusedException("invalid-header", "The first line is a header that names, parted by tabs, at least the columns ID (of the isolate) and ST (of its profile).");
        if (!Add) return;
        await CopyAsync("isolate", "id, profile", Start.Isolates, Start.IsolateRows, ct);
        await CopyCountsAsync(ct);
        Before = Start.IsolateRows;
    }

    private protected override string? Objection(TypingRows row)
    {
        if (IdObjection(row[idColumn], "ID", out var id) is { } objection) return objection;
        var profile = row[profileColumn];
        if (TypingRows.IsMissing(profile)) return "There is no ST.";
        if (profile.Length > TypingRows.LongestField) return Unknown(profile[..TypingRows.LongestField].ToString() + "…");
        waiting.Add((row.Number, id, profile.ToString()));
        Wait(id, id.Length + profile.Length);
        return null;
    }

    private protected override async Task WriteAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        var profiles = await KnownAsync(connection, "profile", Start.Profiles, [.. waiting.Select(static w => w.Profile).Distinct(StringComparer.Ordinal)], ct);
        var first = Before + Stored;
        var known = first > 0 ? await KnownAsync(connection, "isolate", Start.New, [.. waiting.Select(static w => w.Id)], ct) : [];
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        var good = new List<(string Id, string Profile)>(waiting.Count);
        foreach (var (line, id, profile) in waiting)
        {
            if (known.TryGetValue(id, out var position))
            {
                Refuse(line, position < Before ? $"The ID '{id}' is stored already." : $"The ID '{id}' is given twice.");
            }
            else if (!profiles.ContainsKey(profile))
            {
                Refuse(line, Unknown(profile));
            }
            else
            {
                good.Add((id, profile));
                System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(counts, profile, out _)++;
            }
        }

        if (first + good.Count > Options.MostRows) throw TooMany("too-many-isolates", $"A dataset has at most {Options.MostRows} isolates (JobHub:Projects:MostRows).");
        await using (var copy = await connection.BeginBinaryImportAsync("COPY isolate (dataset, revision, position, id, profile) FROM STDIN (FORMAT BINARY)", ct))
        {
            foreach (var (id, profile) in good)
            {
                await copy.StartRowAsync(ct);
                await copy.WriteAsync(Start.Dataset, NpgsqlDbType.Uuid, ct);
                await copy.WriteAsync(Start.New, NpgsqlDbType.Integer, ct);
                await copy.WriteAsync(first++, NpgsqlDbType.Integer, ct);
                await copy.WriteAsync(id, NpgsqlDbType.Text, ct);
                await copy.WriteAsync(profile, NpgsqlDbType.Text, ct);
            }

            await copy.CompleteAsync(ct);
        }

        await using var count = new NpgsqlCommand("""
            INSERT INTO isolate_count AS c (dataset, revision, profile, isolates) SELECT $1, $2, n.profile, n.isolates FROM unnest($3::text[], $4::int[]) AS n(profile, isolates)
            ON CONFLICT (dataset, revision, profile) DO UPDATE SET isolates = c.isolates + excluded.isolates
            """, connection);
        count.Parameters.AddWithValue(Start.Dataset);
        count.Parameters.AddWithValue(Start.New);
        count.Parameters.AddWithValue(counts.Keys.ToArray());
        count.Parameters.AddWithValue(counts.Values.ToArray());
        await count.ExecuteNonQueryAsync(ct);
        Stored += good.Count;
        waiting.Clear();
    }

    private protected override void Point(NpgsqlCommand command)
    {
        // The profiles too must be those that the isolates were looked up among.
        command.CommandText = "UPDATE dataset SET isolates_revision = $4, isolates = $5, snapshot = NULL WHERE id = $1 AND isolates_revision = $2 AND revision = $3";
        command.Parameters.AddWithValue(Start.Dataset);
        command.Parameters.AddWithValue(Start.Isolates);
        command.Parameters.AddWithValue(Start.Profiles);
        command.Parameters.AddWithValue(Start.New);
        command.Parameters.AddWithValue(Before + Stored);
    }

    private async Task CopyCountsAsync(CancellationToken ct)
    {
        for (var after = ""; ;)
        {
            await using var connection = await Database.OpenConnectionAsync(ct);
            await using var batch = DatasetStore.Keyed(connection, """
                WITH old AS (SELECT profile, isolates FROM isolate_count WHERE dataset = $1 AND revision = $3 AND profile > $4 ORDER BY profile LIMIT $5),
                copied AS (INSERT INTO isolate_count (dataset, revision, profile, isolates) SELECT $1, $2, profile, isolates FROM old)
                SELECT max(profile) FROM old
                """, Start.Dataset, Start.New, Start.Isolates, after, Rows);
            await using var reader = await DatasetStore.ReadAsync(batch, ct);
            if (!await reader.ReadAsync(ct) || reader.IsDBNull(0)) return;
            after = reader.GetString(0);
        }
    }

    private static string Unknown(string profile) => $"There is no profile with the ST '{profile}'.";

    private static void Set(ref int place, int column, string name)
    {
        if (place >= 0) throw new TypingRefusedException("invalid-header", $"The header names the column {name} twice.");
        place = column;
    }
}
