using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using JobHub.AppHost.LocalHosting;
using Spectre.Console;

namespace JobHub.AppHost.Demo;

/// <summary>Counts the words of a text through the public API, as any client would.</summary>
internal static class WordCountDemo
{
    private const int Reducers = 4;
    private const string Mapper = "wordcount-mapper.awk";
    private const string Reducer = "wordcount-reducer.awk";

    /// <summary>Runs the hub, and the demo as soon as it answers.</summary>
    /// <returns>0 only when the job completed and its counts add up to the words of the text.</returns>
    public static async Task<int> RunBesideAsync(Func<CancellationToken, Task> runHub, DemoArguments demo, HubArguments hub, HubFolder folder)
    {
        using var stop = new CancellationTokenSource();
        var running = runHub(stop.Token);
        using var ended = new CancellationTokenSource();
        _ = running.ContinueWith(_ => ended.Cancel(), TaskScheduler.Default);
        var right = false;
        try
        {
            right = await RunAsync(demo, hub, folder, ended.Token);
            if (!demo.Once) AnsiConsole.MarkupLine("The hub stays up; Ctrl-C stops it.");
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            // The hub was stopped or could not start: its own words follow below.
        }
        catch (HubStartException e) when (!running.IsCompleted)
        {
            await Console.Error.WriteLineAsync(e.Message);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException)
        {
            await Console.Error.WriteLineAsync($"The demo failed: {e.Message}");
        }
        if (demo.Once) await stop.CancelAsync();
        await running;
        return right ? 0 : 1;
    }

    private static async Task<bool> RunAsync(DemoArguments demo, HubArguments hub, HubFolder folder, CancellationToken cancellationToken)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false })
        {
            BaseAddress = new Uri($"http://127.0.0.1:{hub.ApiPort}"), Timeout = TimeSpan.FromSeconds(100),
        };
        await WaitForWorkAsync(http, hub, folder, cancellationToken);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (await File.ReadAllTextAsync(folder.AdminToken, cancellationToken)).Trim());

        var staged = Path.Combine(folder.Root, "demo", $"{Guid.CreateVersion7():N}");
        try
        {
            var text = await DemoText.StageAsync(demo.Inputs, Path.Combine(staged, "input"), cancellationToken);
            foreach (var (name, sample) in new[] { (Mapper, "mapper.awk"), (Reducer, "reducer.awk") })
                await UploadAsync(http, name, Path.Combine(AppContext.BaseDirectory, "samples", "wordcount", sample), cancellationToken);
            var clock = TimeProvider.System;
            var start = clock.GetTimestamp();
            var output = Path.Combine(staged, "output");
            var id = await SubmitAsync(http, text, output, hub.Slots, cancellationToken);
            var job = await WatchAsync(http, id, cancellationToken);
            var took = clock.GetElapsedTime(start);
            var page = hub.Web ? $"http://127.0.0.1:{hub.WebPort}/jobs/{id}" : $"http://127.0.0.1:{hub.ApiPort}/api/v1/jobs/{id}";
            if (job.Status != "completed")
            {
                await Console.Error.WriteLineAsync($"The job ended as {job.Status}: {job.Error?.Type} {job.Error?.Message} {job.Error?.TaskId}\njob page {page}");
                return false;
            }
            var tasks = await GetAsync<List<TaskAnswer>>(http, $"/api/v1/jobs/{id}/tasks", cancellationToken);
            var counts = await ReadCountsAsync(Path.Combine(output, id), cancellationToken);
            return Print(text, counts, tasks.Count(t => t.Type == "mapper"), took, page);
        }
        finally
        {
            if (Directory.Exists(staged)) Directory.Delete(staged, recursive: true);
        }
    }

    // As the ready line does, it waits for each part, so that the two do not write over each other.
    private static async Task WaitForWorkAsync(HttpClient http, HubArguments hub, HubFolder folder, CancellationToken cancellationToken)
    {
        var records = new RunRecords(folder.Run);
        foreach (var part in hub.Web ? new[] { "api", "worker", "web" } : ["api", "worker"])
        {
            while (records.Find(part)?.Address is not { } address || !await AnswersAsync(http, address, cancellationToken)) await Task.Delay(100, cancellationToken);
        }
        await Task.Delay(100, cancellationToken);
    }

    private static async Task<bool> AnswersAsync(HttpClient http, string address, CancellationToken cancellationToken)
    {
        try
        {
            // Without our token: the record may be an old one, and its port somebody else's by now.
            using var request = new HttpRequestMessage(HttpMethod.Get, $"{address}/health");
            using var answer = await http.SendAsync(request, cancellationToken);
            return answer.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static async Task UploadAsync(HttpClient http, string name, string file, CancellationToken cancellationToken)
    {
        await using var stream = File.OpenRead(file);
        using var form = new MultipartFormDataContent { { new StringContent("streaming"), "type" }, { new StreamContent(stream), "program", name } };
        using var answer = await http.PutAsync("/api/v1/artifacts", form, cancellationToken);
        await MustAsync(answer, $"Uploading {name}", cancellationToken);
    }

    private static async Task<string> SubmitAsync(HttpClient http, StagedText text, string output, int slots, CancellationToken cancellationToken)
    {
        var request = new
        {
            nReducers = Reducers, inputPath = text.Address, inputType = "file/txt", outputPath = $"file://{output}",
            mapperName = Mapper, reducerName = Reducer, combinerName = Reducer, title = "word count (demo)",
            splitSize = Math.Clamp(text.Bytes / (4L * Math.Max(2, slots)), 16 * 1024, 64L * 1024 * 1024),
        };
        using var answer = await http.PostAsJsonAsync("/api/v1/jobs", request, cancellationToken);
        await MustAsync(answer, "Submitting the job", cancellationToken);
        return (await answer.Content.ReadFromJsonAsync<JobAnswer>(cancellationToken))!.Id;
    }

    private static async Task<JobAnswer> WatchAsync(HttpClient http, string id, CancellationToken cancellationToken) =>
        await AnsiConsole.Progress().AutoClear(false).HideCompleted(false)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(async progress =>
            {
                var bar = progress.AddTask("word count");
                while (true)
                {
                    var job = await GetAsync<JobAnswer>(http, $"/api/v1/jobs/{id}", cancellationToken);
                    bar.Value = Math.Clamp(job.Progress, 0, 1) * 100;
                    if (job.Status is "completed" or "failed" or "stopped")
                    {
                        bar.StopTask();
                        return job;
                    }
                    await Task.Delay(100, cancellationToken);
                }
            });

    private static async Task<Dictionary<string, long>> ReadCountsAsync(string folder, CancellationToken cancellationToken)
    {
        var counts = new Dictionary<string, long>();
        foreach (var file in Directory.GetFiles(folder, "part-*"))
        {
            await foreach (var line in File.ReadLinesAsync(file, System.Text.Encoding.Latin1, cancellationToken))
            {
                var tab = line.LastIndexOf('\t');
                if (tab < 0 || !long.TryParse(line.AsSpan(tab + 1), out var count) || !counts.TryAdd(line[..tab], count))
                    throw new IOException($"{file} has a line that does not belong there: {line}");
            }
        }
        return counts;
    }

    private static bool Print(StagedText text, Dictionary<string, long> counts, int splits, TimeSpan took, string page)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn("word").AddColumn(new TableColumn("count").RightAligned());
        foreach (var (word, count) in counts.OrderByDescending(c => c.Value).ThenBy(c => c.Key, StringComparer.Ordinal).Take(20))
        {
            // Bytes went through as Latin-1, one character each; here they become the text they were.
            var shown = System.Text.Encoding.UTF8.GetString(System.Text.Encoding.Latin1.GetBytes(word));
            table.AddRow(Markup.Escape(string.Concat(shown.Take(60).Select(c => char.IsControl(c) ? '␛' : c))), $"{count:N0}");
        }
        AnsiConsole.Write(table);
        var total = counts.Values.Sum();
        AnsiConsole.WriteLine($"{text.Bytes:N0} bytes of {text.Files:N0} files in {splits:N0} splits and {Reducers} reducers: "
            + $"{took.TotalSeconds:0.0} s, {text.Bytes / 1e6 / took.TotalSeconds:0.0} MB/s; {total:N0} words, {counts.Count:N0} different");
        AnsiConsole.WriteLine($"job page {page}");
        if (total == text.Words) return true;
        Console.Error.WriteLine($"Wrong: the text has {text.Words:N0} words, the counts add up to {total:N0}.");
        return false;
    }

    private static async Task<T> GetAsync<T>(HttpClient http, string address, CancellationToken cancellationToken)
    {
        using var answer = await http.GetAsync(address, cancellationToken);
        await MustAsync(answer, $"GET {address}", cancellationToken);
        return (await answer.Content.ReadFromJsonAsync<T>(cancellationToken))!;
    }

    private static async Task MustAsync(HttpResponseMessage answer, string what, CancellationToken cancellationToken)
    {
        if (answer.IsSuccessStatusCode) return;
        var body = await answer.Content.ReadAsStringAsync(cancellationToken);
        throw new HubStartException($"{what} was answered with {(int)answer.StatusCode}: {body[..Math.Min(body.Length, 2000)]}");
    }

    private sealed record JobAnswer(string Id, string Status, double Progress, ErrorAnswer? Error);

    private sealed record ErrorAnswer(string? Type, string? Message, string? TaskId);

    private sealed record TaskAnswer(string Id, string Type);
}
