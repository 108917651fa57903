using System.Text;
using JobHub.Engine.Analyses;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Testing;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime;
using Microsoft.Extensions.Options;
using Xunit;

namespace JobHub.Worker.Tests.Runtime;

/// <summary>The body of analyses over local files, with algorithms of the test's own.</summary>
public sealed class AnalysisBodyTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-analysis-").FullName;
    private readonly LogText log = new();

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Analysis_OfProfiles_WritesItsLinesAndSaysWhatItDid()
    {
        var context = Context(Profiles("a\tb\n1\t4\t1\t2\n2\t0\t1\t\n"));

        var result = await new AnalysisBody((_, _) => new Chain()).RunAsync(context, CancellationToken.None);

        Assert.Equal("1\t2\t7\n", await System.IO.File.ReadAllTextAsync(result.Output!.Path!));
        Assert.Equal(6, result.Output.Size);
        Assert.NotNull(result.Output.Sha256);
        Assert.Equal((1, 1), (context.Fraction, context.Counters["edges"]));
        Assert.Contains("2 profiles of 2 loci read", log.Text, StringComparison.Ordinal);
        Assert.Contains("1 edges, 6 bytes", log.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Analysis_OfAnInference_ReadsItsEdges()
    {
        var context = Context(Profiles("a\n1\t0\t1\n2\t0\t2\n"), File("1\t2\t1\n"));

        var result = await new AnalysisBody((_, _) => new Points()).RunAsync(context, CancellationToken.None);

        Assert.Equal("1\t1\t0\t0.5\n2\t1\t0\t0.5\n", await System.IO.File.ReadAllTextAsync(result.Output!.Path!));
        Assert.Equal(2, context.Counters["points"]);
    }

    [Fact]
    public async Task Analysis_OfMoreThanABlock_IsWrittenWhole()
    {
        var ids = Enumerable.Range(0, 40_000).Select(i => $"profile-{i}-ä").ToArray();
        var context = Context(Profiles("a\n" + string.Concat(ids.Select(id => $"{id}\t0\t1\n"))));

        var result = await new AnalysisBody((_, _) => new Chain()).RunAsync(context, CancellationToken.None);

        Assert.Equal(ids.Skip(1).Select((id, i) => $"{ids[i]}\t{id}\t7"), await System.IO.File.ReadAllLinesAsync(result.Output!.Path!));
    }

    [Theory]
    [InlineData("a\tb\n1\t0\t1\n", "invalid-input", "Line 2 of the profiles has 3 fields, not 4.")]
    [InlineData("a\n1\tmany\t1\n", "invalid-input", null)]
    [InlineData(null, "input-missing", "The profiles that it reads are not in the store any more: they were deleted.")]
    public async Task Analysis_OfWhatCannotBeRead_FailsAndSaysWhy(string? profiles, string type, string? message)
    {
        var context = Context(profiles is null ? new ObjectGrant(Path.Combine(folder, "gone"), null) : Profiles(profiles));

        var fault = await Assert.ThrowsAsync<AttemptFailedException>(() => new AnalysisBody((_, _) => new Chain()).RunAsync(context, CancellationToken.None));

        Assert.Equal((AttemptOutcome.Failed, type), (fault.Outcome, fault.Type));
        if (message is not null) Assert.Equal(message, fault.Message);
        Assert.Contains("it failed: " + fault.Message, log.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Analysis_WithoutMemory_IsOutOfMemory()
    {
        var fault = await Assert.ThrowsAsync<AttemptFailedException>(() =>
            new AnalysisBody((_, _) => new Failing(new OutOfMemoryException())).RunAsync(Context(Profiles("a\n1\t0\t1\n")), CancellationToken.None));

        Assert.Equal((AttemptOutcome.OutOfMemory, "out-of-memory"), (fault.Outcome, fault.Type));
    }

    [Fact]
    public async Task Analysis_OfAnAlgorithmThatIsNotKnown_IsNotSupported()
    {
        var fault = await Assert.ThrowsAsync<AttemptFailedException>(() => new AnalysisBody().RunAsync(Context(Profiles("a\n1\t0\t1\n")), CancellationToken.None));

        Assert.Equal("unsupported", fault.Type);
    }

    [Fact]
    public async Task Analysis_WhenItIsStopped_EndsItsThread()
    {
        using var stop = new CancellationTokenSource();
        var endless = new Endless();
        var context = Context(Profiles("a\n1\t0\t1\n"));
        var running = new AnalysisBody((_, _) => endless).RunAsync(context, stop.Token);
        await endless.Begun.Task;
        await Eventually.TrueAsync(() => context.Fraction > 0.2, "the progress is seen");

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.True(endless.Ended);
    }

    [Fact]
    public async Task Analysis_OfManyProfilesAndLoci_WhenItIsStopped_EndsSoon()
    {
        var (random, text) = (new Random(1), new StringBuilder());
        text.AppendJoin('\t', Enumerable.Range(0, 200)).Append('\n');
        for (var p = 0; p < 40_000; p++) text.Append(p).Append("\t0\t").AppendJoin('\t', Enumerable.Range(0, 200).Select(_ => random.Next(1, 9))).Append('\n');
        using var stop = new CancellationTokenSource();
        var context = Context(Profiles(text.ToString()));
        var running = new AnalysisBody((_, _) => Algorithm.Find(AnalysisKind.Inference, "goeburst")).RunAsync(context, stop.Token);
        await Eventually.TrueAsync(() => context.Fraction > 0, "the progress is seen", TimeSpan.FromMinutes(5));

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running.WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.InRange(context.Fraction, 0, 0.99);
    }

    private AttemptContext Context(ObjectGrant profiles, ObjectGrant? edges = null) => new()
    {
        Spec = new AttemptSpec
        {
            Token = Guid.NewGuid(), TaskId = 1 << 20, JobId = Guid.NewGuid(), Attempt = 1, Kind = TaskKind.Analysis, Index = 0, TaskName = "test-a-0",
            Analysis = new(edges is null ? AnalysisKind.Inference : AnalysisKind.Visualization, "none-of-the-hub", [3], profiles, edges, new(Path.Combine(folder, Guid.NewGuid().ToString("N")), null, null, Durable: true)),
        },
        Store = new LocalAttemptStore(), Launcher = new Launcher(Options.Create(new ProcessOptions { RunAs = "" }), TimeProvider.System), ScratchFolder = folder, Log = log,
    };

    private ObjectGrant Profiles(string text) => File(text);

    private ObjectGrant File(string text)
    {
        var path = Path.Combine(folder, Guid.NewGuid().ToString("N"));
        System.IO.File.WriteAllText(path, text);
        return new ObjectGrant(path, null);
    }

    private sealed class LogText : ILogSink
    {
        private readonly StringBuilder text = new();

        public string Text
        {
            get { lock (text) return text.ToString(); }
        }

        public void Write(ReadOnlySpan<byte> bytes)
        {
            lock (text) text.Append(Encoding.UTF8.GetString(bytes));
        }
    }

    private abstract class TestAlgorithm : Algorithm
    {
        public override AnalysisKind Kind => AnalysisKind.Inference;
        public override string Name => "none-of-the-hub";
        public override IReadOnlyList<AlgorithmParameter> Parameters => [];
    }

    private sealed class Chain : TestAlgorithm
    {
        public override void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct)
        {
            Assert.Equal([3], input.Numbers);
            for (var i = 1; i < input.Profiles.Count; i++) output.Edge(input.Profiles.Ids[i - 1], input.Profiles.Ids[i], 7);
        }
    }

    private sealed class Points : TestAlgorithm
    {
        public override void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct)
        {
            foreach (var edge in input.Edges!)
            {
                output.Point(edge.From, 1, 0, 0.5);
                output.Point(edge.To, 1, 0, 0.5);
            }
        }
    }

    private sealed class Failing(Exception fault) : TestAlgorithm
    {
        public override void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct) => throw fault;
    }

    private sealed class Endless : TestAlgorithm
    {
        public TaskCompletionSource Begun { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool Ended { get; private set; }

        public override void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct)
        {
            progress.Report(0.25);
            Begun.SetResult();
            ct.WaitHandle.WaitOne();
            Ended = true;
            ct.ThrowIfCancellationRequested();
        }
    }
}
