using System.Globalization;
using System.Text;
using JobHub.Engine.Analyses;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime;

/// <summary>
/// An analysis of a dataset, in the worker's own process: it is the hub's own code and starts no program. The profiles and the edges are read whole, the algorithm runs on a
/// thread of its own and its lines go to the output in blocks as they come.
/// </summary>
/// <param name="algorithms">Where algorithms are looked up; null = all that the hub offers.</param>
public sealed class AnalysisBody(Func<AnalysisKind, string, Algorithm?>? algorithms = null) : IAttemptBody
{
    private readonly Func<AnalysisKind, string, Algorithm?> _find = algorithms ?? Algorithm.Find;

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec.Analysis ?? throw new ArgumentException("Not an analysis.", nameof(context));
        var algorithm = _find(spec.Kind, spec.Algorithm)
            ?? throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, $"This worker does not know the {Word(spec.Kind)} '{spec.Algorithm}'.");
        try
        {
            var started = context.Clock.GetTimestamp();
            var profiles = await ReadAsync(context, spec.Profiles, "profiles", AnalysisFiles.ReadProfilesAsync, ct);
            Log(context, $"{profiles.Count} profiles of {profiles.Loci.Length} loci read in {Seconds(context, started)} s");
            List<TreeEdge>? edges = null;
            if (spec.Edges is { } grant)
            {
                started = context.Clock.GetTimestamp();
                edges = await ReadAsync(context, grant, "inference", EdgesAsync, ct);
                Log(context, $"{edges.Count} edges read in {Seconds(context, started)} s");
            }

            await using var writer = await context.Store.CreateAsync(spec.Output, ct);
            started = context.Clock.GetTimestamp();
            var numbers = spec.Numbers.Length == 0 ? "" : $" ({string.Join(", ", spec.Numbers)})";
            Log(context, $"{Word(spec.Kind)} {spec.Algorithm}{numbers} begins");
            var lines = new Lines(writer, ct);
            await OwnThread.RunAsync("analysis", () =>
            {
                algorithm.Run(new AnalysisInput(profiles, edges, spec.Numbers), lines, new Progress(context), ct);
                lines.Flush();
            });
            ct.ThrowIfCancellationRequested();
            var output = await writer.FinishAsync(ct);
            var what = spec.Kind == AnalysisKind.Inference ? "edges" : "points";
            context.Count(what, lines.Count);
            context.Fraction = 1;
            Log(context, $"{lines.Count} {what}, {output.Size} bytes, in {Seconds(context, started)} s");
            return new BodyResult(output, PartitionOffsets: null, Exit: null);
        }
        catch (Exception fault) when (fault is InvalidDataException or FormatException or OverflowException)
        {
            throw Told(context, new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InvalidInput, fault.Message));
        }
        catch (OutOfMemoryException)
        {
            throw Told(context, new AttemptFailedException(AttemptOutcome.OutOfMemory, ErrorTypes.OutOfMemory, "The worker has no memory for an analysis of this size."));
        }
        catch (AttemptFailedException fault)
        {
            throw Told(context, fault);
        }
    }

    private static async Task<T> ReadAsync<T>(AttemptContext context, ObjectGrant grant, string what, Func<Stream, CancellationToken, Task<T>> read, CancellationToken ct)
    {
        try
        {
            await using var stream = await context.Store.OpenReadAsync(grant, 0, null, ct);
            return await read(stream, ct);
        }
        catch (FileNotFoundException)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputMissing, $"The {what} that it reads are not in the store any more: they were deleted.");
        }
    }

    private static async Task<List<TreeEdge>> EdgesAsync(Stream stream, CancellationToken ct)
    {
        var edges = new List<TreeEdge>();
        await foreach (var edge in AnalysisFiles.ReadEdgesAsync(stream, ct)) edges.Add(edge);
        return edges;
    }

    private static AttemptFailedException Told(AttemptContext context, AttemptFailedException fault)
    {
        Log(context, $"it failed: {fault.Message}");
        return fault;
    }

    private static void Log(AttemptContext context, string line) => context.Log.Write(Encoding.UTF8.GetBytes($"jobhub: {line}\n"));

    private static string Seconds(AttemptContext context, long since) => context.Clock.GetElapsedTime(since).TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture);

    private static string Word(AnalysisKind kind) => kind == AnalysisKind.Inference ? "inference" : "visualization";

    private sealed class Progress(AttemptContext context) : IProgress<double>
    {
        public void Report(double value) => context.Fraction = Math.Clamp(value, 0, 1);
    }

    /// <summary>What the algorithm gives, as lines in blocks. Used on its thread only.</summary>
    private sealed class Lines(IOutputWriter writer, CancellationToken ct) : AnalysisOutput
    {
        private const int Block = 256 << 10;
        private byte[] _block = new byte[Block];
        private int _used;

        public long Count { get; private set; }

        public override void Edge(string from, string to, double distance) => Add(AnalysisFiles.EdgeLine(new TreeEdge(from, to, distance)));

        public override void Point(string profile, int component, double x, double y) => Add(AnalysisFiles.PointLine(new TreePoint(profile, component, x, y)));

        public void Flush()
        {
            if (_used == 0) return;
            writer.WriteBlocking(_block.AsMemory(0, _used), ct);
            _used = 0;
        }

        private void Add(string line)
        {
            var most = Encoding.UTF8.GetMaxByteCount(line.Length);
            if (most > _block.Length - _used)
            {
                Flush();
                if (most > _block.Length) _block = new byte[most];
            }

            _used += Encoding.UTF8.GetBytes(line, _block.AsSpan(_used));
            Count++;
        }
    }
}
