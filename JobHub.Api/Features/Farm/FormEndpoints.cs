using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>/workers: the original worker's protocol. Forms in, Python text out; a worker makes a connection for each call.</summary>
public static class FormEndpoints
{
    // Every character of the log may come as an escape of three.
    private const long HeartbeatLimit = (3 * FormOutput.MostCharacters) + SmallLimit, SmallLimit = 64 << 10;

    /// <summary>Maps the routes where the protocol is on; elsewhere they are not there.</summary>
    public static void MapFormWorkers(this IEndpointRouteBuilder routes)
    {
        ArgumentNullException.ThrowIfNull(routes);
        if (!routes.ServiceProvider.GetRequiredService<FormWorkerRule>().IsOn) return;
        var workers = routes.MapGroup("/workers").WithTags("form workers");
        workers.MapPost("/pickjob", PickAsync).WithBodyLimit(SmallLimit).WithSummary("Gives a worker a job: a Python tuple.").Produces<string>(200, "text/plain").ProducesProblem(400).ProducesProblem(403);
        workers.MapPost("/heartbeat", HeartbeatAsync).WithBodyLimit(HeartbeatLimit).WithSummary("Renews the lease and adds to the log: true, or false when the job is to be killed.")
            .Produces<string>(200, "text/plain").ProducesProblem(400).ProducesProblem(403);
        workers.MapPost("/endjob", EndAsync).WithBodyLimit(SmallLimit).WithSummary("Ends a job with its exit code: 1.").Produces<string>(200, "text/plain").ProducesProblem(400).ProducesProblem(403);
    }

    private static async Task<IResult> PickAsync(HttpContext context, FormWorkers workers, CancellationToken ct)
    {
        await using var form = await FormFields.ReadAsync(context.Request, ct);
        return Text(await workers.PickAsync(CallOf(context, form), ct) is { } job ? FormAnswer.Of(job) : FormAnswer.Nothing);
    }

    private static async Task<IResult> HeartbeatAsync(HttpContext context, FormWorkers workers, CancellationToken ct)
    {
        await using var form = await FormFields.ReadAsync(context.Request, ct);
        return Text(await workers.HeartbeatAsync(CallOf(context, form), form.Number("jobId"), form.Output, ct) ? "true" : "false");
    }

    private static async Task<IResult> EndAsync(HttpContext context, FormWorkers workers, CancellationToken ct)
    {
        await using var form = await FormFields.ReadAsync(context.Request, ct);
        await workers.EndAsync(CallOf(context, form), form.Number("jobId"), ExitCode(form.Number("errorCode")), ct);
        return Text("1");
    }

    private static FormCall CallOf(HttpContext context, FormFields form)
    {
        var host = form.Required("hostname");
        if (host.Length > 255 || host.Any(char.IsControl)) throw Problems.InvalidField("hostname", "'hostname' has 1 to 255 characters, none of them a control character.");
        // The load is shown to people and evaluated by clients: a list of numbers, or nothing.
        var load = form.Text("load")?.Trim();
        return new(host, CallerAddress.Of(context), load is not null && IsListOfNumbers(load) ? load : null, form.Amount("free_memory"), form.Amount("total_memory"));
    }

    /// <summary>Windows says codes as unsigned numbers of 32 bits; what fits neither way is cut, and never becomes a success.</summary>
    private static int ExitCode(long code) => code is >= int.MinValue and <= uint.MaxValue ? unchecked((int)code) : code < 0 ? int.MinValue : int.MaxValue;

    private static IResult Text(string text) => TypedResults.Text(text, "text/plain");

    private static bool IsListOfNumbers(string text)
    {
        if (text is not ['[', .. var inner, ']'] || text.Length > 1024) return false;
        foreach (var range in inner.AsSpan().Split(','))
        {
            var number = inner.AsSpan()[range].Trim();
            if (!double.TryParse(number, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value) || !double.IsFinite(value))
                return inner.AsSpan().IsWhiteSpace();
        }

        return true;
    }
}
