using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Farm;

/// <summary>/json and /xmlrpc: what the command line of older farms calls. GETs that write obey the same rule against other sites' pages as everything else.</summary>
public static class FarmCommandLine
{
    public static void MapFarmCommandLine(this IEndpointRouteBuilder routes)
    {
        var old = routes.MapGroup("").WithTags("Older command line");
        WithJobQuery(old.MapGet("/json/addjob", AddAsync)).WithSummary("Makes a job; answers its id.").Produces<long>().ProducesProblem(400).ProducesProblem(404).ProducesProblem(409);
        WithJobQuery(old.MapGet("/xmlrpc/addjob", AddOrRefuseAsync)).WithSummary("Makes a job; answers its id, or -1 when it cannot be made.").Produces<long>();
        old.MapGet("/json/getjobs", ListAsync).WithQuery("id", "The group; 0, the root of all, without.")
            .WithSummary("The jobs in a group as rows of values, and the groups above them, as a literal that Python reads too.").Produces<object>().ProducesProblem(404);
        old.MapGet("/json/clearjobs", RemoveAsync).WithQuery("id", "The job; several are parted by commas, or given again.", required: true)
            .WithSummary("Removes jobs with everything below them; answers 1.").Produces<int>().ProducesProblem(400).ProducesProblem(404);
    }

    private static RouteHandlerBuilder WithJobQuery(RouteHandlerBuilder route)
    {
        foreach (var (name, description) in ((string, string)[])
        [
            ("parent", "The group; 0 = none."), ("title", "The title."), ("cmd", "The command; without one it is a group. Also: command."), ("dir", "Where it runs."), ("environment", "K=V a line."),
            ("priority", "0 to 255; what is beyond is kept within."), ("retry", "How often it runs again."), ("timeout", "Seconds a run may take; 0 = no limit."), ("affinity", "Tags, parted by commas."),
            ("dependencies", "Ids, parted by spaces or commas."), ("user", "Whose it is."), ("url", "What its page links to."), ("localprogress", "The pattern of its progress."),
            ("globalprogress", "Not used."), ("project", "The project; default without."),
        ])
        {
            route.WithQuery(name, description);
        }

        return route;
    }

    private static async Task<IResult> AddAsync(HttpContext context, JobTrees trees, CommandRules rules, FarmAccess access, CancellationToken ct)
    {
        context.Response.Headers.CacheControl = "no-store";
        return (await MakeAsync(context, trees, rules, access, ct)).Answer(static done => done.Ids is [var id, ..] ? TypedResults.Ok(id) : Problems.KeyReused());
    }

    private static async Task<IResult> AddOrRefuseAsync(HttpContext context, JobTrees trees, CommandRules rules, FarmAccess access, CancellationToken ct)
    {
        context.Response.Headers.CacheControl = "no-store";
        try
        {
            return TypedResults.Ok(await MakeAsync(context, trees, rules, access, ct) is TreeResult.Done { Ids: [var id, ..] } ? id : -1);
        }
        catch (RefusedException fault) when (fault.Problem.Status < 500)
        {
            return TypedResults.Ok(-1);
        }
    }

    private static async Task<TreeResult> MakeAsync(HttpContext context, JobTrees trees, CommandRules rules, FarmAccess access, CancellationToken ct)
    {
        var request = context.Request;
        var job = ReadJob(request);
        rules.Check(job.User, job.Command, "cmd");
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(request.QueryString.Value ?? ""));
        await access.CheckAsync(context, [job.Parent], writes: true, ct);
        await access.CheckAsync(context, [.. job.Dependencies], writes: false, ct);
        var made = await trees.CreateAsync([job], new Submission(Caller.Of(context).Name, IdempotencyKey.Of(request), hash, Project.Of(request)), ct);
        if (made is TreeResult.Done done) AuditNote.Objects(context, done.Ids);
        return made;
    }

    private static NewTreeJob ReadJob(HttpRequest request)
    {
        var job = new NewTreeJob();
        return job with
        {
            Parent = Whole(request, "parent", 0, long.MaxValue) ?? 0,
            Title = Text(request, "title", FarmJobFields.LongestTitle),
            Command = Text(request, Given(request, "cmd") is null ? "command" : "cmd", SubmitFields.LongestArgument),
            Dir = Text(request, "dir", FarmJobFields.LongestDir),
            Environment = FarmJobFields.Environment("environment", Text(request, "environment", FarmJobFields.LongestEnvironment)),
            Priority = Whole(request, "priority", long.MinValue, long.MaxValue) is { } priority ? FarmJobFields.Priority(priority) : job.Priority,
            Retry = (int)(Whole(request, "retry", 0, FarmJobFields.MostRetries) ?? job.Retry),
            TimeoutSeconds = (int)(Whole(request, "timeout", 0, int.MaxValue) ?? job.TimeoutSeconds),
            Affinity = FarmJobFields.Affinity("affinity", Text(request, "affinity", FarmJobFields.LongestAffinity)),
            User = Text(request, "user", FarmJobFields.LongestUser),
            Url = Text(request, "url", FarmJobFields.LongestUrl),
            ProgressPattern = Text(request, "localprogress", FarmJobFields.LongestPattern),
            Dependencies = Ids("dependencies", Given(request, "dependencies") ?? ""),
        };
    }

    /// <summary>A value; the text None, which the old command line sends for what was not said, is none.</summary>
    private static string? Given(HttpRequest request, string name) => request.QueryText(name) is var text && text == "None" ? null : text;

    private static string Text(HttpRequest request, string name, int most) => FarmJobFields.Bounded(name, SubmitFields.Clean(name, Given(request, name) ?? ""), most);

    private static long? Whole(HttpRequest request, string name, long least, long most) => Given(request, name) is null ? null : request.QueryNumber(name, least, most);

    private static long[] Ids(string name, string text) => [.. text.Split([' ', ','], StringSplitOptions.RemoveEmptyEntries)
        .Select(id => long.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0 ? number : throw Problems.InvalidField(name, $"'{name}' must be ids of jobs, parted by spaces or commas."))
        .Distinct()];

    private static async Task<IResult> RemoveAsync(HttpContext context, JobTrees trees, FarmAccess access, CancellationToken ct)
    {
        context.Response.Headers.CacheControl = "no-store";
        var ids = Ids("id", string.Join(',', context.Request.Query["id"].AsEnumerable()));
        if (ids.Length == 0) throw SubmitFields.Missing("id");
        await access.CheckChangeAsync(context, ids, [], ct);
        return (await trees.DeleteAsync(ids, Caller.Of(context).Name, ct)).Answer();
    }

    private static async Task<IResult> ListAsync(HttpContext context, TreeReader reader, AffinitySlots slots, FarmAccess access, CancellationToken ct)
    {
        var id = Whole(context.Request, "id", 0, long.MaxValue) ?? 0;
        var projects = await access.ReadableAsync(context, ct);
        var parents = new List<(long Id, string Title)>();
        for (var above = id; above != 0;)
        {
            if (await reader.GetAsync(above, ct) is not { } job || projects?.Contains(job.Project) == false) return Problems.NotFound("job-not-found", "There is no farm job with this id.");
            parents.Insert(0, (job.Number, job.Title));
            above = job.Parent;
        }

        parents.Insert(0, (0, "Root"));
        return new Rows(FarmMapping.ToWireAsync(FarmLists.PagedAsync(reader, id, new TreeFilter { Projects = projects }, ct), slots, ct), parents);
    }

    /// <summary>The answer, which is JSON and a literal of Python alike: no null, no true or false, and no escapes but those that both know.</summary>
    private sealed class Rows(IAsyncEnumerable<FarmJobWire> jobs, IReadOnlyList<(long Id, string Title)> parents) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            response.ContentType = "application/json; charset=utf-8";
            var body = response.BodyWriter;
            var text = new StringBuilder("{\"Vars\":[").AppendJoin(',', FarmJobWire.Names.Select(static name => $"\"{name}\"")).Append("],\"Jobs\":[");
            var first = true;
            await foreach (var job in jobs.WithCancellation(httpContext.RequestAborted))
            {
                text.Append(first ? "[" : ",[");
                first = false;
                AppendRow(text, job);
                text.Append(']');
                if (text.Length < 32 << 10) continue;
                await SendAsync(text);
            }

            text.Append("],\"Parents\":[");
            for (var index = 0; index < parents.Count; index++)
            {
                text.Append(index == 0 ? "" : ",").Append(CultureInfo.InvariantCulture, $"{{\"ID\":{parents[index].Id},\"Title\":");
                AppendText(text, parents[index].Title);
                text.Append('}');
            }

            text.Append("]}");
            await SendAsync(text);

            async Task SendAsync(StringBuilder built)
            {
                _ = Encoding.UTF8.GetBytes(built.ToString(), body);
                built.Clear();
                await body.FlushAsync(httpContext.RequestAborted);
            }
        }

        private static void AppendRow(StringBuilder text, FarmJobWire job)
        {
            object?[] values =
            [
                job.Id, job.Parent, job.Title, job.Command, job.Dir, job.Environment, job.State, job.Paused, job.Worker, job.StartTime, job.Duration, job.PingTime, job.RunDone, job.Retry,
                job.Timeout, job.Priority, job.Affinity, job.AffinityBits, job.User, job.Finished, job.Errors, job.Working, job.Total, job.TotalFinished, job.TotalErrors, job.TotalWorking,
                job.Url, job.Progress, job.ProgressPattern, job.PathAffinity, job.PathPriority, job.PathPaused, job.Depth,
            ];
            for (var index = 0; index < values.Length; index++)
            {
                if (index > 0) text.Append(',');
                if (values[index] is IFormattable number) text.Append(number.ToString(null, CultureInfo.InvariantCulture));
                else AppendText(text, values[index] as string ?? "");
            }
        }

        // Everything but quotes, backslashes and control characters stands as itself: Python does not put halves of a character together, and its byte strings know no \u.
        private static void AppendText(StringBuilder text, string value)
        {
            text.Append('"');
            foreach (var character in value)
            {
                switch (character)
                {
                    case '"' or '\\': text.Append('\\').Append(character); break;
                    case '\n': text.Append("\\n"); break;
                    case '\r': text.Append("\\r"); break;
                    case '\t': text.Append("\\t"); break;
                    case < ' ': text.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}"); break;
                    default: text.Append(character); break;
                }
            }

            text.Append('"');
        }
    }
}
