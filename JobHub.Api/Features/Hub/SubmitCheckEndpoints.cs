using JobHub.Api.Http;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>What a form asks before it is sent: whether the input of a MapReduce job is there. Addresses are reached by the submission's own rules, and nothing is stored.</summary>
public static class SubmitCheckEndpoints
{
    // A form asks while one types: a listing that takes longer is left to the submission.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(8);

    // Each may hold a connection to somebody's store.
    private static readonly SemaphoreSlim AtOnce = new(16);

    public static void MapSubmitCheck(this IEndpointRouteBuilder hub) =>
        hub.MapPost("/submit/check", CheckAsync).WithTags("Jobs").Accepts<InputCheck>("application/json").ProducesProblem(400)
            .WithSummary("Whether the input of a MapReduce job is there: how many objects, bytes and maps it comes to, or what the submission would refuse. Nothing is stored.");

    private static async Task<Results<Ok<CheckedInput>, ProblemResult>> CheckAsync(HttpContext context, InputPlanner inputs, CancellationToken ct)
    {
        AuditNote.Of(context).Unchanged = true;
        var project = Project.Of(context.Request);
        var asked = (await JsonBody.ReadAsync<InputCheck>(context.Request, ct)).Value;
        if (string.IsNullOrEmpty(asked.InputPath)) throw SubmitFields.Missing("inputPath");
        if (asked.SplitSize is < 1) throw Problems.InvalidField("splitSize", "'splitSize' must be 1 or more.");
        if (asked.NReducers is < 1 or > 10_000) throw Problems.InvalidField("nReducers", "'nReducers' must be 1 to 10000.");
        if (asked.InputStorageCredentials is { } half && (string.IsNullOrEmpty(half.Username) || string.IsNullOrEmpty(half.Password))) throw Problems.InvalidField("inputStorageCredentials", "'inputStorageCredentials' must have a username and a password.");
        var credentials = asked.InputStorageCredentials is { } given ? new StorageCredentials(SubmitFields.Clean("inputStorageCredentials.username", given.Username!), SubmitFields.Clean("inputStorageCredentials.password", given.Password!)) : null;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Longest);
        var entered = false;
        try
        {
            await AtOnce.WaitAsync(limit.Token);
            entered = true;
            var plan = await inputs.PlanAsync(SubmitFields.Clean("inputPath", asked.InputPath), asked.UseSSL ?? false, credentials, project, limit.Token);
            var cut = SplitPlan.Cut(plan.Objects, asked.SplitSize ?? MapReduceRequest.DefaultSplitSize, asked.InputType == "file/gzip", asked.NReducers ?? 1);
            return TypedResults.Ok(new CheckedInput(cut.Inputs.Count, cut.TotalSize, cut.Maps));
        }
        catch (StoreException fault)
        {
            return Problems.BadRequest(fault.Fault switch
            {
                StoreFault.NotFound => "input-not-found",
                StoreFault.AccessDenied => "input-access-denied",
                StoreFault.Unreachable => "input-unreachable",
                StoreFault.EndpointNotAllowed => "endpoint-not-allowed",
                StoreFault.InvalidPath => "invalid-path",
                _ => "input-store-failed",
            }, fault.Message, "inputPath");
        }
        catch (TooManySplitsException fault)
        {
            return Problems.BadRequest("too-many-splits", fault.Message, "splitSize");
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return TypedResults.Ok(new CheckedInput(null, null, null));
        }
        finally
        {
            if (entered) AtOnce.Release();
        }
    }

    /// <summary>The fields of a MapReduce submission that say what it reads, by their names there.</summary>
    public sealed record InputCheck
    {
        public string? InputPath { get; init; }
        public string? InputType { get; init; }
        public bool? UseSSL { get; init; }
        public long? SplitSize { get; init; }
        public int? NReducers { get; init; }
        public CheckCredentials? InputStorageCredentials { get; init; }
    }

    /// <summary>Those of the input's store; they are not kept.</summary>
    public sealed record CheckCredentials(string? Username, string? Password);

    /// <summary>What the input comes to; all absent where it takes too long to tell.</summary>
    public sealed record CheckedInput(int? Objects, long? Size, int? Maps);
}
