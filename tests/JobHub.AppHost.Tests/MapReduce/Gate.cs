using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>Holds the mappers of a job until it is opened, so that a test sees them run.</summary>
internal sealed class Gate(HubClient hub)
{
    private const string Program = "#!/bin/sh\nprintf 'waits\\n' >&2\nwhile [ ! -e \"$GATE\" ]; do sleep 0.02; done\nprintf 'goes\\n' >&2\nexec cat\n";

    private readonly string path = Path.Combine(hub.Folder, $"gate-{Guid.NewGuid():N}");

    /// <summary>A name that stands in the command line of each held program.</summary>
    public string Mark => Path.GetFileName(path);

    public void Open() => File.WriteAllText(path, "");

    /// <summary>A job with this many maps, each held, and one reducer; both pass their input on.</summary>
    public async Task<JsonObject> JobAsync(int maps)
    {
        await hub.UploadAsync("gate.sh", Program);
        var submission = hub.WordCount(hub.Write($"{Mark}.txt", string.Concat(Enumerable.Range(0, maps).Select(static i => $"line {i:D3}\n"))), 1);
        (submission["mapperName"], submission["reducerName"], submission["splitSize"]) = ("gate.sh", "cat", 9);
        submission["environment"] = new JsonObject { ["GATE"] = path };
        submission["mapperArgs"] = new JsonArray(Mark);
        return submission;
    }

    /// <summary>Waits until so many of a job's maps run.</summary>
    public Task<JsonArray> RunningAsync(string id, int maps) =>
        Testing.Eventually.GetAsync(() => hub.TasksAsync(id), tasks => tasks.Count(static task => (string?)task!["status"] == "in-progress") == maps, $"{maps} running maps");

    /// <summary>Processes that this gate holds.</summary>
    public int[] Held() => [.. Directory.GetDirectories("/proc").Select(static folder => int.TryParse(Path.GetFileName(folder), out var id) ? id : 0).Where(id => id > 0 && Carries(id))];

    private bool Carries(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline").Contains(Mark, StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
