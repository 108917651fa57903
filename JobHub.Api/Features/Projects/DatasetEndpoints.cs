using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Jobs;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Projects;

/// <summary>Typing data: datasets, their profiles and isolates.</summary>
internal static class DatasetEndpoints
{
    // A page is in memory: rows of datasets with thousands of loci are few.
    private const int AllelesAPage = 1_000_000;

    public static void Map(RouteGroupBuilder group)
    {
        var limit = ((IEndpointRouteBuilder)group).ServiceProvider.GetRequiredService<IOptions<TypingOptions>>().Value.UploadLimit;
        var datasets = group.MapGroup("/{project}/datasets").WithTags("Datasets");
        datasets.MapPost("", CreateAsync).Accepts<DatasetBody>("application/json").ProducesProblem(400).ProducesProblem(403).ProducesProblem(404).WithSummary("A new dataset, empty.");
        datasets.MapGet("", ListAsync).WithPages().ProducesProblem(400).ProducesProblem(404).WithSummary("The project's datasets, oldest first.");
        datasets.MapGet("/{dataset}", GetAsync).ProducesProblem(404).WithSummary("One dataset with the names of its loci.");
        datasets.MapDelete("/{dataset}", DeleteAsync).ProducesProblem(403).ProducesProblem(404)
            .WithSummary("Deletes a dataset with what was worked out from it; jobs that work on it are canceled.");
        datasets.MapGet("/{dataset}/profiles", ProfilesAsync).WithPages().ProducesProblem(400).ProducesProblem(404).WithSummary("Profiles in the order of their file.");
        datasets.MapGet("/{dataset}/profiles/{profile}", ProfileAsync).ProducesProblem(404).WithSummary("One profile.");
        datasets.MapGet("/{dataset}/isolates", IsolatesAsync).WithPages().ProducesProblem(400).ProducesProblem(404).WithSummary("Isolates in the order of their file.");
        foreach (var (method, add) in ((string, bool)[])[(HttpMethods.Put, false), (HttpMethods.Post, true)])
        {
            Upload(datasets.MapMethods("/{dataset}/profiles/files", [method], (HttpContext context, DatasetUploads uploads, CancellationToken ct) => PutProfilesAsync(context, uploads, add, ct)),
                add ? "Adds the profiles of a file." : "Replaces the profiles by those of a file.");
            Upload(datasets.MapMethods("/{dataset}/isolates/files", [method], (HttpContext context, DatasetUploads uploads, CancellationToken ct) => PutIsolatesAsync(context, uploads, add, ct)),
                add ? "Adds the isolates of a file." : "Replaces the isolates by those of a file.");
        }

        void Upload(RouteHandlerBuilder route, string summary) => route.WithBodyLimit(limit).WithSummary(summary)
            .WithDescription("Tab-separated text: the form file 'file', or the body itself. Good lines are stored, all of them or none; the others are named.")
            .ProducesProblem(400).ProducesProblem(403).ProducesProblem(404).ProducesProblem(409).ProducesProblem(413).ProducesProblem(415);
    }

    /// <summary>The dataset's id of the path; one that no dataset has when the text cannot be an id.</summary>
    internal static Guid IdOf(HttpContext context) => Guid.TryParseExact(RouteText.Of(context, "dataset"), "D", out var id) ? id : Guid.Empty;

    internal static RefusedException NotFound() => new(404, "dataset-not-found", "The project has no such dataset.");

    private static async Task<Created<MadeWire>> CreateAsync(HttpContext context, DatasetStore datasets, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        var body = (await JsonBody.ReadAsync<DatasetBody>(context.Request, ct)).Value;
        ProjectResourceEndpoints.CheckDescription(body.Description);
        var id = (await datasets.CreateAsync(project, body.Description ?? "", ct)).ToString("D");
        return TypedResults.Created(ProjectEndpoints.MadeAt(context, id), new MadeWire(id));
    }

    private static async Task<Ok<IEnumerable<DatasetWire>>> ListAsync(HttpContext context, DatasetStore datasets, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var (page, size) = ProjectPages.Of(context.Request);
        return TypedResults.Ok((await datasets.ListAsync(project, page, size, ct)).Select(static d => ToWire(d, null)));
    }

    private static async Task<Ok<DatasetWire>> GetAsync(HttpContext context, DatasetStore datasets, CancellationToken ct)
    {
        var found = await datasets.GetAsync(await ProjectsOf.ReadAsync(context, ct), IdOf(context), ct) ?? throw NotFound();
        return TypedResults.Ok(ToWire(found, found.Loci));
    }

    private static async Task<NoContent> DeleteAsync(HttpContext context, DatasetStore datasets, JobService jobs, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        var id = IdOf(context);
        if (await datasets.GetAsync(project, id, ct) is null) throw NotFound();
        foreach (var job in await datasets.RunningJobsAsync(id, ct)) await jobs.CancelAsync(new JobId(job), Caller.Of(context).Name, ct);
        return await datasets.DeleteAsync(project, id, ct) ? TypedResults.NoContent() : throw NotFound();
    }

    private static async Task<Ok<IEnumerable<ProfileWire>>> ProfilesAsync(HttpContext context, DatasetStore datasets, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var dataset = await datasets.GetAsync(project, IdOf(context), ct) ?? throw NotFound();
        var (page, size) = ProjectPages.Of(context.Request, Math.Clamp(AllelesAPage / Math.Max(1, dataset.Loci.Length), 1, ProjectPages.LargestPage));
        var profiles = await datasets.ProfilesAsync(project, dataset.Id, page, size, ct) ?? throw NotFound();
        return TypedResults.Ok(profiles.Select(ToWire));
    }

    private static async Task<Ok<ProfileWire>> ProfileAsync(HttpContext context, DatasetStore datasets, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        if (await datasets.GetAsync(project, IdOf(context), ct) is not { } dataset) throw NotFound();
        var id = RouteText.Of(context, "profile");
        var found = id.Contains('\0', StringComparison.Ordinal) ? null : await datasets.ProfileAsync(project, dataset.Id, id, ct);
        return found is not null ? TypedResults.Ok(ToWire(found)) : throw new RefusedException(404, "profile-not-found", "The dataset has no profile with this ST.");
    }

    private static async Task<Ok<IEnumerable<IsolateWire>>> IsolatesAsync(HttpContext context, DatasetStore datasets, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var (page, size) = ProjectPages.Of(context.Request);
        var isolates = await datasets.IsolatesAsync(project, IdOf(context), page, size, ct) ?? throw NotFound();
        return TypedResults.Ok(isolates.Select(static i => new IsolateWire(i.Id, i.Profile)));
    }

    private static async Task<Ok<ProfilesStored>> PutProfilesAsync(HttpContext context, DatasetUploads uploads, bool add, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        await using var upload = await uploads.ProfilesAsync(project, IdOf(context), add, ct) ?? throw NotFound();
        var result = await TypingBody.StoreAsync(context.Request, upload, ct);
        return TypedResults.Ok(new ProfilesStored(result.Stored, [.. result.Invalid.Select(ToWire)], result.MoreInvalid));
    }

    private static async Task<Ok<IsolatesStored>> PutIsolatesAsync(HttpContext context, DatasetUploads uploads, bool add, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        await using var upload = await uploads.IsolatesAsync(project, IdOf(context), add, ct) ?? throw NotFound();
        var result = await TypingBody.StoreAsync(context.Request, upload, ct);
        return TypedResults.Ok(new IsolatesStored(result.Stored, [.. result.Invalid.Select(ToWire)], result.MoreInvalid));
    }

    private static DatasetWire ToWire(DatasetView d, string[]? loci) => new(d.Id.ToString("D"), d.Description, d.CreatedAt, d.Profiles, d.Isolates, loci);

    private static ProfileWire ToWire(ProfileView p) => new(p.Id, p.Isolates, Array.ConvertAll(p.Alleles.Split('\t'), static a => a.Length == 0 ? null : a));

    private static InvalidLineWire ToWire(InvalidLine line) => new(line.Line, line.Reason);
}
