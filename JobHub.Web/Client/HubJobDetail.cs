using System.Text.Json;

namespace JobHub.Web.Client;

/// <summary>One job: its tasks, attempts, inputs and outputs, and what can be done to it.</summary>
public sealed class HubJobDetail(HubHttp hub)
{
    /// <summary>Null when there is no such job.</summary>
    public Task<JobDetail?> JobAsync(string id, CancellationToken ct) => hub.FindAsync<JobDetail>(Of(id), ct);

    public Task<JobExplained?> ExplainAsync(string id, CancellationToken ct) => hub.FindAsync<JobExplained>($"{Of(id)}/explain", ct);

    /// <summary>The states of all tasks, a byte each, and of which kinds they are; null when there is no such job.</summary>
    public async Task<TaskStates?> StatesAsync(string id, CancellationToken ct)
    {
        try
        {
            using var answer = await hub.Client.GetAsync(new Uri($"{Of(id)}/tasks/states", UriKind.Relative), ct);
            if (answer.StatusCode is System.Net.HttpStatusCode.NotFound) return null;
            if (!answer.IsSuccessStatusCode) throw new HubAwayException($"The API answered {(int)answer.StatusCode}.", null);
            var phases = answer.Headers.TryGetValues("JobHub-Phases", out var values) ? values.First() : "";
            return new(TaskStates.Read(phases), await answer.Content.ReadAsByteArrayAsync(ct));
        }
        catch (HttpRequestException e)
        {
            throw new HubAwayException("The API does not answer.", e);
        }
    }

    public Task<HubPage<JobTask>> TasksAsync(string id, string? states, string? kind, int? from, int? to, string? after, CancellationToken ct) =>
        hub.GetAsync<HubPage<JobTask>>(HubHttp.Path($"{Of(id)}/tasks", ("limit", 100), ("state", states), ("kind", kind), ("from", from), ("to", to), ("after", after)), ct);

    public Task<JobAttempt[]?> AttemptsAsync(string id, string task, CancellationToken ct) => hub.FindAsync<JobAttempt[]>($"{Of(id)}/tasks/{Uri.EscapeDataString(task)}/attempts", ct);

    public Task<JobTimeline> TimelineAsync(string id, int limit, CancellationToken ct) => hub.GetAsync<JobTimeline>($"{Of(id)}/timeline?limit={limit}", ct);

    public Task<HubPage<JobInput>> InputsAsync(string id, string? after, CancellationToken ct) => hub.GetAsync<HubPage<JobInput>>(HubHttp.Path($"{Of(id)}/inputs", ("after", after)), ct);

    public Task<JobOutputs> OutputsAsync(string id, string? after, CancellationToken ct) => hub.GetAsync<JobOutputs>(HubHttp.Path($"{Of(id)}/outputs", ("after", after)), ct);

    /// <summary>The jobs of a group, newest first.</summary>
    public Task<HubPage<HubJob>> ChildrenAsync(string id, string? after, CancellationToken ct) => hub.GetAsync<HubPage<HubJob>>(HubHttp.Path("/hub/v1/jobs", ("limit", 100), ("parent", id), ("after", after)), ct);

    /// <summary>cancel, pause, resume, retry or reset.</summary>
    public Task DoAsync(string id, string verb, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, $"{Of(id)}/{verb}", null, ct);

    public Task SetPriorityAsync(string id, int priority, CancellationToken ct) => hub.DoAsync(HttpMethod.Patch, Of(id), new { priority }, ct);

    /// <summary>The id of the job that it became.</summary>
    public async Task<string> RunAgainAsync(string id, CancellationToken ct) => (await hub.AskAsync<Made>(HttpMethod.Post, $"{Of(id)}/run-again", null, ct)).Id;

    private static string Of(string id) => $"/hub/v1/jobs/{Uri.EscapeDataString(id)}";

    private sealed record Made(string Id);
}

/// <summary>A job with its family's own part.</summary>
public sealed record JobDetail
{
    public required string Id { get; init; }
    public required long Number { get; init; }
    public string? Name { get; init; }
    public string Family { get; init; } = "";
    public string? Title { get; init; }
    public string? User { get; init; }
    public string Project { get; init; } = "";
    public Dictionary<string, string> Labels { get; init; } = [];
    public int Priority { get; init; }
    public string State { get; init; } = "";
    public bool Paused { get; init; }
    public double Progress { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public HubError? Error { get; init; }
    public string? Parent { get; init; }
    public bool IsGroup { get; init; }
    public HubLeafCounts? Leaves { get; init; }
    public HubTaskCounts Tasks { get; init; } = new();
    public Dictionary<string, long> Counters { get; init; } = [];
    public JsonElement Details { get; init; }

    public bool HasEnded => State is "Succeeded" or "Failed" or "Canceled";

    /// <summary>A text of the family's own part, or null.</summary>
    public string? Detail(params string[] path)
    {
        var at = Details;
        foreach (var name in path)
        {
            if (at.ValueKind != JsonValueKind.Object || !at.TryGetProperty(name, out at)) return null;
        }

        return at.ValueKind switch { JsonValueKind.String => at.GetString(), JsonValueKind.Number => at.GetRawText(), _ => null };
    }
}

/// <summary>Why a job waits, and its tasks by what they wait for.</summary>
public sealed record JobExplained(JobWaiting? Waiting, IReadOnlyList<WaitingTasks> Tasks);

/// <summary>A reason, what is so, and what would change it.</summary>
public sealed record JobWaiting(string Reason, string Message, string? Change);

/// <summary>Tasks that wait for the same.</summary>
public sealed record WaitingTasks(long Count, string Kind, string Reason, string Message, string? Change);

/// <summary>All tasks of a job, a byte each in the words of the API.</summary>
public sealed record TaskStates(IReadOnlyList<TaskPhase> Phases, byte[] Squares)
{
    public static IReadOnlyList<TaskPhase> Read(string header) =>
        [.. header.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(static part => part.Split('=')).Where(static part => part.Length == 2).Select(static part => new TaskPhase(part[0], int.Parse(part[1], System.Globalization.CultureInfo.InvariantCulture)))];
}

/// <summary>Tasks of one kind.</summary>
public sealed record TaskPhase(string Kind, int Count)
{
    /// <summary>What its tasks' names begin with.</summary>
    public char Letter => char.ToLowerInvariant(Kind.Length > 0 ? Kind[0] : 't');
}

/// <summary>A task of a job.</summary>
public sealed record JobTask
{
    public required string Id { get; init; }
    public string Kind { get; init; } = "";
    public int Index { get; init; }
    public string State { get; init; } = "";
    public int Attempts { get; init; }
    public string? Worker { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public DateTimeOffset? NotBefore { get; init; }
    public HubError? Error { get; init; }
    public JobSplit? Split { get; init; }

    public string Short => JobAttempt.ShortOf(Kind, Index);
}

/// <summary>What a map reads.</summary>
public sealed record JobSplit(string Path, long Start, long End);

/// <summary>One run of a task.</summary>
public sealed record JobAttempt
{
    public int Number { get; init; }
    public string? Worker { get; init; }
    public string? Outcome { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public int? ExitCode { get; init; }
    public int? Signal { get; init; }
    public HubError? Error { get; init; }
    public double? CpuSeconds { get; init; }
    public long? PeakMemoryBytes { get; init; }
    public long LogSize { get; init; }

    /// <summary>A task as it is addressed within its job: <c>m-3</c>.</summary>
    public static string ShortOf(string kind, int index) => FormattableString.Invariant($"{new TaskPhase(kind, 0).Letter}-{index}");
}

/// <summary>The newest attempts of a job.</summary>
public sealed record JobTimeline(IReadOnlyList<JobBar> Items);

/// <summary>An attempt as a bar of time.</summary>
public sealed record JobBar(string Task, string Kind, int Index, int Attempt, string? Worker, DateTimeOffset StartedAt, DateTimeOffset? EndedAt, string? Outcome, bool Speculative);

/// <summary>What a job was given.</summary>
public sealed record JobInput(string Path, long Size, int? FirstTask);

/// <summary>What a job left.</summary>
public sealed record JobOutputs(string? Place, bool Readable, IReadOnlyList<JobOutput> Items, string? Next);

/// <summary>One of them.</summary>
public sealed record JobOutput(string Name, long Size, DateTimeOffset? ModifiedAt);
