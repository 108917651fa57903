using System.Globalization;
using System.Text.RegularExpressions;
using JobHub.Api.Http;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>What a job reads and what it leaves: input objects and results of MapReduce, files of a command's tree, what an analysis made.</summary>
internal static partial class JobDataEndpoints
{
    private const int DefaultPage = 100, LargestPage = 1000;
    private const string AnalysisName = "result.txt";

    public static void MapJobData(this RouteGroupBuilder jobs)
    {
        jobs.MapGet("/{id}/inputs", InputsAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("limit", "To 1000 (100).").WithQuery("after", "The last page's next.")
            .WithSummary("What a job was given: input objects in the order of their maps, or files of its tree by path.");
        jobs.MapGet("/{id}/outputs", OutputsAsync).ProducesProblem(400).ProducesProblem(404).ProducesProblem(409).WithQuery("limit", "To 1000 (100).").WithQuery("after", "The last page's next.")
            .WithSummary("What a job left: result objects, or files of its tree that it made or changed.");
        jobs.MapMethods("/{id}/outputs/content", [HttpMethods.Get, HttpMethods.Head], ContentAsync).Produces(200, contentType: "application/octet-stream").ProducesProblem(404).ProducesProblem(409)
            .WithQuery("name", "An output's name; of a command any file of its tree.", required: true).WithSummary("Its bytes, as an attachment: ranges, If-None-Match and HEAD are answered.");
    }

    private static async Task<Results<Ok<HubInputs>, ProblemResult>> InputsAsync(HttpContext context, JobReader reader, JobInputs inputs, CancellationToken ct)
    {
        var request = context.Request;
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        if (job.Family is JobFamily.Commands or JobFamily.Farm)
        {
            var files = await inputs.TreeAsync(job, left: false, request.QueryText("after"), limit + 1, ct);
            return TypedResults.Ok(new HubInputs([.. files.Take(limit).Select(static file => new HubInput(file.Path.Value, file.Size, null))], files.Count > limit ? files[limit - 1].Path.Value : null));
        }

        var page = await inputs.PageAsync(job.Number, (int)(request.QueryNumber("after", 0, int.MaxValue) ?? -1), limit + 1, ct);
        return TypedResults.Ok(new HubInputs([.. page.Take(limit).Select(static input => new HubInput(input.Path, input.Size, input.FirstTask))],
            page.Count > limit ? page[limit - 1].FirstTask.ToString(CultureInfo.InvariantCulture) : null));
    }

    private static async Task<Results<Ok<HubOutputs>, ProblemResult>> OutputsAsync(
        HttpContext context, JobReader reader, JobInputs inputs, JobContexts contexts, JobObjects objects, CancellationToken ct)
    {
        var request = context.Request;
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        var after = request.QueryText("after");
        if (job.Family is JobFamily.Commands or JobFamily.Farm)
        {
            var files = await inputs.TreeAsync(job, left: true, after, limit + 1, ct);
            return TypedResults.Ok(new HubOutputs(null, true, [.. files.Take(limit).Select(static file => new HubOutput(file.Path.Value, file.Size, file.ModifiedAt))], files.Count > limit ? files[limit - 1].Path.Value : null));
        }

        if (await contexts.GetAsync(job.Number, ct) is not { } known) return HubEndpoints.Unknown();
        if (known.MapReduce is { } spec && known.OutputCredentials is not null) return TypedResults.Ok(new HubOutputs(spec.OutputPath, false, [], null));
        using var time = CancellationTokenSource.CreateLinkedTokenSource(ct);
        time.CancelAfter(InputPlanner.AnswerLimit);
        try
        {
            if (known.MapReduce is null)
            {
                var made = known.Analysis is { } analysis ? await objects.Hub.HeadAsync(objects.Analysis(analysis.Analysis), time.Token) : null;
                return TypedResults.Ok(new HubOutputs(null, true, made is null ? [] : [new(AnalysisName, made.Size, made.Modified)], null));
            }

            // A job has ten thousand results at most, in the order of their names.
            var (store, folder) = objects.Result(known);
            var found = store.ListAsync(folder, time.Token).Select(result => new HubOutput(result.Key[folder.Key.Length..], result.Size, result.Modified))
                .Where(result => ResultName().IsMatch(result.Name) && string.CompareOrdinal(result.Name, after) > 0);
            var (items, more) = await Paging.TakeAsync(found, limit, time.Token);
            return TypedResults.Ok(new HubOutputs($"{known.MapReduce.OutputPath.TrimEnd('/')}/{job.Id}/", true, items, more ? items[^1].Name : null));
        }
        catch (StoreException fault) when (fault.Fault == StoreFault.NotFound)
        {
            return TypedResults.Ok(new HubOutputs(known.MapReduce?.OutputPath, true, [], null));
        }
        catch (StoreException fault)
        {
            return Problems.Conflict("output-not-available", fault.Message);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return Problems.Conflict("output-not-available", $"The store did not answer within {InputPlanner.AnswerLimit.TotalSeconds} s.");
        }
    }

    private static async Task<IResult> ContentAsync(HttpContext context, JobReader reader, FileSpace space, JobContexts contexts, JobObjects objects, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        var name = context.Request.QueryText("name") ?? throw SubmitFields.Missing("name");
        if (job.Family is JobFamily.Commands or JobFamily.Farm)
        {
            if (FilePath.Read(name, folder: null, out var path) is { } reason) return Problems.BadRequest("invalid-path", reason, "name");
            return await space.FindAsync(job.Project, job.Number, path, ct) is { } file ? ProjectFiles.ContentOf(file, path, space) : Unknown();
        }

        if (await contexts.GetAsync(job.Number, ct) is not { } known) return Unknown();
        try
        {
            IObjectStore store;
            ObjectPath place;
            if (known.MapReduce is not null)
            {
                if (known.OutputCredentials is not null) return Problems.Conflict("not-supported", "The results were written with keys of the job's caller; the hub does not give them to others.");
                // A name is one of ours or none: nothing in it leads to another place.
                if (!ResultName().IsMatch(name)) return Unknown();
                (store, place) = objects.Result(known);
                place = place with { Key = place.Key + name };
            }
            else if (known.Analysis is { } analysis && name == AnalysisName) (store, place) = (objects.Hub, objects.Analysis(analysis.Analysis));
            else return Unknown();

            return await store.HeadAsync(place, ct) is not { } found ? Unknown() : new BytesResult
            {
                Size = found.Size, ETag = found.ETag?.Trim('"'), Modified = found.Modified, FileName = name, Open = (offset, length, cancel) => store.OpenReadAsync(place, offset, length, cancel),
            };
        }
        catch (StoreException fault)
        {
            return fault.Fault == StoreFault.NotFound ? Unknown() : Problems.Conflict("output-not-available", fault.Message);
        }
    }

    private static ProblemResult Unknown() => Problems.NotFound("output-not-found", "The job left nothing of this name. GET /hub/v1/jobs/{id}/outputs lists what it left.");

    [GeneratedRegex(@"\A(part-[0-9]{5,6}|[0-9]{1,6}\.json)\z")]
    private static partial Regex ResultName();
}
