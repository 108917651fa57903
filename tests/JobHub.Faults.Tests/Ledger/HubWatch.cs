using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using JobHub.Faults.Tests.Hubs;

namespace JobHub.Faults.Tests.Ledger;

/// <summary>
/// Reads a hub all the time that faults happen to it: the counts of every job (L5) and all events, over one cursor that resumes where it was cut (L9).
/// A hub that does not answer is no finding; a wrong answer is.
/// </summary>
public sealed class HubWatch : IAsyncDisposable
{
    private readonly FaultHub hub;
    private readonly ConcurrentDictionary<string, long> jobs = new();
    private readonly ConcurrentDictionary<string, (long Succeeded, long Records)> last = new();
    private readonly CancellationTokenSource stop = new();
    private readonly Task[] loops;

    public HubWatch(FaultHub hub)
    {
        this.hub = hub;
        loops = [Task.Run(PollAsync), Task.Run(FollowAsync)];
    }

    public ConcurrentQueue<string> Findings { get; } = new();

    /// <summary>Positions in the order they came; a resumed stream may not send one again.</summary>
    public ConcurrentQueue<long> Positions { get; } = new();

    public int Reads { get; private set; }

    public int Streams { get; private set; }

    /// <summary>Begins to look at a job.</summary>
    /// <param name="records">Lines of its input: its map_input_records may never be more.</param>
    public void Add(string job, long records) => jobs[job] = records;

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await Task.WhenAll(loops);
        stop.Dispose();
    }

    private async Task PollAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            foreach (var (id, records) in jobs)
            {
                try
                {
                    Check(id, records, await hub.JobAsync(id));
                    Reads++;
                }
                catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
                {
                    // Down just now.
                }
            }

            await Task.Delay(50, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void Check(string id, long records, JsonElement job)
    {
        var tasks = job.GetProperty("tasks");
        long sum = 0;
        foreach (var count in tasks.EnumerateObject().Where(c => c.Name != "total"))
        {
            var n = count.Value.GetInt64();
            sum += n;
            if (n < 0) Findings.Enqueue($"L5: job {id} has {count.Name} = {n}");
        }

        if (sum != tasks.GetProperty("total").GetInt64()) Findings.Enqueue($"L5: states of the tasks of job {id} do not add up: {tasks}");
        var read = job.GetProperty("counters").TryGetProperty("map_input_records", out var value) ? value.GetInt64() : 0;
        if (read < 0 || read > records) Findings.Enqueue($"L5: job {id} counts {read} records of {records}");
        var progress = job.GetProperty("progress").GetDouble();
        if (progress is < 0 or > 1) Findings.Enqueue($"L5: job {id} has progress {progress}");
        var now = (Succeeded: tasks.GetProperty("succeeded").GetInt64(), Records: read);
        var before = last.GetValueOrDefault(id);
        if ((now.Succeeded < before.Succeeded || now.Records < before.Records) && !OutputsMayBeLost) Findings.Enqueue($"L5: job {id} went back from {before} to {now}");
        last[id] = now;
    }

    /// <summary>Set where the test removes outputs: then counts go back with them.</summary>
    public bool OutputsMayBeLost { get; set; }

    private async Task FollowAsync()
    {
        long position = 0;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, "/hub/v1/events");
                request.Headers.Add("Last-Event-ID", position.ToString(CultureInfo.InvariantCulture));
                using var answer = await hub.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop.Token);
                answer.EnsureSuccessStatusCode();
                Streams++;
                using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(stop.Token));
                long id = 0;
                while (await lines.ReadLineAsync(stop.Token) is { } line)
                {
                    if (line.StartsWith("id:", StringComparison.Ordinal)) id = long.Parse(line.AsSpan(3), CultureInfo.InvariantCulture);
                    // Only the empty line makes an event of what came before it.
                    if (line.Length > 0 || id == 0 || id == position) continue;
                    if (id <= position) Findings.Enqueue($"L9: position {id} came after {position}");
                    position = id;
                    Positions.Enqueue(id);
                }
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
            {
                await Task.Delay(100, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
