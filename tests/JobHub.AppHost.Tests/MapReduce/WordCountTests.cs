using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>Whatever the text, its cut and its place, a word count is that of the usual tools.</summary>
[Collection(HubsCollection.Name)]
public sealed class WordCountTests(HubsFixture hubs) : IAsyncLifetime
{
    private const string Utf8 = "naïve Ωμέγα 東京 😀 naïve\nÅ\u00a0b 東京\n";

    private HubClient hub = null!;

    public async Task InitializeAsync() => hub = await hubs.FilesAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    public static TheoryData<string> Texts => ["lf", "no-final-newline", "crlf", "utf8", "empty-lines", "only-line-ends", "long-lines", "bytes"];

    private static byte[] TextOf(string kind) => kind switch
    {
        "lf" => "a b a\nc\na\tb\n"u8.ToArray(),
        "no-final-newline" => "x y\nx\nlast line"u8.ToArray(),
        "crlf" => "a b\r\n\r\na\r\nc \r\nd"u8.ToArray(),
        "utf8" => Encoding.UTF8.GetBytes(Utf8),
        "empty-lines" => "\n\na\n\n\n b \n\n"u8.ToArray(),
        "only-line-ends" => "\n\r\n\n"u8.ToArray(),
        "long-lines" => Encoding.ASCII.GetBytes($"{new string('w', 30)} {new string('v', 20)}\nz\n"),
        _ => [.. "a\xff"u8, 0xfe, 0x80, (byte)' ', 0xc3, (byte)'\n', (byte)'\v', (byte)'a', (byte)'\f', (byte)'1', (byte)' ', (byte)'1', (byte)'.', (byte)'0', (byte)'\n', 0xff],
    };

    [Theory, MemberData(nameof(Texts))]
    public async Task WordCount_OfAnyTextInAnyCut_IsThatOfTheUsualTools(string kind)
    {
        var small = TextOf(kind);
        // Repeated, so that splits of all sizes end in the middle of lines, words, characters and between CR and LF.
        var large = Enumerable.Repeat(small, 5000 / small.Length).SelectMany(static bytes => bytes).ToArray();
        List<(byte[] Text, long? Split, int Reducers)> cuts = [(small, 1, 1), (small, 2, 3), (large, 997, 2), (large, 4096, 64), (large, large.Length, 1), (large, null, 5)];
        var jobs = new List<(string Id, byte[] Text, int Reducers)>();
        foreach (var (text, split, reducers) in cuts)
        {
            var submission = hub.WordCount(hub.Write($"{kind}-{text.Length}.txt", text), reducers);
            if (split is { } size) submission["splitSize"] = size;
            jobs.Add((await hub.SubmitAsync(submission), text, reducers));
        }

        var expected = new Dictionary<byte[], SortedDictionary<string, long>> { [small] = await Words.ExpectedAsync(small) };
        if (!expected.ContainsKey(large)) expected[large] = await Words.ExpectedAsync(large);
        foreach (var (id, text, reducers) in jobs)
        {
            await hub.CompletedAsync(id);
            Assert.Equal(expected[text], Words.Of(hub.Parts(id, reducers)));
        }
    }

    [Fact]
    public async Task WordCount_OfOneLineOf100Megabytes_IsRightWhateverTheSplits()
    {
        const int Block = 1_000_000, Blocks = 100;
        var block = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, Block / 50).Select(static i => $"{i % 701:D49} ")));
        var path = Path.Combine(hub.Folder, "line.txt");
        await using (var file = File.Create(path))
        {
            await file.WriteAsync("head\n"u8.ToArray());
            for (var i = 0; i < Blocks; i++) await file.WriteAsync(block);
        }
        await hub.UploadAsync("words.sh", "#!/bin/sh\nexport LC_ALL=C\ntr -s '[:space:]' '\\n' | sed -n 's/.$/&\\t1/p'\n");
        var submission = hub.WordCount($"file://{path}");
        submission["mapperName"] = "words.sh";
        submission["combinerName"] = "reduce.awk";
        submission["splitSize"] = 16 << 20;
        var id = await hub.RunAsync(submission);
        File.Delete(path);

        var expected = await Words.ExpectedAsync(block);
        foreach (var word in expected.Keys.ToArray()) expected[word] *= Blocks;
        expected["head"] = 1;
        Assert.Equal(expected, Words.Of(hub.Parts(id, 2)));
        var tasks = await hub.TasksAsync(id);
        Assert.Equal(6, tasks.Count(task => (string?)task!["type"] == "mapper"));
    }

    [Theory, InlineData("file/txt"), InlineData("file/gzip")]
    public async Task WordCount_OfAnEmptyFile_CompletesWithEmptyOutputsAndNoMap(string type)
    {
        var submission = hub.WordCount(hub.Write("empty.txt", ""), 3);
        submission["inputType"] = type;
        var id = await hub.RunAsync(submission);

        Assert.All(hub.Parts(id, 3), Assert.Empty);
        Assert.Equal([$"{id}-r-0", $"{id}-r-1", $"{id}-r-2"], (await hub.TasksAsync(id)).Select(task => (string?)task!["id"]));
        var job = await hub.JobAsync(id);
        Assert.Equal(0, (long)job["inputData"]!["splitEnd"]!);
        Assert.Equal(1, (double)job["progress"]!);
    }

    [Fact]
    public async Task WordCount_OfAThousandObjects_TakesAllOfAFolderOrThoseThatMatch()
    {
        for (var i = 0; i < 1000; i++) hub.Write($"many/{(i % 25 == 0 ? "odd" : "even")}/{i}.txt", $"all n{i % 10}\r\nlast{i % 3}");
        hub.Write("many/odd/none.md", "not me");
        hub.Write("many/odd/zero.txt", "");
        var all = await hub.SubmitAsync(hub.WordCount($"file://{hub.Folder}/many/even/", 4));
        var some = await hub.SubmitAsync(hub.WordCount($"file://{hub.Folder}/many/odd/*.txt", 1));
        await hub.CompletedAsync(all);
        await hub.CompletedAsync(some);

        async Task<byte[]> TextAsync(string folder) => Encoding.UTF8.GetBytes(string.Join('\n', await Task.WhenAll(Directory.GetFiles(Path.Combine(hub.Folder, "many", folder), "*.txt").Select(path => File.ReadAllTextAsync(path)))));
        Assert.Equal(await Words.ExpectedAsync(await TextAsync("even")), Words.Of(hub.Parts(all, 4)));
        Assert.Equal(await Words.ExpectedAsync(await TextAsync("odd")), Words.Of(hub.Parts(some, 1)));
        Assert.Equal(960, (await hub.TasksAsync(all)).Count(task => (string?)task!["type"] == "mapper"));
    }

    [Fact]
    public async Task WordCount_OfCompressedText_IsThatOfTheText()
    {
        var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(Utf8, 2000)) + "end");
        // Members one after another are one text, as gunzip reads them.
        byte[] packed = [.. Compress(text.AsSpan(0, text.Length / 2)), .. Compress(text.AsSpan(text.Length / 2))];
        hub.Write("packed/a.gz", packed);
        hub.Write("packed/b.gz", Compress("\nmore"u8));
        var byName = hub.WordCount($"file://{hub.Folder}/packed/*.gz");
        byName["splitSize"] = 10;
        var byType = hub.WordCount(hub.Write("packed/plain-name", packed));
        byType["inputType"] = "file/gzip";
        var (one, two) = (await hub.SubmitAsync(byName), await hub.SubmitAsync(byType));
        await hub.CompletedAsync(one);
        await hub.CompletedAsync(two);

        Assert.Equal(await Words.ExpectedAsync([.. text, .. "\nmore"u8]), Words.Of(hub.Parts(one, 2)));
        Assert.Equal(await Words.ExpectedAsync(text), Words.Of(hub.Parts(two, 2)));
        Assert.Equal(2, (await hub.TasksAsync(one)).Count(task => (string?)task!["type"] == "mapper"));
    }

    [Fact]
    public async Task WordCount_InTheHubsOwnStore_CanBeReadByTheNextJob()
    {
        var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(Utf8, 50)));
        var bucket = $"words-{Guid.NewGuid():N}";
        var first = hub.WordCount(hub.Write("chain.txt", text), 3);
        first["outputPath"] = $"s3://{bucket}/some/prefix";
        first["splitSize"] = 100;
        var counted = await hub.RunAsync(first);
        // The second only carries the first's records over.
        var second = hub.WordCount($"s3://{bucket}/some/prefix/{counted}/part-*", 1);
        (second["mapperName"], second["reducerName"]) = ("cat", "cat");
        var carried = await hub.RunAsync(second);

        Assert.Equal(await Words.ExpectedAsync(text), Words.Of(hub.Parts(carried, 1)));
        var one = hub.WordCount($"s3://{bucket}/some/prefix/{counted}/_SUCCESS", 1);
        Assert.All(hub.Parts(await hub.RunAsync(one), 1), Assert.Empty);
    }

    private static byte[] Compress(ReadOnlySpan<byte> text)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest)) gzip.Write(text);
        return packed.ToArray();
    }
}
