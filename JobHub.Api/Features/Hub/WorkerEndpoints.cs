using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Statistics;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>/hub/v1/workers: where there is room, what is sick, and what operators do about it.</summary>
public static class WorkerEndpoints
{
    private const int MostSessions = 50, LongestTag = 255, MostTags = 64, LongestAffinity = 8 << 10;

    public static void MapHubWorkers(this IEndpointRouteBuilder hub)
    {
        var workers = hub.MapGroup("/workers").WithTags("Workers");
        workers.MapGet("", ListAsync).ProducesProblem(400).WithQuery("state", "Active, Draining, Stopped or Lost.").WithQuery("pool", "The first tag of the first line; none: without tags.")
            .WithQuery("q", "In the name or the host.").WithQuery("at", "A time of the last 26 hours: load, memory and slots as they were in that minute.").WithSummary("Every known worker, by name.");
        workers.MapGet("/{name}", GetAsync).WithSummary("One worker, what it runs, and its sessions.").ProducesProblem(404);
        workers.MapGet("/{name}/history", HistoryAsync).WithQuery("window", "15m, 1h (without it) or 24h.").WithSummary("Its load, free memory and slots by minute.").ProducesProblem(400).ProducesProblem(404);
        MapChange(workers, "drain", "It takes nothing new and ends what it runs.", static (directory, name, caller, ct) => directory.DrainAsync([name], caller, ct));
        MapChange(workers, "stop", "It takes nothing new and gives back what it runs.", static (directory, name, caller, ct) => directory.StopAsync([name], terminate: false, caller, ct));
        MapChange(workers, "terminate", "As stop, and its agent exits.", static (directory, name, caller, ct) => directory.StopAsync([name], terminate: true, caller, ct));
        MapChange(workers, "start", "It takes work again.", static (directory, name, caller, ct) => directory.StartAsync([name], caller, ct));
        workers.MapPut("/{name}/affinity", SetAffinityAsync).Accepts<SetAffinity>("application/json").ProducesProblem(400).ProducesProblem(404).ProducesProblem(409)
            .WithSummary("Replaces its lines of tags. They hold until they are replaced again, whatever the worker says itself.");
        workers.MapDelete("/{name}", DeleteAsync).WithSummary("Forgets a worker with what was set of it. One that lives comes back with its next call.").ProducesProblem(404);
    }

    private static void MapChange(RouteGroupBuilder workers, string verb, string summary, Func<WorkerDirectory, string, string, CancellationToken, Task<WorkerResult>> change) =>
        workers.MapPost($"/{{name}}/{verb}", async Task<Results<Ok<HubWorker>, ProblemResult>> (HttpContext context, WorkerDirectory directory, WorkerReader reader, CancellationToken ct) =>
            await AnswerAsync(await change(directory, NameOf(context), Caller.Of(context).Name, ct), NameOf(context), reader, ct)).WithSummary(summary).ProducesProblem(404);

    private static async Task<Results<Ok<HubWorkerList>, ProblemResult>> ListAsync(HttpContext context, WorkerReader reader, StatisticReader statistics, CancellationToken ct)
    {
        var request = context.Request;
        var (state, pool, text) = (request.QueryWord<WorkerStanding>("state"), request.QueryText("pool"), request.QueryText("q"));
        DateTimeOffset? at = null;
        if (request.QueryText("at") is { } time)
        {
            at = DateTimeOffset.TryParse(time, System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.AssumeUniversal, out var parsed) ? parsed
                : throw Problems.InvalidField("at", "'at' must be a time like 2026-11-21T14:02:00Z.");
        }

        var all = await reader.ListAsync(ct);
        var more = all.Count == WorkerReader.Most;
        var seen = all.Where(w => (pool is null || WorkerMapping.PoolOf(w) == pool) && (text is null || w.Name.Contains(text, StringComparison.OrdinalIgnoreCase) || w.Host.Contains(text, StringComparison.OrdinalIgnoreCase))).ToArray();
        if (at is { } minute)
        {
            var then = await statistics.MinuteAsync(minute, ct);
            seen = [.. seen.Where(w => then.ContainsKey(w.Name)).Select(w => then[w.Name] is var m ? w with { Load = m.Load, FreeMemory = m.FreeMemory, Busy = m.Busy, Slots = m.Slots, Failures = 0 } : w)];
        }

        return TypedResults.Ok(new HubWorkerList([.. seen.Where(w => state is null || w.Standing == state).Select(WorkerMapping.ToWire)], WorkerMapping.CountsOf(seen), more));
    }

    private static async Task<Results<Ok<HubWorkerDetail>, ProblemResult>> GetAsync(HttpContext context, WorkerReader reader, StatisticReader statistics, ProjectAccess access, CancellationToken ct)
    {
        var name = NameOf(context);
        if (await reader.GetAsync(name, ct) is not { } worker) return Unknown();
        var caller = Caller.Of(context);
        var seen = new ReadableProjects(caller.SeesAll ? null : access, caller);
        var (runs, hidden) = (new List<HubRun>(), 0);
        foreach (var run in await reader.RunsAsync(name, ct))
        {
            if (await seen.HasAsync(run.Project, ct)) runs.Add(WorkerMapping.ToWire(run));
            else hidden++;
        }

        var failures = worker.Failures == 0 ? [] : await statistics.OfWorkersAsync(new(await access.ReadableAsync(caller, ct), caller.IsDeveloper), OverviewFindings.Recent, ct);
        var sessions = await reader.SessionsAsync(name, MostSessions, ct);
        return TypedResults.Ok(new HubWorkerDetail(WorkerMapping.ToWire(worker), [.. runs], hidden,
            [.. failures.Where(f => f.Worker == name).Select(static f => new HubCause(f.Cause, f.ExitCode, f.Count))], [.. sessions.Select(static s => new HubSession(s.Id, s.OpenedAt, s.EndedAt, s.EndReason, s.Version))]));
    }

    private static async Task<Results<Ok<HubWorkerMinutes>, ProblemResult>> HistoryAsync(HttpContext context, WorkerReader reader, StatisticReader statistics, CancellationToken ct)
    {
        var window = HistoryOf(context.Request);
        return await reader.GetAsync(NameOf(context), ct) is null ? Unknown() : TypedResults.Ok(WorkerMapping.ToWire(await statistics.MinutesAsync(NameOf(context), window, ct)));
    }

    private static async Task<Results<Ok<HubWorker>, ProblemResult>> SetAffinityAsync(HttpContext context, WorkerDirectory directory, WorkerReader reader, CancellationToken ct)
    {
        var name = NameOf(context);
        AuditNote.Of(context).Object = name;
        var body = (await JsonBody.ReadAsync<SetAffinity>(context.Request, ct)).Value;
        var text = LinesOf(body.Lines ?? throw Problems.InvalidField("lines", "'lines' must be a list of lists of tags; [] takes all away."));
        return await AnswerAsync(await directory.EditAsync(new Dictionary<string, WorkerEdit> { [name] = new(text, null) }, Caller.Of(context).Name, ct), name, reader, ct);
    }

    private static async Task<Results<NoContent, ProblemResult>> DeleteAsync(HttpContext context, WorkerDirectory directory, CancellationToken ct) =>
        await directory.RemoveAsync([NameOf(context)], Caller.Of(context).Name, ct) is WorkerResult.Done ? TypedResults.NoContent() : Unknown();

    /// <summary>Lines as they are kept: commas between tags, newlines between lines, so a tag holds neither.</summary>
    private static string LinesOf(string?[]?[] lines)
    {
        for (var i = 0; i < lines.Length; i++)
        {
            var field = $"lines[{i}]";
            if (lines[i] is not { Length: > 0 and <= MostTags } line) throw Problems.InvalidField(field, $"'{field}' must hold 1 to {MostTags} tags.");
            foreach (var tag in line)
            {
                if (string.IsNullOrWhiteSpace(tag) || tag.Length > LongestTag || tag.Contains(',', StringComparison.Ordinal) || tag.Any(char.IsControl))
                    throw Problems.InvalidField(field, $"A tag has 1 to {LongestTag} characters, none of them a comma or a control character.");
            }
        }

        var text = TreeTags.Text(lines.Select(static line => line!.Select(static tag => tag!.Trim()).Distinct(StringComparer.Ordinal).ToArray()));
        return text.Length <= LongestAffinity ? text : throw Problems.InvalidField("lines", $"'lines' has more than {LongestAffinity} characters.");
    }

    /// <summary>How far back minutes are asked for.</summary>
    internal static TimeSpan HistoryOf(HttpRequest request) => request.QueryText("window") switch
    {
        "15m" => TimeSpan.FromMinutes(15), null or "1h" => TimeSpan.FromHours(1), "24h" => TimeSpan.FromHours(24), _ => throw Problems.InvalidField("window", "'window' must be one of 15m, 1h, 24h."),
    };

    private static async Task<Results<Ok<HubWorker>, ProblemResult>> AnswerAsync(WorkerResult result, string name, WorkerReader reader, CancellationToken ct) => result switch
    {
        WorkerResult.Done when await reader.GetAsync(name, ct) is { } worker => TypedResults.Ok(WorkerMapping.ToWire(worker)),
        WorkerResult.SlotsFull => Problems.Conflict("affinity-slots-full", "All 64 affinity names are taken. Free one that is not used.", "lines"),
        _ => Unknown(),
    };

    private static string NameOf(HttpContext context) => RouteText.Of(context, "name");

    private static ProblemResult Unknown() => Problems.NotFound("worker-not-found", "There is no worker with this name.");
}
