using System.Globalization;
using System.Text;

namespace JobHub.Engine.Analyses;

/// <summary>
/// The objects that analyses read and write: UTF-8 lines of fields parted by tabs, which no id, locus or allele can hold.
/// Profiles: a line of locus names, then a line a profile: id, isolates, one allele a locus (empty = missing). Edges: from, to, distance. Points: profile, component, x, y.
/// </summary>
public static class AnalysisFiles
{
    private static readonly UTF8Encoding Utf8 = new(false);

    /// <summary>The head of a profiles object.</summary>
    public static string ProfilesHead(IReadOnlyList<string> loci) => string.Join('\t', loci) + "\n";

    /// <summary>A line of a profiles object.</summary>
    /// <param name="alleles">As stored: one a locus, parted by tabs.</param>
    public static string ProfileLine(string id, long isolates, string alleles) => string.Create(CultureInfo.InvariantCulture, $"{id}\t{isolates}\t{alleles}\n");

    public static async Task<ProfileTable> ReadProfilesAsync(Stream stream, CancellationToken ct)
    {
        using var reader = new StreamReader(stream, Utf8, false, 1 << 16, leaveOpen: true);
        var head = await reader.ReadLineAsync(ct) ?? throw new InvalidDataException("The profiles have no head.");
        var loci = head.Length == 0 ? [] : head.Split('\t');
        var known = Array.ConvertAll(loci, static _ => new Dictionary<string, int>(StringComparer.Ordinal).GetAlternateLookup<ReadOnlySpan<char>>());
        var (ids, isolates, alleles) = (new List<string>(), new List<int>(), new List<int>());
        while (await reader.ReadLineAsync(ct) is { } line)
        {
            var at = 0;
            foreach (var range in line.AsSpan().Split('\t'))
            {
                var field = line.AsSpan(range);
                if (at == 0) ids.Add(field.ToString());
                else if (at == 1) isolates.Add((int)Math.Min(int.MaxValue, long.Parse(field, NumberStyles.None, CultureInfo.InvariantCulture)));
                else if (at - 2 < loci.Length)
                {
                    var numbers = known[at - 2];
                    if (field.IsEmpty) alleles.Add(-1);
                    else if (numbers.TryGetValue(field, out var number)) alleles.Add(number);
                    else
                    {
                        alleles.Add(numbers.Dictionary.Count);
                        numbers[field] = numbers.Dictionary.Count;
                    }
                }

                at++;
            }

            if (at != loci.Length + 2) throw new InvalidDataException($"Line {ids.Count + 1} of the profiles has {at} fields, not {loci.Length + 2}.");
        }

        return new(loci, [.. ids], [.. isolates], [.. alleles]);
    }

    public static string EdgeLine(in TreeEdge edge) => string.Create(CultureInfo.InvariantCulture, $"{edge.From}\t{edge.To}\t{edge.Distance:R}\n");

    public static string PointLine(in TreePoint point) => string.Create(CultureInfo.InvariantCulture, $"{point.Profile}\t{point.Component}\t{point.X:R}\t{point.Y:R}\n");

    /// <summary>Edges as they were written, one after the other.</summary>
    public static IAsyncEnumerable<TreeEdge> ReadEdgesAsync(Stream stream, CancellationToken ct) =>
        LinesAsync(stream, 3, static f => new TreeEdge(f[0], f[1], double.Parse(f[2], CultureInfo.InvariantCulture)), ct);

    public static IAsyncEnumerable<TreePoint> ReadPointsAsync(Stream stream, CancellationToken ct) =>
        LinesAsync(stream, 4, static f => new TreePoint(f[0], int.Parse(f[1], CultureInfo.InvariantCulture), double.Parse(f[2], CultureInfo.InvariantCulture), double.Parse(f[3], CultureInfo.InvariantCulture)), ct);

    private static async IAsyncEnumerable<T> LinesAsync<T>(Stream stream, int fields, Func<string[], T> read, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        using var reader = new StreamReader(stream, Utf8, false, 1 << 16, leaveOpen: true);
        for (var number = 1; await reader.ReadLineAsync(ct) is { } line; number++)
        {
            if (line.Split('\t') is not { } parts || parts.Length != fields) throw new InvalidDataException($"Line {number} of an analysis does not have {fields} fields.");
            yield return read(parts);
        }
    }
}
