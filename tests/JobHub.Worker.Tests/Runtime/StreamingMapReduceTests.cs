using System.IO.Compression;
using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Testing;
using JobHub.Worker.Runtime;
using Xunit;

namespace JobHub.Worker.Tests.Runtime;

public sealed class StreamingMapReduceTests : IDisposable
{
    private static readonly string[] Words = ["a", "the", "of", "Zürich", "naïve", "日本語", "x-y", "longer-than-eight-bytes", "longer-than-eight-bytes-too", "\u00a0nbsp"];

    private readonly StreamingJob _job = new();

    public void Dispose() => _job.Dispose();

    [Theory]
    [InlineData(1, "\n", true)]
    [InlineData(2, "\r\n", false)]
    [InlineData(7, "\n", false)]
    [InlineData(64, "\r\n", true)]
    public async Task WordCount_OfAnyText_EqualsTheUsualTools(int partitions, string lineEnd, bool finalNewline)
    {
        var text = Text(seed: partitions, size: 10_000, lineEnd, finalNewline);
        var input = _job.Text(text);
        var expected = StreamingJob.ExpectedWordCount(text);
        foreach (var splitSize in new[] { 997, 4096, 10_000, 1 << 20 })
        {
            var outputs = await _job.Job(StreamingJob.Tokenise, StreamingJob.Sum, partitions).RunAsync(input, splitSize);
            Assert.Equal(partitions, outputs.Length);
            Assert.Equal(expected, StreamingJob.Sorted(await LocalMapReduce.ReadAsync(outputs)));
        }
    }

    [Fact]
    public async Task WordCount_WithSplitsOfOneByte_EqualsTheUsualTools()
    {
        var text = Text(seed: 3, size: 400, "\r\n", finalNewline: false);
        var job = _job.Job(StreamingJob.Tokenise, StreamingJob.Sum, 3);
        var outputs = await job.RunAsync(_job.Text(text), 1);
        Assert.Equal(StreamingJob.ExpectedWordCount(text), StreamingJob.Sorted(await LocalMapReduce.ReadAsync(outputs)));
        Assert.Equal(text.Length, job.Counters["map_input_bytes"]);
    }

    [Fact]
    public async Task EmptyFile_WithThreeReducers_LeavesThreeEmptyObjects()
    {
        var outputs = await _job.Job(StreamingJob.Tokenise, StreamingJob.Sum, 3).RunAsync(_job.Text([]), 10);
        Assert.All(outputs, path => Assert.Equal(0, new FileInfo(path).Length));
    }

    [Fact]
    public async Task Reducer_WithoutAKey_StillRuns()
    {
        var outputs = await _job.Job(StreamingJob.Cat, "#!/bin/sh\nwc -l\n", 2).RunAsync(_job.Text("one\n"u8.ToArray()), 10);
        Assert.Equal("0\n1\n", StreamingJob.Shell("sort", await LocalMapReduce.ReadAsync(outputs)) is var sorted ? Encoding.ASCII.GetString(sorted) : "");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Sort_WithSpillsAndIdentityPrograms_GivesBackTheSortedLines(bool compress)
    {
        var random = new Random(5);
        var lines = new StringBuilder();
        for (var i = 0; i < 60_000; i++)
        {
            // Long common starts, equal keys, keys that are starts of others, tabs in some lines.
            lines.Append("http://example.org/", 0, random.Next(20)).Append(random.Next(3000)).Append(random.Next(4) == 0 ? $"\t{i}" : "").Append('\n');
        }

        var text = Encoding.ASCII.GetBytes(lines.ToString());
        var job = _job.Job(StreamingJob.Cat, StreamingJob.Cat, bufferBytes: 300_000, compress: compress);
        var output = await LocalMapReduce.ReadAsync(await job.RunAsync(_job.Text(text), 400_000));
        Assert.True(job.Counters["spills"] > 3);
        Assert.Equal(60_000, job.Counters["reduce_input_records"]);
        Assert.Equal(60_000, job.Counters["reduce_output_records"]);
        Assert.Equal(text.Length, output.Length);
        Assert.Equal(StreamingJob.Sorted(text), StreamingJob.Sorted(output));
        var keys = StreamingJob.Shell("cut -f1", output);
        Assert.Equal(StreamingJob.Shell("cut -f1 | LC_ALL=C sort", text), keys);
        Assert.Equal(int.Parse(Encoding.ASCII.GetString(StreamingJob.Shell("uniq | wc -l", keys))), job.Counters["reduce_input_groups"]);
    }

    [Fact]
    public async Task Lines_WithoutATab_ComeBackWithoutOne()
    {
        var output = await LocalMapReduce.ReadAsync(await _job.Job(StreamingJob.Cat, StreamingJob.Cat).RunAsync(_job.Text("b\na\t\nc\td\te\n\nx"u8.ToArray()), 3));
        Assert.Equal("\na\t\nb\nc\td\te\nx\n", Encoding.ASCII.GetString(output));
    }

    [Fact]
    public async Task Combiner_WithSmallBuffers_ChangesNothingButTheAmount()
    {
        var text = Text(seed: 9, size: 600_000, "\n", finalNewline: true);
        var job = _job.Job(StreamingJob.Tokenise, StreamingJob.Sum, 5, StreamingJob.Sum, bufferBytes: 400_000);
        var outputs = await job.RunAsync(_job.Text(text), 400_000);
        Assert.Equal(StreamingJob.ExpectedWordCount(text), StreamingJob.Sorted(await LocalMapReduce.ReadAsync(outputs)));
        Assert.True(job.Counters["combine_output_records"] < job.Counters["combine_input_records"]);
        Assert.Equal(2 * Words.Length, job.Counters["reduce_input_records"]);
    }

    [Fact]
    public async Task Line_Of100MB_GoesThrough()
    {
        var path = Path.Combine(_job.Folder, "long");
        await using (var file = File.Create(path))
        {
            await file.WriteAsync("first\n"u8.ToArray());
            var block = new byte[1 << 20];
            block.AsSpan().Fill((byte)'x');
            for (var i = 0; i < 100; i++) await file.WriteAsync(block);
            await file.WriteAsync("\tvalue\nlast"u8.ToArray());
        }

        var job = _job.Job(StreamingJob.Cat, StreamingJob.Cat);
        var outputs = await job.RunAsync(path, 20 << 20);
        Assert.Equal(3, job.Counters["reduce_input_records"]);
        Assert.Equal("", Encoding.ASCII.GetString(StreamingJob.Shell($"LC_ALL=C sort '{path}' | cmp - '{outputs[0]}' 2>&1", [])));
    }

    [Fact]
    public async Task Runs_MoreThanAreMergedAtOnce_AreMergedInPasses()
    {
        var text = StreamingJob.Shell("tr '\\t' '|'", Text(seed: 4, size: 4_000, "\n", finalNewline: true));
        var job = _job.Job(StreamingJob.Cat, StreamingJob.Cat);
        var output = await LocalMapReduce.ReadAsync(await job.RunAsync(_job.Text(text), 40));
        Assert.Equal(StreamingJob.Shell("LC_ALL=C sort", text), output);
        Assert.True(job.Counters["spills"] > 0);
    }

    [Fact]
    public async Task Gzip_OfTwoMembers_IsReadWhole()
    {
        using var packed = new MemoryStream();
        foreach (var part in new[] { "one two\r\nthr", "ee one\n" })
        {
            await using var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true);
            await gzip.WriteAsync(Encoding.ASCII.GetBytes(part));
        }

        var job = _job.Job(StreamingJob.Tokenise, StreamingJob.Sum, gzip: true);
        var output = await LocalMapReduce.ReadAsync(await job.RunAsync(_job.Text(packed.ToArray()), 1 << 20));
        Assert.Equal("one\t2\nthree\t1\ntwo\t1", StreamingJob.Sorted(output));
        Assert.Equal(2, job.Counters["map_input_records"]);
    }

    [Fact]
    public async Task Gzip_ThatIsCut_FailsAsDamagedInput()
    {
        using var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true)) await gzip.WriteAsync(Text(1, 50_000, "\n", true));
        var cut = packed.ToArray()[..(int)(packed.Length / 2)];
        var failure = await Assert.ThrowsAsync<AttemptFailedException>(() =>
            _job.Job(StreamingJob.Cat, StreamingJob.Cat, gzip: true).RunAsync(_job.Text(cut), 1 << 20));
        Assert.Equal("input-damaged", failure.Type);
    }

    [Fact]
    public async Task Mapper_ThatStopsReadingEarlyAndExitsZero_Succeeds()
    {
        var text = Text(seed: 2, size: 5 << 20, "\n", finalNewline: true);
        var job = _job.Job("#!/bin/sh\nexec head -n 2\n", StreamingJob.Cat);
        var output = await LocalMapReduce.ReadAsync(await job.RunAsync(_job.Text(text), 1 << 30));
        Assert.Equal(StreamingJob.Shell("head -n 2 | LC_ALL=C sort", text), output);
    }

    [Fact]
    public async Task Mapper_ThatExits3_FailsWithTheCodeAndItsLastWords()
    {
        var job = _job.Job("#!/bin/sh\necho early >&2\nsleep 0.05\necho no such table >&2\nexit 3\n", StreamingJob.Cat);
        var failure = await Assert.ThrowsAsync<AttemptFailedException>(() => job.RunAsync(_job.Text(Text(1, 3 << 20, "\n", true)), 1 << 30));
        Assert.Equal((AttemptOutcome.Failed, "exit-code"), (failure.Outcome, failure.Type));
        Assert.Contains("3", failure.Message);
        Assert.EndsWith("no such table", failure.Message);
        Assert.Equal(3, failure.Exit!.Code);
        Assert.Equal("early\nno such table\n", job.Log.Text);
    }

    [Fact]
    public async Task Mapper_EndedByASignal_FailsWithIt()
    {
        var failure = await Assert.ThrowsAsync<AttemptFailedException>(() => _job.Job("#!/bin/sh\nkill -9 $$\n", StreamingJob.Cat).RunAsync(_job.Text("x\n"u8.ToArray()), 9));
        Assert.Equal("signal", failure.Type);
        Assert.Contains("9", failure.Message);
    }

    [Fact]
    public async Task Mapper_ThatLeavesAChildHoldingItsOutput_EndsAllTheSame()
    {
        var output = await LocalMapReduce.ReadAsync(await _job.Job("#!/bin/sh\ncat\nsleep 1000 &\n", StreamingJob.Cat).RunAsync(_job.Text("x\n"u8.ToArray()), 9));
        Assert.Equal("x\n", Encoding.ASCII.GetString(output));
    }

    [Fact]
    public async Task Cancelling_EndsTheProgramThatHangs()
    {
        using var stop = new CancellationTokenSource();
        var job = _job.Job("#!/bin/sh\necho started >&2\nexec sleep 1000\n", StreamingJob.Cat);
        var run = job.RunAsync(_job.Text("x\n"u8.ToArray()), 9, stop.Token);
        await Eventually.TrueAsync(() => job.Log.Text == "started\n", "the program has started");
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run);
    }

    [Fact]
    public async Task ReporterLines_BecomeCountersAndStatus_AndAllElseIsLog()
    {
        const string mapper = "#!/bin/sh\ncat >/dev/null\n{ echo hello; echo reporter:counter:words,bad lines,3; echo reporter:status:half way; printf reporter:; sleep 0.05\n"
            + "echo counter:words,bad lines,4; echo x reporter:counter:no,no,1; echo reporter:counter:broken; printf last; } >&2\n";
        var job = _job.Job(mapper, StreamingJob.Cat);
        await job.RunAsync(_job.Text("x\n"u8.ToArray()), 9);
        Assert.Equal(7, job.Counters["words\tbad lines"]);
        Assert.Equal("half way", job.Status);
        Assert.Equal("hello\nx reporter:counter:no,no,1\nreporter:counter:broken\nlast", job.Log.Text);
    }

    [Fact]
    public async Task Environment_HasHadoopsNames()
    {
        var job = _job.Job("#!/bin/sh\ncat >/dev/null\nenv | grep -E '^(mapreduce_|JOBHUB_|HOME|PATH)'\n", StreamingJob.Cat);
        var text = Encoding.UTF8.GetString(await LocalMapReduce.ReadAsync(await job.RunAsync(_job.Text("abc\n"u8.ToArray()), 9)));
        foreach (var name in new[] { "JOBHUB_JOB_ID=", "JOBHUB_TASK_ID=", "JOBHUB_ATTEMPT=", "JOBHUB_ATTEMPT_NUMBER=1", "JOBHUB_PARTITION=0", "mapreduce_task_partition=0",
                     "mapreduce_map_input_start=0", "mapreduce_map_input_length=4", "mapreduce_map_input_file=/" })
            Assert.Contains($"\n{name}", $"\n{text}");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Reducer_ThatMeetsADamagedOrMissingRun_NamesTheMap(bool missing)
    {
        var job = _job.Job(StreamingJob.Cat, StreamingJob.Cat);
        await job.MapAsync(_job.Text(Text(6, 3_000, "\n", true)), 1000);
        var run = job.RunsOf(0)[1];
        if (missing)
        {
            File.Delete(run.Source.Path!);
        }
        else
        {
            var bytes = await File.ReadAllBytesAsync(run.Source.Path!);
            bytes[^10] ^= 4;
            await File.WriteAllBytesAsync(run.Source.Path!, bytes);
        }

        var failure = await Assert.ThrowsAsync<AttemptFailedException>(() => job.ReduceAsync());
        Assert.Equal((AttemptOutcome.OutputLost, "output-lost"), (failure.Outcome, failure.Type));
        Assert.Equal((1, 1), (failure.LostRun!.Map, failure.LostRun.Attempt));
    }

    private static byte[] Text(int seed, int size, string lineEnd, bool finalNewline)
    {
        var random = new Random(seed);
        var text = new StringBuilder();
        while (text.Length < size)
        {
            var words = random.Next(12) == 0 ? 0 : random.Next(14);
            for (var i = 0; i < words; i++) text.Append(random.Next(5) == 0 ? " \t" : "").Append(Words[random.Next(Words.Length)]).Append(' ');
            text.Append(lineEnd);
        }

        if (!finalNewline) text.Append("end");
        return Encoding.UTF8.GetBytes(text.ToString());
    }
}
