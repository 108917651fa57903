using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>/api/workers: workers by name, and what operators do with them.</summary>
public static class WorkerEndpoints
{
    private const string NamesExample = """["worker-1","worker-2"]""";

    /// <summary>Maps the routes.</summary>
    public static void MapWorkers(this IEndpointRouteBuilder routes)
    {
        var workers = routes.MapGroup("/api").WithTags("workers");
        workers.MapGet("/workers", ListAsync).WithSummary("Every worker that the hub knows, by name.").Produces<WorkerWire[]>();
        workers.MapPost("/workers", EditAsync).WithBody("Workers by name, and what changes of each: affinity, active.", """{"worker-1":{"affinity":"LINUX","active":0}}""")
            .WithSummary("Changes workers, all or none.").Produces<int>().ProducesProblem(400).ProducesProblem(404).ProducesProblem(409);
        Map(workers.MapDelete("/workers", Calling(static (directory, names, caller, ct) => directory.RemoveAsync(names, caller, ct))),
            "Forgets workers with their settings and counters. One that lives comes back with its next call, and goes on with what it runs.");
        Map(workers.MapPost("/stopworkers", Calling(static (directory, names, caller, ct) => directory.StopAsync(names, terminate: false, caller, ct))),
            "Workers take nothing new and give back what they run.");
        Map(workers.MapPost("/startworkers", Calling(static (directory, names, caller, ct) => directory.StartAsync(names, caller, ct))), "Workers take work again.");
        Map(workers.MapPost("/terminateworkers", Calling(static (directory, names, caller, ct) => directory.StopAsync(names, terminate: true, caller, ct))),
            "As stopworkers, and their agents exit.");
    }

    private static void Map(RouteHandlerBuilder route, string summary) =>
        route.WithBody("Names of workers.", NamesExample).WithSummary(summary).Produces<int>().ProducesProblem(400).ProducesProblem(404);

    private static Func<HttpContext, WorkerDirectory, CancellationToken, Task<IResult>> Calling(Func<WorkerDirectory, IReadOnlyCollection<string>, string, CancellationToken, Task<WorkerResult>> call) =>
        async (context, directory, ct) =>
        {
            if (await FarmBody.ReadAsync(context.Request, FarmTokens.Names, ct) is not { Value: { Length: > 0 } names }) return FarmEndpoints.One();
            AuditNote.Objects(context, names);
            return Answer(await call(directory, names, Caller.Of(context).Name, ct));
        };

    private static async Task<IResult> ListAsync(WorkerDirectory directory, CancellationToken ct) => TypedResults.Ok((await directory.ListAsync(ct)).Select(WorkerMapping.ToWire));

    private static async Task<IResult> EditAsync(HttpContext context, WorkerDirectory directory, CancellationToken ct)
    {
        if (await FarmBody.ReadAsync(context.Request, ReadEdits, ct) is not { Value: { Count: > 0 } edits }) return FarmEndpoints.One();
        AuditNote.Objects(context, edits.Keys);
        return Answer(await directory.EditAsync(edits, Caller.Of(context).Name, ct));
    }

    private static Dictionary<string, WorkerEdit> ReadEdits(ref Utf8JsonReader reader)
    {
        // Clients send [] for nothing.
        if (reader.TokenType == JsonTokenType.StartArray && reader.Read() && reader.TokenType == JsonTokenType.EndArray) return [];
        if (reader.TokenType != JsonTokenType.StartObject) throw Problems.InvalidField("body", "The body must be an object of workers by name.");
        var edits = new Dictionary<string, WorkerEdit>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var name = FarmTokens.Name(ref reader, "");
            var place = FarmTokens.Join("", name);
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject) throw Problems.InvalidField(place, $"'{place}' must be an object with 'affinity' and 'active'.");
            if (!edits.TryAdd(SubmitFields.Clean(place, name), ReadEdit(ref reader, place))) throw FarmTokens.Repeated(place);
        }

        return edits;
    }

    private static WorkerEdit ReadEdit(ref Utf8JsonReader reader, string place)
    {
        string? affinity = null;
        bool? active = null;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var name = FarmTokens.Name(ref reader, place);
            var field = FarmTokens.Join(place, name);
            reader.Read();
            switch (name)
            {
                case "affinity" when affinity is null:
                    affinity = AffinityEndpoints.CheckTags(field, FarmTokens.Text(ref reader, field));
                    break;
                case "active" when active is null:
                    active = FarmTokens.Flag(ref reader, field);
                    break;
                case "affinity" or "active": throw FarmTokens.Repeated(field);
                default: throw new ServiceDefaults.RefusedException(400, "unknown-field", $"There is no field '{field}' that can be changed. Known: affinity, active.", field);
            }
        }

        return new(affinity, active);
    }

    private static IResult Answer(WorkerResult result) => result switch
    {
        WorkerResult.Done => FarmEndpoints.One(),
        WorkerResult.NotFound unknown => Problems.NotFound("worker-not-found", $"There is no worker {(unknown.Name.Length <= 255 ? unknown.Name : unknown.Name[..255] + "…")}; nothing was changed."),
        WorkerResult.SlotsFull => AffinityEndpoints.SlotsFull(),
        _ => throw new System.Diagnostics.UnreachableException(),
    };
}
