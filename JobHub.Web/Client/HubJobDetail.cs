namespace JobHub.Web.Client;

/// <summary>One job: its tasks, attempts, inputs and outputs, and what can be done to it.</summary>
public sealed class HubJobDetail(HubHttp hub)
{
    /// <summary>Null when there is no such job.</summary>
    public Task<JobDetail?> JobAsync(string id, CancellationToken ct) => hub.FindAsync<JobDetail>(Of(id), ct);

    /// <summary>The id of the job that has this number; null when the text is no number, or there is no such job.</summary>
    public async Task<string?> IdOfAsync(string text, CancellationToken ct) =>
        Components.QueryNumber.Long(text) is { } number && (await hub.GetAsync<HubPage<HubJob>>(HubHttp.Path("/hub/v1/jobs", ("ids", number)), ct)).Items is [var job, ..] ? job.Id : null;

    public Task<JobExplained?> ExplainAsync(string id, CancellationToken ct) => hub.FindAsync<JobExplained>($"{Of(id)}/explain", ct);

    /// <summary>The states of all tasks, a byte each, and of which kinds they are; null when there is no such job.</summary>
    /// <param name="known">What was answered before: answered again when nothing has changed.</param>
    public async Task<TaskStates?> StatesAsync(string id, TaskStates? known, CancellationToken ct)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"{Of(id)}/tasks/states", UriKind.Relative));
            if (known?.Tag is { } tag) request.Headers.TryAddWithoutValidation("If-None-Match", tag);
            using var answer = await hub.Client.SendAsync(request, ct);
            if (answer.StatusCode is System.Net.HttpStatusCode.NotModified) return known;
            if (answer.StatusCode is System.Net.HttpStatusCode.NotFound) return null;
            if (!answer.IsSuccessStatusCode) throw new HubAwayException($"The API answered {(int)answer.StatusCode}.", null);
            var phases = answer.Headers.TryGetValues("JobHub-Phases", out var values) ? values.First() : "";
            return new(TaskStates.Read(phases), await answer.Content.ReadAsByteArrayAsync(ct), answer.Headers.ETag?.ToString());
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

    public Task<JobNodes?> GraphAsync(string id, CancellationToken ct) => hub.FindAsync<JobNodes>($"{Of(id)}/graph", ct);

    /// <param name="of">worker or attempts.</param>
    public Task<JobTaskVector?> VectorAsync(string id, string of, CancellationToken ct) => hub.FindAsync<JobTaskVector>($"{Of(id)}/tasks/vector?of={of}", ct);

    public Task<JobTaskTimes?> TimesAsync(string id, string kind, int from, int to, CancellationToken ct) =>
        hub.FindAsync<JobTaskTimes>(HubHttp.Path($"{Of(id)}/tasks/times", ("kind", kind), ("from", from), ("to", to)), ct);

    public Task<JobPartitions?> PartitionsAsync(string id, CancellationToken ct) => hub.FindAsync<JobPartitions>($"{Of(id)}/partitions", ct);

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
