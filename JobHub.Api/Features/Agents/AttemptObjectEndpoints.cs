using JobHub.Api.Http;
using JobHub.Engine;
using JobHub.Engine.Attempts;
using JobHub.Engine.Files;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using Microsoft.AspNetCore.Mvc;

namespace JobHub.Api.Features.Agents;

/// <summary>Bytes of an attempt that go through the hub: for agents that share no folder with it, for multipart uploads, and for logs.</summary>
public static class AttemptObjectEndpoints
{
    private const int LiveChunk = 64 << 10;
    private static readonly TimeSpan PartValidity = TimeSpan.FromHours(1);

    /// <summary>Maps the routes below one attempt.</summary>
    public static void Map(RouteGroupBuilder attempt)
    {
        attempt.MapGet("/programs/{hash}", ProgramAsync).WithSummary("A program of the attempt's job.");
        attempt.MapGet("/input", InputAsync).WithSummary("The attempt's input object; ranges.");
        attempt.MapGet("/profiles", ProfilesAsync).WithSummary("The dataset that an analysis reads; ranges.");
        attempt.MapGet("/edges", EdgesAsync).WithSummary("The inference that an analysis reads; ranges.");
        attempt.MapGet("/runs/{map:int}/{number:int}", RunAsync).WithSummary("A map's shuffle object; ranges.");
        attempt.MapPut("/output", OutputAsync).WithBodyLimit(long.MaxValue).WithSummary("Writes the attempt's whole output as pending bytes.");
        attempt.MapPost("/uploads", OpenUploadAsync).WithSummary("Opens a multipart upload for the attempt's output.");
        attempt.MapPost("/uploads/parts", PartsAsync).WithSummary("More part URLs.");
        attempt.MapPut("/log", LogAsync).WithBodyLimit(1L << 30).WithSummary("The attempt's final log.");
        attempt.MapGet("/files", FilesAsync).WithSummary("Files to place in the command's tree, by path: ?after=, ?limit=.");
        attempt.MapGet("/files/content", FileAsync).WithSummary("The bytes of one of them: ?path=; ranges.");
        attempt.MapPut("/files", TakeFileAsync).WithBodyLimit(long.MaxValue).WithSummary("A file the command made or changed: ?path=, ?executable=.");
        attempt.MapPost("/live", LiveAsync).WithBodyLimit(LiveChunk).WithSummary("What the attempt has printed lately.");
    }

    private static async Task<IResult> ProgramAsync(long session, Guid token, string hash, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { } attempt) return AgentEndpoints.AttemptLost();
        var spec = attempt.Job.MapReduce;
        if (spec is null || !new[] { spec.Mapper, spec.Reducer, spec.Combiner }.Any(p => p?.Hash == hash)) return Problems.NotFound("program-not-found", "The attempt's job has no such program.");
        return await BytesAsync(objects.Hub, objects.Program(hash), request, ct);
    }

    private static async Task<IResult> InputAsync(long session, Guid token, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] AttemptSpecs specs, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { Kind: TaskKind.Map } attempt) return AgentEndpoints.AttemptLost();
        var (store, path) = await specs.InputOfAsync(attempt.TaskId, attempt.Job, ct);
        return await BytesAsync(store, path, request, ct);
    }

    private static async Task<IResult> ProfilesAsync(long session, Guid token, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct) =>
        await held.FindAsync(session, token, ct) is { Job.Analysis.Profiles: { } key } ? await BytesAsync(objects.Hub, objects.Hidden(key), request, ct) : AgentEndpoints.AttemptLost();

    private static async Task<IResult> EdgesAsync(long session, Guid token, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct) =>
        await held.FindAsync(session, token, ct) is { Job.Analysis.Edges: { } key } ? await BytesAsync(objects.Hub, objects.Hidden(key), request, ct) : AgentEndpoints.AttemptLost();

    private static async Task<IResult> RunAsync(long session, Guid token, int map, int number, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { Kind: TaskKind.Reduce } attempt) return AgentEndpoints.AttemptLost();
        return await BytesAsync(objects.Hub, objects.Shuffle(attempt.Job.Id, map, number), request, ct);
    }

    private static async Task<IResult> OutputAsync(long session, Guid token, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { } attempt || objects.Output(attempt.Job, attempt.TaskId, attempt.Attempt) is not { } output) return AgentEndpoints.AttemptLost();
        var pending = await output.Store.WritePendingAsync(output.Path, token, request.Body, durable: attempt.Kind is TaskKind.Reduce or TaskKind.Analysis, ct);
        return AgentEndpoints.Json(pending, EngineJson.Default.PendingOutput);
    }

    private static async Task<IResult> OpenUploadAsync(long session, Guid token, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { } attempt || objects.Output(attempt.Job, attempt.TaskId, attempt.Attempt) is not { } output) return AgentEndpoints.AttemptLost();
        if (await output.Store.BeginUploadAsync(output.Path, token, ct) is not { } uploadId) return Problems.Conflict("no-uploads", "This output is a file; PUT it whole.");
        // Known before the agent hears of it: whatever becomes of the agent, upkeep can end the upload.
        await held.NoteUploadAsync(attempt.TaskId, token, uploadId, ct);
        return AgentEndpoints.Json(new UploadOpened(uploadId, 16 << 20, Urls(output, uploadId, 1, 4)), EngineJson.Default.UploadOpened, StatusCodes.Status201Created);
    }

    private static async Task<IResult> PartsAsync(long session, Guid token, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct)
    {
        var asked = await AgentEndpoints.ReadAsync(request, EngineJson.Default.PartUrlsRequest, ct);
        if (asked.From is < 1 or > 10_000 || asked.Count is < 1 or > 100) throw Problems.InvalidField("from", "Parts are 1 to 10000, at most 100 at once.");
        if (await held.FindAsync(session, token, ct) is not { } attempt || objects.Output(attempt.Job, attempt.TaskId, attempt.Attempt) is not { } output) return AgentEndpoints.AttemptLost();
        return AgentEndpoints.Json(Urls(output, asked.UploadId, asked.From, asked.Count), EngineJson.Default.StringArray);
    }

    private static async Task<IResult> FilesAsync(long session, Guid token, string? after, int? limit, [FromServices] WorkerSessions sessions, [FromServices] FencedAttempts held,
        [FromServices] AttemptFiles files, CancellationToken ct)
    {
        if (await sessions.FindAsync(session, ct) is not { } found) return AgentEndpoints.SessionEnded();
        if (await held.FindAsync(session, token, ct) is not { Job.Command.Tree: true } attempt) return AgentEndpoints.AttemptLost();
        return AgentEndpoints.Json(await files.PageAsync(found, attempt.Job, token, after, Math.Clamp(limit ?? 1000, 1, 5000), ct), EngineJson.Default.FilePage);
    }

    private static async Task<IResult> FileAsync(long session, Guid token, string? path, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] AttemptFiles files,
        [FromServices] JobObjects objects, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { Job.Command.Tree: true } attempt) return AgentEndpoints.AttemptLost();
        return await files.FindAsync(attempt.Job, PathOf(path), ct) is { } file
            ? await BytesAsync(objects.Hub, objects.Hidden(file.Object), request, ct)
            : Problems.NotFound("file-not-found", "The job has no such file.");
    }

    private static async Task<IResult> TakeFileAsync(long session, Guid token, string? path, bool? executable, HttpRequest request, [FromServices] FencedAttempts held,
        [FromServices] AttemptFiles files, CancellationToken ct)
    {
        var at = PathOf(path);
        if (at.IsRoot) throw Problems.InvalidField("path", "The root is no file.");
        if (await held.FindAsync(session, token, ct) is not { Job.Command.Tree: true } attempt) return AgentEndpoints.AttemptLost();
        return await files.TakeAsync(attempt, token, at, executable ?? false, request.Body, ct) ? TypedResults.NoContent() : AgentEndpoints.AttemptLost();
    }

    private static FilePath PathOf(string? path) => FilePath.Read(path ?? "", folder: null, out var at) is { } reason ? throw Problems.InvalidField("path", reason) : at;

    private static async Task<IResult> LogAsync(long session, Guid token, HttpRequest request, [FromServices] FencedAttempts held, [FromServices] JobObjects objects, CancellationToken ct)
    {
        if (await held.FindAsync(session, token, ct) is not { } attempt) return AgentEndpoints.AttemptLost();
        var gaps = new List<LogGap>();
        foreach (var text in request.Headers["JobHub-Log-Gaps"].ToString().Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (text.Split('+') is not [var offset, var length] || !long.TryParse(offset, out var o) || !long.TryParse(length, out var l))
                throw Problems.InvalidField("JobHub-Log-Gaps", "Gaps are offset+length, parted by commas.");
            gaps.Add(new(o, l));
        }

        if (!long.TryParse(request.Headers["JobHub-Log-Size"], out var size) || size < 0) throw Problems.InvalidField("JobHub-Log-Size", "The number of bytes printed is needed.");
        var (kind, index) = attempt.Job.Layout.Of(attempt.TaskId);
        var path = objects.Log(attempt.Job.Id, kind, index, attempt.Attempt);
        await objects.Hub.PutAsync(path, request.Body, onlyNew: false, ct);
        return AgentEndpoints.Json(new LogContent(null, path.Key, size, gaps.Count == 0 ? null : [.. gaps]), EngineJson.Default.LogContent);
    }

    private static async Task<IResult> LiveAsync(long session, Guid token, long? offset, HttpRequest request, [FromServices] FencedAttempts held, CancellationToken ct)
    {
        if (offset is not >= 0) throw Problems.InvalidField("offset", "The offset of the chunk in the log is needed.");
        if (await held.FindAsync(session, token, ct) is not { } attempt) return AgentEndpoints.AttemptLost();
        using var chunk = new MemoryStream();
        await request.Body.CopyToAsync(chunk, ct);
        if (chunk.Length > 0) await held.AppendLiveLogAsync(attempt.TaskId, token, offset.Value, chunk.ToArray(), ct);
        return TypedResults.NoContent();
    }

    private static string[] Urls((IObjectStore Store, ObjectPath Path) output, string uploadId, int from, int count) =>
        [.. Enumerable.Range(from, count).Select(part => output.Store.GrantPart(output.Path, uploadId, part, PartValidity))];

    private static async Task<IResult> BytesAsync(IObjectStore store, ObjectPath path, HttpRequest request, CancellationToken ct)
    {
        if (await store.HeadAsync(path, ct) is not { } stat) return Problems.NotFound("object-not-found", "There is no such object in the store.");
        return new BytesResult
        {
            Size = stat.Size, ETag = stat.ETag, Modified = stat.Modified, ContentType = "application/octet-stream",
            Open = (from, length, token) => store.OpenReadAsync(path, from, length, token),
        };
    }
}
