using System.Globalization;
using JobHub.Api.Http;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/jobs/{id}/log/merged</c>: what all attempts of a job printed, task after task. When each line was printed nobody knows: they are not sorted by time.</summary>
public static class HubMergedLogs
{
    // A line of an answer is more than its text: many empty ones end it too.
    private const int MostLines = 5000;

    private const int AttemptsAtOnce = 100, DefaultBytes = 64 << 10, MostBytes = 1 << 20;

    public static void MapMergedLog(this RouteGroupBuilder jobs) =>
        jobs.MapGet("/{id}/log/merged", ReadAsync).ProducesProblem(400).ProducesProblem(404)
            .WithSummary("The logs of all attempts of a job, in the order of its tasks: ?after= (the next of an earlier answer), ?limit= bytes (65536, at most 1 MiB); at most 5000 lines.");

    private static async Task<Results<Ok<HubMergedLog>, ProblemResult>> ReadAsync(HttpContext context, JobReader reader, LogReader logs, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        var request = context.Request;
        var left = request.QueryNumber("limit", 1, MostBytes) ?? DefaultBytes;
        var (task, number, offset) = request.QueryText("after") is { } after ? PlaceOf(id, after) : (await FirstAsync(reader, id, ct), 0, 0L);
        var lines = new List<HubLogLine>();
        if (task is not { } first) return TypedResults.Ok(new HubMergedLog(lines, "", true));
        var attempts = await logs.AttemptsAsync(id, first, number, AttemptsAtOnce, ct);
        var place = (Task: first, Number: number, Offset: offset);
        foreach (var (kind, index, attempt) in attempts)
        {
            if ((kind, index) != place.Task || attempt != place.Number) place = ((kind, index), attempt, 0);
            if (await logs.OpenAsync(id, kind, index, attempt, place.Offset, ct) is not { } slice) continue;
            var name = TaskName.Of(id, kind, index);
            await foreach (var line in logs.ReadAsync(id, kind, index, slice, ct).LinesAsync(place.Offset, ct))
            {
                if (line.Gap > 0) lines.Add(new(name, attempt, line.Offset - line.Gap, "", line.Gap));
                lines.Add(new(name, attempt, line.Offset, LogLines.TextOf(line)));
                place.Offset = line.End;
                left -= line.Bytes.Length + 1;
                if (left <= 0 || lines.Count >= MostLines) return TypedResults.Ok(new HubMergedLog(lines, Text(place), false));
            }
        }

        return TypedResults.Ok(new HubMergedLog(lines, Text(place), attempts.Count < AttemptsAtOnce));

        string Text(((TaskKind Kind, int Index) Task, int Number, long Offset) at) =>
            string.Create(CultureInfo.InvariantCulture, $"{TaskName.Of(id, at.Task.Kind, at.Task.Index)[37..]}.{at.Number}.{at.Offset}");
    }

    private static async Task<(TaskKind, int)?> FirstAsync(JobReader reader, JobId id, CancellationToken ct)
    {
        await foreach (var task in reader.TasksAsync(id, new TaskFilter { Limit = 1 }, ct)) return (task.Kind, task.Index);
        return null;
    }

    private static ((TaskKind, int)? Task, int Number, long Offset) PlaceOf(JobId id, string text)
    {
        if (text.Length == 0) return (null, 0, 0);
        var parts = text.Split('.');
        if (parts.Length == 3 && HubEndpoints.TaskOf(id, parts[0]) is { } task
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var offset)) return (task, number, offset);
        throw Problems.InvalidField("after", "'after' must be the next of an earlier answer for this job.");
    }
}
