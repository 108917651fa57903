using System.Text;
using System.Text.Json;
using JobHub.Engine.Analyses;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Projects;

/// <summary>The texts in which analyses go out and come in.</summary>
internal static class AnalysisTexts
{
    private const int FlushBytes = 64 << 10;
    private static readonly UTF8Encoding Utf8 = new(false);

    /// <summary>An inference with its edges.</summary>
    public static async Task EdgesAsync(string project, Analysis inference, Stream edges, Stream body, CancellationToken ct)
    {
        await using var json = new Utf8JsonWriter(body);
        Begin(json, project, inference);
        json.WriteStartArray("edges");
        await foreach (var edge in AnalysisFiles.ReadEdgesAsync(edges, ct))
        {
            json.WriteStartObject();
            json.WriteString("from", edge.From);
            json.WriteString("to", edge.To);
            json.WriteNumber("distance", edge.Distance);
            json.WriteEndObject();
            if (json.BytesPending > FlushBytes) await json.FlushAsync(ct);
        }

        await EndAsync(json, ct);
    }

    /// <summary>A visualization with its coordinates.</summary>
    public static async Task PointsAsync(string project, Analysis visualization, Stream points, Stream body, CancellationToken ct)
    {
        await using var json = new Utf8JsonWriter(body);
        Begin(json, project, visualization);
        json.WriteStartArray("coordinates");
        await foreach (var point in AnalysisFiles.ReadPointsAsync(points, ct))
        {
            json.WriteStartObject();
            json.WriteString("profile_id", point.Profile);
            json.WriteNumber("component", point.Component);
            json.WriteNumber("x", point.X);
            json.WriteNumber("y", point.Y);
            json.WriteEndObject();
            if (json.BytesPending > FlushBytes) await json.FlushAsync(ct);
        }

        await EndAsync(json, ct);
    }

    /// <summary>An inference as a tree file.</summary>
    /// <param name="profiles">Those that no edge names are trees of their own.</param>
    public static async Task TreeAsync(bool nexus, Stream edges, string[] profiles, Stream body, CancellationToken ct)
    {
        var read = await ReadAsync(AnalysisFiles.ReadEdgesAsync(edges, ct), ct);
        await using var text = new StreamWriter(body, Utf8, 1 << 14, leaveOpen: true);
        if (nexus) await NexusText.WriteAsync(text, read, profiles, ct);
        else await NewickText.WriteAsync(text, read, profiles, ct);
    }

    /// <summary>A visualization as a picture.</summary>
    public static async Task PictureAsync(Stream points, IReadOnlyList<TreeEdge> edges, ProfileTable? profiles, string title, Stream body, CancellationToken ct)
    {
        var read = await ReadAsync(AnalysisFiles.ReadPointsAsync(points, ct), ct);
        var isolates = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < profiles?.Count; i++) isolates[profiles.Ids[i]] = profiles.Isolates[i];
        await using var text = new StreamWriter(body, Utf8, 1 << 14, leaveOpen: true);
        await TreePicture.WriteAsync(text, read, edges, isolates, title, ct);
    }

    /// <summary>The edges of a tree file, and which kind of file it is. Refused with 400 where it cannot be read.</summary>
    public static (string Format, TreeTextContent Content) ReadTree(string text, CancellationToken ct)
    {
        var nexus = text.AsSpan().TrimStart().StartsWith("#NEXUS", StringComparison.OrdinalIgnoreCase);
        using var reader = new StringReader(text);
        try
        {
            return nexus ? ("nexus", NexusText.Read(reader, ct: ct)) : ("newick", NewickText.Read(reader, ct: ct));
        }
        catch (TreeTextException fault)
        {
            throw new RefusedException(new Problem(400, "invalid-tree", $"The tree file cannot be read. {fault.Message}.", "file"), fault);
        }
    }

    /// <summary>Every label of the trees once.</summary>
    public static IEnumerable<string> LabelsOf(TreeTextContent content) => content.Edges.SelectMany(static edge => (string[])[edge.From, edge.To]).Concat(content.Alone).Distinct(StringComparer.Ordinal);

    public static async Task<List<T>> ReadAsync<T>(IAsyncEnumerable<T> source, CancellationToken ct)
    {
        var all = new List<T>();
        await foreach (var item in source.WithCancellation(ct)) all.Add(item);
        return all;
    }

    private static void Begin(Utf8JsonWriter json, string project, Analysis analysis)
    {
        json.WriteStartObject();
        json.WriteString("project_id", project);
        json.WriteString("dataset_id", analysis.Dataset);
        if (analysis.Inference is { } inference) json.WriteString("inference_id", inference);
        json.WriteString("id", analysis.Id);
        json.WriteString("algorithm", analysis.Algorithm);
    }

    private static async Task EndAsync(Utf8JsonWriter json, CancellationToken ct)
    {
        json.WriteEndArray();
        json.WriteEndObject();
        await json.FlushAsync(ct);
    }
}
