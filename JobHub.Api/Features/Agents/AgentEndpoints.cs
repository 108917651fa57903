using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using JobHub.Api.Http;
using JobHub.Engine;
using JobHub.Engine.Attempts;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Mvc;

namespace JobHub.Api.Features.Agents;

/// <summary>/agent/v1: worker sessions, claims, renewals and completions. The records are those of JobHub.Engine/Protocol; their comments are the protocol.</summary>
public static class AgentEndpoints
{
    /// <summary>A batch of completions with their inline logs.</summary>
    private const long CompletionLimit = 64 << 20;

    /// <summary>Maps the routes.</summary>
    public static void MapAgents(this IEndpointRouteBuilder routes)
    {
        var agents = routes.MapGroup("/agent/v1").WithGroupName("agents").WithTags("agents");
        agents.MapPost("/sessions", OpenAsync).WithSummary("Opens a worker session.");
        agents.MapDelete("/sessions/{session:long}", CloseAsync).WithSummary("Ends a session; what it holds goes back uncharged.");
        agents.MapPost("/sessions/{session:long}/shares", ProveAsync).WithSummary("Proves that the worker shares the store's folder.");
        agents.MapPost("/sessions/{session:long}/claim", ClaimAsync).WithSummary("Claims tasks; long-poll.");
        agents.MapPost("/sessions/{session:long}/renew", RenewAsync).WithBodyLimit(CompletionLimit).WithSummary("Renews the lease and compares what both sides hold.");
        agents.MapGet("/sessions/{session:long}/control", ControlAsync).WithSummary("Attempts to stop; long-poll.");
        agents.MapPost("/sessions/{session:long}/complete", CompleteAsync).WithBodyLimit(CompletionLimit).WithSummary("Reports ended attempts in a batch.");
        var attempt = agents.MapGroup("/sessions/{session:long}/attempts/{token:guid}");
        attempt.MapGet("", SpecAsync).WithSummary("The attempt's spec with fresh grants.");
        attempt.MapGet("/runs", RunsAsync).WithSummary("Pages of the map runs a reducer reads.");
        AttemptObjectEndpoints.Map(attempt);
    }

    /// <summary>410: the session is over; stop everything and open a new one.</summary>
    internal static ProblemResult SessionEnded() => Problems.Of(StatusCodes.Status410Gone, "session-ended", "This session has ended. Stop what it runs and open a new one.");

    /// <summary>404: the attempt is not this session's any more.</summary>
    internal static ProblemResult AttemptLost() => Problems.NotFound("attempt-lost", "This session does not hold such an attempt. Stop it and report nothing.");

    private static async Task<IResult> OpenAsync(HttpRequest request, [FromServices] WorkerSessions sessions, CancellationToken ct)
    {
        var open = await ReadAsync(request, EngineJson.Default.OpenSession, ct);
        if (open.Worker is not { Length: >= 1 and <= 128 } name || name.Any(char.IsControl)) throw Problems.InvalidField("worker", "A worker's name has 1 to 128 characters.");
        if (open.Slots is < 0 or > 4096) throw Problems.InvalidField("slots", "A worker has 0 to 4096 slots.");
        var opened = await sessions.OpenAsync(open, ct, CallerAddress.Of(request.HttpContext));
        return Json(opened, EngineJson.Default.SessionOpened, StatusCodes.Status201Created);
    }

    private static async Task<IResult> CloseAsync(long session, [FromServices] WorkerSessions sessions, CancellationToken ct)
    {
        await sessions.CloseAsync(session, ct);
        return TypedResults.NoContent();
    }

    private static async Task<IResult> ProveAsync(long session, HttpRequest request, [FromServices] WorkerSessions sessions, CancellationToken ct)
    {
        var proof = await ReadAsync(request, EngineJson.Default.FolderProof, ct);
        return await sessions.ProveAsync(session, proof.Text ?? "", ct) ? TypedResults.NoContent() : Problems.Conflict("proof-refused", "The text is not that of this session's proof file.");
    }

    private static async Task<IResult> ClaimAsync(long session, HttpRequest request, [FromServices] WorkerSessions sessions, [FromServices] Claims claims, [FromServices] IHostApplicationLifetime host, CancellationToken ct)
    {
        var claim = await ReadAsync(request, EngineJson.Default.ClaimRequest, ct);
        if (claim.Max is < 1 or > 1000) throw Problems.InvalidField("max", "A claim asks for 1 to 1000 tasks.");
        if (claim.WaitMs is < 0 or > 30_000) throw Problems.InvalidField("waitMs", "A claim waits 0 to 30000 ms.");
        if (await sessions.FindAsync(session, ct) is not { } found) return SessionEnded();
        // A host that stops answers its long-polls at once; the agent asks the next Api.
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(ct, host.ApplicationStopping);
        try
        {
            return Json(await claims.ClaimAsync(found, claim, wait.Token), EngineJson.Default.ClaimAnswer);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return Json(new ClaimAnswer([]), EngineJson.Default.ClaimAnswer);
        }
    }

    private static async Task<IResult> RenewAsync(long session, HttpRequest request, [FromServices] WorkerSessions sessions, CancellationToken ct)
    {
        var renew = await ReadAsync(request, EngineJson.Default.RenewRequest, ct);
        return await sessions.RenewAsync(session, renew, ct) is { } answer ? Json(answer, EngineJson.Default.RenewAnswer) : SessionEnded();
    }

    private static async Task<IResult> ControlAsync(long session, int? waitMs, [FromServices] WorkerSessions sessions, [FromServices] IHostApplicationLifetime host, CancellationToken ct)
    {
        if (await sessions.FindAsync(session, ct) is null) return SessionEnded();
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(ct, host.ApplicationStopping);
        try
        {
            var orders = await sessions.OrdersAsync(session, TimeSpan.FromMilliseconds(Math.Clamp(waitMs ?? 0, 0, 30_000)), wait.Token);
            return Json(new ControlAnswer(orders), EngineJson.Default.ControlAnswer);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return Json(new ControlAnswer([]), EngineJson.Default.ControlAnswer);
        }
    }

    private static async Task<IResult> CompleteAsync(long session, HttpRequest request, [FromServices] Completions completions, CancellationToken ct)
    {
        // Not tied to an open session: the token is the fence, and a late report gets its Lost.
        var complete = await ReadAsync(request, EngineJson.Default.CompleteRequest, ct);
        if (complete.Results.Length > 1000) throw Problems.InvalidField("results", "A batch has at most 1000 results.");
        // Begun is finished: a caller that goes away must not leave a batch half answered.
        return Json(new CompleteAnswer(await completions.CompleteAsync(session, complete.Results, CancellationToken.None)), EngineJson.Default.CompleteAnswer);
    }

    private static async Task<IResult> SpecAsync(long session, Guid token, [FromServices] WorkerSessions sessions, [FromServices] FencedAttempts held, [FromServices] AttemptSpecs specs,
        CancellationToken ct)
    {
        if (await sessions.FindAsync(session, ct) is not { } found) return SessionEnded();
        if (await held.FindAsync(session, token, ct) is not { } attempt) return AttemptLost();
        var spec = await specs.BuildAsync(found, [new ClaimedTask(attempt.TaskId, attempt.Attempt, token)], refused: null, ct);
        return spec is [var one] ? Json(one, EngineJson.Default.AttemptSpec) : AttemptLost();
    }

    private static async Task<IResult> RunsAsync(long session, Guid token, int? after, int? limit, [FromServices] WorkerSessions sessions, [FromServices] FencedAttempts held,
        [FromServices] AttemptSpecs specs, CancellationToken ct)
    {
        if (await sessions.FindAsync(session, ct) is not { } found) return SessionEnded();
        if (await held.FindAsync(session, token, ct) is not { Kind: TaskKind.Reduce } attempt) return AttemptLost();
        return Json(await specs.RunsAsync(found, attempt.Job, token, attempt.Index, after ?? -1, Math.Clamp(limit ?? 1000, 1, 5000), ct), EngineJson.Default.RunPage);
    }

    internal static async Task<T> ReadAsync<T>(HttpRequest request, JsonTypeInfo<T> type, CancellationToken ct)
        where T : class
    {
        try
        {
            return await JsonSerializer.DeserializeAsync(request.Body, type, ct) ?? throw new RefusedException(400, "body-missing", "The request needs a JSON object as its body.");
        }
        catch (JsonException)
        {
            throw new RefusedException(400, "invalid-json", $"The body is not a valid {typeof(T).Name}.");
        }
    }

    internal static IResult Json<T>(T value, JsonTypeInfo<T> type, int status = StatusCodes.Status200OK) => TypedResults.Json(value, type, statusCode: status);
}
