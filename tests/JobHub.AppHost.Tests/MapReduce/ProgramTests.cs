using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>The programs that people bring run unmodified, in every language of the samples.</summary>
[Collection(HubsCollection.Name)]
public sealed class ProgramTests(HubsFixture hubs) : IAsyncLifetime
{
    private static readonly byte[] Text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 40).Select(static i => $"one {i % 7} Ωμέγα\r\n\ntwo\tone{i % 3}\n")) + "no end");

    private HubClient hub = null!;

    public async Task InitializeAsync() => hub = await hubs.FilesAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Theory, InlineData(false), InlineData(true)]
    public async Task Streaming_InPython_CountsWordsAndReportsItsCounters(bool combined)
    {
        await hub.UploadSampleAsync("mapper.py", "streaming/python/mapper.py");
        await hub.UploadSampleAsync("reducer.py", "streaming/python/reducer.py");
        var submission = hub.WordCount(hub.Write("python.txt", Text), 2);
        (submission["mapperName"], submission["reducerName"], submission["splitSize"]) = ("mapper.py", "reducer.py", 400);
        if (combined) submission["combinerName"] = "reducer.py";
        var id = await hub.RunAsync(submission);

        var expected = await Words.ExpectedAsync(Text);
        Assert.Equal(expected, Words.Of(hub.Parts(id, 2)));
        // A combiner changes how much is moved and nothing else.
        var counters = await Testing.Eventually.GetAsync(async () => (await hub.JobAsync(id))["counters"], static c => c?["reduce_output_records"] is not null, "the job's counters");
        Assert.Equal(expected.Values.Sum(), (long)counters!["wordcount\twords"]!);
        Assert.Equal(Encoding.UTF8.GetString(Text).Count(static c => c == '\n') + 1, (long)counters["map_input_records"]!);
        Assert.Equal(Text.Length, (long)counters["map_input_bytes"]!);
        Assert.Equal(expected.Count, (long)counters["reduce_output_records"]!);
        Assert.Equal(expected.Count, (long)counters["reduce_input_groups"]!);
        if (combined)
        {
            Assert.Equal(expected.Values.Sum(), (long)counters["combine_input_records"]!);
            Assert.True((long)counters["reduce_input_records"]! < expected.Values.Sum());
        }
        else
        {
            Assert.Equal(expected.Values.Sum(), (long)counters["reduce_input_records"]!);
        }
    }

    [Fact]
    public async Task Streaming_InCSharp_CountsWordsWithItsRoleFromTheArguments()
    {
        // One file, framework-dependent: what publish.sh makes, without the runtime inside.
        var target = Path.Combine(hub.Folder, "csharp");
        await ToolAsync("dotnet", "build", Path.Combine(HubClient.Samples, "streaming/csharp/WordCount.csproj"), "-v", "q", "-o", target, $"-p:BaseIntermediateOutputPath={hub.Folder}/csharp-obj/");
        await hub.UploadAsync("csharp.sh", $"#!/bin/sh\nexec {Environment.ProcessPath} exec {target}/WordCount.dll \"$@\"\n");
        var submission = hub.WordCount(hub.Write("csharp.txt", Text), 2);
        (submission["mapperName"], submission["reducerName"], submission["splitSize"]) = ("csharp.sh", "csharp.sh", 700);
        (submission["mapperArgs"], submission["reducerArgs"]) = (new JsonArray("map"), new JsonArray("reduce"));
        var id = await hub.RunAsync(submission);

        Assert.Equal(await Words.ExpectedAsync(Text), Words.Of(hub.Parts(id, 2)));
    }

    [Theory, InlineData("python", "python"), InlineData("c", "c"), InlineData("c", "python")]
    public async Task Sockets_OfTheSamples_CountWordsIntoJsonResults(string mapper, string reducer)
    {
        await hub.UploadAsync($"map-{mapper}", await SocketProgramAsync(mapper, "mapper"), type: null);
        await hub.UploadAsync($"reduce-{reducer}", await SocketProgramAsync(reducer, "reducer"), type: mapper == "c" ? "executable" : null);
        var text = "red \"blue\"\r\n\nred Ωμέγα back\\slash\nred"u8.ToArray();
        var submission = hub.WordCount(hub.Write("socket.txt", text), 3);
        (submission["mapperName"], submission["reducerName"], submission["splitSize"]) = ($"map-{mapper}", $"reduce-{reducer}", 15);
        var id = await hub.RunAsync(submission);

        var folder = Path.Combine(hub.Folder, "out", id);
        Assert.Equal(["0.json", "1.json", "2.json", "_SUCCESS"], Directory.GetFileSystemEntries(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
        var counts = new SortedDictionary<string, long>(StringComparer.Ordinal);
        for (var i = 0; i < 3; i++)
        {
            var result = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(folder, $"{i}.json")))!.AsObject();
            Assert.Equal("pairs", Assert.Single(result).Key);
            foreach (var pair in result["pairs"]!.AsArray())
            {
                Assert.Equal(["key", "value"], pair!.AsObject().Select(static member => member.Key));
                counts.Add(Encoding.Latin1.GetString(Encoding.UTF8.GetBytes((string)pair["key"]!)), (long)pair["value"]!);
            }
        }
        Assert.Equal(await Words.ExpectedAsync(text), counts);
        Assert.Equal("executable", (string?)(await hub.TasksAsync(id))[0]!["program"]!["type"]);
    }

    [Fact]
    public async Task Sockets_ALineThatCannotBeAnArgument_FailsTheJobAndNamesTheLine()
    {
        await hub.UploadAsync("map-any", await SocketProgramAsync("python", "mapper"), type: null);
        await hub.UploadAsync("reduce-any", await SocketProgramAsync("python", "reducer"), type: null);
        var submission = hub.WordCount(hub.Write("nul.txt", "a\nb\nc\0d\n"), 1);
        (submission["mapperName"], submission["reducerName"]) = ("map-any", "reduce-any");
        var id = await hub.SubmitAsync(submission);
        var job = await hub.EndAsync(id);

        Assert.Equal("failed", (string?)job["status"]);
        Assert.Equal("line-not-passable", (string?)job["error"]!["type"]);
        Assert.Contains("Line 2", (string?)job["error"]!["message"]);
        Assert.Equal($"{id}-m-0", (string?)job["error"]!["taskId"]);
        Assert.Equal(1, (int)(await hub.TasksAsync(id))[0]!["attempts"]!);
    }

    [Fact]
    public async Task Streaming_Programs_SeeTheirArgumentsAndTheEnvironmentOfHadoopStreaming()
    {
        const string Show = """
            #!/bin/sh
            for name in JOBHUB_JOB_ID JOBHUB_TASK_ID JOBHUB_PARTITION mapreduce_job_id mapreduce_task_id mapreduce_task_partition mapreduce_map_input_file mapreduce_map_input_start mapreduce_map_input_length GREETING; do
                printf '%s-%s-%s\t%s\n' "$1" "${mapreduce_task_partition}" "$name" "$(printenv "$name")"
            done
            printf '%s-%s-args\t%s|%s|%s\n' "$1" "${mapreduce_task_partition}" "$#" "$1" "$2"
            printf '%s-%s-attempt\t%s\n' "$1" "${mapreduce_task_partition}" "${JOBHUB_ATTEMPT:+set}"
            cat
            """;
        await hub.UploadAsync("show.sh", Show);
        var input = hub.Write("shown.txt", "12345\n1234\n");
        var submission = hub.WordCount(input, 1);
        (submission["mapperName"], submission["reducerName"], submission["splitSize"]) = ("show.sh", "show.sh", 8);
        (submission["mapperArgs"], submission["reducerArgs"]) = (new JsonArray("map", "two words; $HOME 'é'"), new JsonArray("reduce"));
        submission["environment"] = new JsonObject { ["GREETING"] = "good day, \"you\"" };
        var id = await hub.RunAsync(submission);

        var shown = Encoding.UTF8.GetString(hub.Parts(id, 1)[0]).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => line.Split('\t')).Where(static r => r.Length == 2).ToDictionary(static r => r[0], static r => r[1]);
        foreach (var (role, partition, task) in new[] { ("map", 0, $"{id}-m-0"), ("map", 1, $"{id}-m-1"), ("reduce", 0, $"{id}-r-0") })
        {
            string Of(string name) => shown[$"{role}-{partition}-{name}"];
            Assert.Equal((id, id, task, task), (Of("JOBHUB_JOB_ID"), Of("mapreduce_job_id"), Of("JOBHUB_TASK_ID"), Of("mapreduce_task_id")));
            Assert.Equal(($"{partition}", $"{partition}"), (Of("JOBHUB_PARTITION"), Of("mapreduce_task_partition")));
            Assert.Equal("good day, \"you\"", Of("GREETING"));
            Assert.Equal("set", Of("attempt"));
        }
        Assert.Equal((input, "0", "8"), (shown["map-0-mapreduce_map_input_file"], shown["map-0-mapreduce_map_input_start"], shown["map-0-mapreduce_map_input_length"]));
        Assert.Equal((input, "8", "3"), (shown["map-1-mapreduce_map_input_file"], shown["map-1-mapreduce_map_input_start"], shown["map-1-mapreduce_map_input_length"]));
        Assert.Equal("2|map|two words; $HOME 'é'", shown["map-0-args"]);
        Assert.Equal("1|reduce|", shown["reduce-0-args"]);
    }

    [Fact]
    public async Task Streaming_AMapperThatStopsReading_IsASuccess()
    {
        await hub.UploadAsync("head.sh", "#!/bin/sh\nexec head -n 2\n");
        // More than any pipe holds.
        var submission = hub.WordCount(hub.Write("head.txt", string.Concat(Enumerable.Range(0, 200_000).Select(static i => $"line{i:D7}\t1\n"))), 1);
        submission["mapperName"] = "head.sh";
        var id = await hub.RunAsync(submission);

        Assert.Equal("line0000000\t1\nline0000001\t1\n", Encoding.UTF8.GetString(hub.Parts(id, 1)[0]));
    }

    [Fact]
    public async Task Streaming_RecordsWithoutATab_AreKeysWithAnEmptyValue()
    {
        var submission = hub.WordCount(hub.Write("keys.txt", "b\nno tab here\na\tx\ty\nb\n\n"), 1);
        (submission["mapperName"], submission["reducerName"]) = ("cat", "cat");
        var id = await hub.RunAsync(submission);

        var lines = Encoding.UTF8.GetString(hub.Parts(id, 1)[0]).Split('\n')[..^1].Select(static line => line.TrimEnd('\t'));
        Assert.Equal(["", "a\tx\ty", "b", "b", "no tab here"], lines);
    }

    private async Task<byte[]> SocketProgramAsync(string language, string role)
    {
        if (language == "python") return await File.ReadAllBytesAsync(Path.Combine(HubClient.Samples, $"socket/python/{role}.py"));
        var program = Path.Combine(hub.Folder, $"c-{role}");
        if (!File.Exists(program)) await ToolAsync("cc", "-O2", "-o", program, Path.Combine(HubClient.Samples, $"socket/c/{role}.c"));
        return await File.ReadAllBytesAsync(program);
    }

    private static async Task ToolAsync(string name, params string[] arguments)
    {
        using var tool = Process.Start(new ProcessStartInfo(name, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (tool.StandardOutput.ReadToEndAsync(), tool.StandardError.ReadToEndAsync());
        await tool.WaitForExitAsync();
        Assert.True(tool.ExitCode == 0, await output + await error);
    }
}
