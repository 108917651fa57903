using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace JobHub.Web.Client;

/// <summary>Logs of attempts in pieces, searches in them, logs of whole jobs, and past events.</summary>
public sealed class HubLogs(HubHttp hub)
{
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    // Something comes every 5 s; what is silent for longer is broken.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(12.5);

    /// <summary>The last bytes of a log; null when the task has not run.</summary>
    public Task<LogPiece?> TailAsync(LogOf log, int bytes, CancellationToken ct) => PieceAsync(log, ct, ("tail", bytes));

    /// <summary>What stands in front of an offset.</summary>
    public Task<LogPiece?> BeforeAsync(LogOf log, long before, int bytes, CancellationToken ct) => PieceAsync(log, ct, ("before", before), ("limit", bytes));

    /// <summary>What stands behind an offset.</summary>
    public Task<LogPiece?> FromAsync(LogOf log, long offset, int bytes, CancellationToken ct) => PieceAsync(log, ct, ("offset", offset), ("limit", bytes));

    public Task<HubLogMatches> SearchAsync(LogOf log, string text, bool exact, long after, CancellationToken ct) =>
        hub.GetAsync<HubLogMatches>(HubHttp.Path($"{Of(log.Job)}/log/search", ("task", log.Task), ("attempt", log.Attempt), ("q", text), ("case", exact ? "true" : null), ("after", after), ("limit", 1000)), ct);

    /// <summary>Lines of a whole job behind a place; null: from its beginning.</summary>
    public Task<HubMergedLog> MergedAsync(string job, string? after, int bytes, CancellationToken ct) =>
        hub.GetAsync<HubMergedLog>(HubHttp.Path($"{Of(job)}/log/merged", ("after", after), ("limit", bytes)), ct);

    /// <summary>Those in front of a place; null: the last ones.</summary>
    public Task<HubMergedLog> MergedBeforeAsync(string job, string? before, int bytes, CancellationToken ct) =>
        hub.GetAsync<HubMergedLog>(HubHttp.Path($"{Of(job)}/log/merged", ("before", before), ("tail", before is null ? "true" : null), ("limit", bytes)), ct);

    public Task<HubJobLogMatches> SearchJobAsync(string job, string text, string? after, CancellationToken ct) =>
        hub.GetAsync<HubJobLogMatches>(HubHttp.Path($"{Of(job)}/log/merged/search", ("q", text), ("after", after), ("limit", 1000)), ct);

    /// <summary>What a job's attempts print from now on, until it ends; null when it is heard of and nothing comes.</summary>
    public async IAsyncEnumerable<HubLogLine?> FollowAsync(string job, [EnumeratorCancellation] CancellationToken ct)
    {
        using var answer = await hub.Client.GetAsync($"{Of(job)}/log/merged?follow=true", HttpCompletionOption.ResponseHeadersRead, ct);
        if ((int)answer.StatusCode >= 500) throw new HubAwayException($"The API answered {(int)answer.StatusCode}.", null);
        if (!answer.IsSuccessStatusCode) throw new HubRefusedException((int)answer.StatusCode, $"The API answered {(int)answer.StatusCode}.");
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(ct));
        while (await reader.ReadLineAsync(ct).AsTask().WaitAsync(Silence, ct) is { } line) yield return line.Length == 0 ? null : JsonSerializer.Deserialize<HubLogLine>(line, HubHttp.Json);
    }

    public Task<HubJob?> JobAsync(string job, CancellationToken ct) => hub.FindAsync<HubJob>(Of(job), ct);

    public Task<HubPage<LogTask>> TasksAsync(string job, CancellationToken ct) => hub.GetAsync<HubPage<LogTask>>(HubHttp.Path($"{Of(job)}/tasks", ("limit", 200)), ct);

    public Task<IReadOnlyList<LogAttempt>> AttemptsAsync(string job, string task, CancellationToken ct) =>
        hub.GetAsync<IReadOnlyList<LogAttempt>>($"{Of(job)}/tasks/{Uri.EscapeDataString(task)}/attempts", ct);

    public Task<PastEvents> EventsAsync(string? job, string? kind, long? before, int limit, CancellationToken ct, string? project = null, long? after = null) =>
        hub.GetAsync<PastEvents>(HubHttp.Path("/hub/v1/events/list", ("job", job), ("kind", kind), ("project", project), ("before", before), ("after", after), ("limit", limit)), ct);

    private static string Of(string job) => $"/hub/v1/jobs/{Uri.EscapeDataString(job)}";

    private async Task<LogPiece?> PieceAsync(LogOf log, CancellationToken ct, params (string Name, object? Value)[] place)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Longest);
        try
        {
            using var answer = await hub.Client.GetAsync(HubHttp.Path($"{Of(log.Job)}/log", [("task", log.Task), ("attempt", log.Attempt), .. place]), limit.Token);
            if ((int)answer.StatusCode >= 500) throw new HubAwayException($"The API answered {(int)answer.StatusCode}.", null);
            if (answer.StatusCode is HttpStatusCode.NotFound) throw new HubRefusedException(404, "There is no such log: the job was removed after its time, or never had this task or attempt.", "urn:jobhub:attempt-not-found");
            if (!answer.IsSuccessStatusCode) throw new HubRefusedException((int)answer.StatusCode, $"The API answered {(int)answer.StatusCode}.");
            if (Header(answer, "JobHub-Log-Offset") is not { } offset) return null;
            return new(await answer.Content.ReadAsByteArrayAsync(limit.Token), Number(offset), Number(Header(answer, "JobHub-Log-End")), Number(Header(answer, "JobHub-Log-Size")),
                (int)Number(Header(answer, "JobHub-Log-Attempt")), Header(answer, "JobHub-Log-Ended") == "true", Gaps(Header(answer, "JobHub-Log-Gaps")));
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw new HubAwayException("The API does not answer.", e);
        }
    }

    private static string? Header(HttpResponseMessage answer, string name) => answer.Headers.TryGetValues(name, out var values) ? values.FirstOrDefault() : null;

    private static long Number(string? text) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static LogGap[] Gaps(string? text) =>
        [.. (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries).Select(static gap => gap.Split('+')).Where(static gap => gap.Length == 2).Select(static gap => new LogGap(Number(gap[0]), Number(gap[1])))];
}

/// <summary>Whose log.</summary>
/// <param name="Attempt">Null: the latest.</param>
public sealed record LogOf(string Job, string? Task, int? Attempt);

/// <summary>Bytes that were not kept.</summary>
public sealed record LogGap(long Offset, long Length)
{
    public long End => Offset + Length;
}

/// <summary>A piece of a log.</summary>
/// <param name="Bytes">What is kept of it.</param>
/// <param name="End">Where the next piece begins.</param>
/// <param name="Size">What was printed in all.</param>
/// <param name="Ended">No more will be.</param>
public sealed record LogPiece(byte[] Bytes, long Offset, long End, long Size, int Attempt, bool Ended, LogGap[] Gaps);

/// <summary>Lines that hold a text.</summary>
public sealed record HubLogMatches(IReadOnlyList<HubLogMatch> Matches, long Next, bool Done);

/// <summary>One of them.</summary>
public sealed record HubLogMatch(long Offset, string Text);

/// <summary>Lines of a whole job.</summary>
public sealed record HubMergedLog(IReadOnlyList<HubLogLine> Lines, string Next, bool Done);

/// <summary>One of them, or a gap, or how many attempts ended too fast to be followed.</summary>
public sealed record HubLogLine(string Task, int Attempt, long Offset, long End, string Text, long? Gap, int? Missed);

/// <summary>Lines of a whole job that hold a text.</summary>
public sealed record HubJobLogMatches(IReadOnlyList<HubJobLogMatch> Matches, string Next, bool Done);

/// <summary>One of them.</summary>
public sealed record HubJobLogMatch(string Task, int Attempt, long Offset, string Text);

/// <summary>An attempt, as a chooser shows it.</summary>
public sealed record LogAttempt(int Number, string? Worker, string? Outcome, DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, long LogSize);

/// <summary>Past events, newest first.</summary>
public sealed record PastEvents(IReadOnlyList<PastEvent> Items, long? Next);

/// <summary>Something that happened.</summary>
public sealed record PastEvent(long Position, DateTimeOffset At, string Kind, string? Job, string? Project, JsonElement Payload);

/// <summary>A task, as a chooser shows it.</summary>
public sealed record LogTask(string Id, string? Name, string State, int Attempts);
