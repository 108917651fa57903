using System.Text;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Projects;

/// <summary>Profiles: a header <c>ST</c> and the loci, a line a profile.</summary>
internal sealed class ProfileUpload : DatasetUpload
{
    private readonly List<(long Line, string Id, string Alleles)> waiting = new(Rows);
    private readonly StringBuilder alleles = new();
    private string[] loci = [];

    public ProfileUpload(NpgsqlDataSource database, TypingOptions options, UploadStart start, bool add) : base(database, options, start, add)
    {
    }

    private protected override async Task HeadAsync(TypingRows header, CancellationToken ct)
    {
        if (!header[0].Equals("ST", StringComparison.OrdinalIgnoreCase))
            throw new TypingRefusedException("invalid-header", "The first line is a header: ST, then the names of the loci, parted by tabs.");
        if (header.Count < 2) throw new TypingRefusedException("invalid-header", "The header names no locus: it is ST, then the names of the loci, parted by tabs.");
        loci = new string[header.Count - 1];
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var index = 0; index < loci.Length; index++)
        {
            var name = header[index + 1];
            if (name.IsEmpty) throw new TypingRefusedException("invalid-header", $"Column {index + 2} of the header has no name.");
            if (name.Length > TypingRows.LongestField)
                throw new TypingRefusedException("invalid-header", $"The name of the locus in column {index + 2} has more than {TypingRows.LongestField} characters.");
            loci[index] = name.ToString();
            if (!names.Add(loci[index])) throw new TypingRefusedException("invalid-header", $"The locus '{loci[index]}' is in the header twice.");
        }

        if (!Add || Start.Loci.Length == 0) return;
        if (!loci.AsSpan().SequenceEqual(Start.Loci))
            throw new TypingRefusedException("other-loci", $"The dataset has other loci: {Shown(Start.Loci)}. The header must name the same ones in the same order; replace the profiles (PUT) to have others.");
        await CopyAsync("profile", "id, alleles", Start.Profiles, Start.ProfileRows, ct);
        Before = Start.ProfileRows;
    }

    private protected override string? Objection(TypingRows row)
    {
        if (IdObjection(row[0], "ST", out var id) is { } objection) return objection;
        alleles.Clear();
        for (var index = 0; index < loci.Length; index++)
        {
            var allele = row[index + 1];
            if (allele.Length > TypingRows.LongestField) return $"The allele of '{loci[index]}' has more than {TypingRows.LongestField} characters.";
            if (index > 0) alleles.Append('\t');
            if (!TypingRows.IsMissing(allele)) alleles.Append(allele);
        }

        waiting.Add((row.Number, id, alleles.ToString()));
        Wait(id, alleles.Length + id.Length);
        return null;
    }

    private protected override async Task WriteAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        var first = Before + Stored;
        if (first > 0)
        {
            var known = await KnownAsync(connection, "profile", Start.New, [.. waiting.Select(static w => w.Id)], ct);
            foreach (var (line, id, _) in waiting)
            {
                if (known.TryGetValue(id, out var position)) Refuse(line, position < Before ? $"The ST '{id}' is stored already." : $"The ST '{id}' is given twice.");
            }

            if (known.Count > 0) waiting.RemoveAll(w => known.ContainsKey(w.Id));
        }

        var rows = (long)first + waiting.Count;
        if (rows > Options.MostRows) throw TooMany("too-many-profiles", $"A dataset has at most {Options.MostRows} profiles (JobHub:Projects:MostRows).");
        if (rows * loci.Length > Options.MostAlleles)
            throw TooMany("too-many-alleles", $"A dataset has at most {Options.MostAlleles} alleles, profiles times loci (JobHub:Projects:MostAlleles).");
        await using (var copy = await connection.BeginBinaryImportAsync("COPY profile (dataset, revision, position, id, alleles) FROM STDIN (FORMAT BINARY)", ct))
        {
            foreach (var (_, id, text) in waiting)
            {
                await copy.StartRowAsync(ct);
                await copy.WriteAsync(Start.Dataset, NpgsqlDbType.Uuid, ct);
                await copy.WriteAsync(Start.New, NpgsqlDbType.Integer, ct);
                await copy.WriteAsync(first++, NpgsqlDbType.Integer, ct);
                await copy.WriteAsync(id, NpgsqlDbType.Text, ct);
                await copy.WriteAsync(text, NpgsqlDbType.Text, ct);
            }

            await copy.CompleteAsync(ct);
        }

        Stored += waiting.Count;
        waiting.Clear();
    }

    private protected override void Point(NpgsqlCommand command)
    {
        command.CommandText = "UPDATE dataset SET revision = $3, loci = $4, profiles = $5, snapshot = NULL WHERE id = $1 AND revision = $2";
        command.Parameters.AddWithValue(Start.Dataset);
        command.Parameters.AddWithValue(Start.Profiles);
        command.Parameters.AddWithValue(Start.New);
        command.Parameters.AddWithValue(loci);
        command.Parameters.AddWithValue(Before + Stored);
    }

    private static string Shown(string[] names) => names.Length <= 10 ? string.Join(", ", names) : string.Join(", ", names.Take(10)) + $", … ({names.Length})";
}
