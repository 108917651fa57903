using JobHub.Engine.Accounts;
using JobHub.Engine.Jobs;

namespace JobHub.Api.Http.Access;

/// <summary>Whether the caller of a long answer about a job may hear more of it, asked again every few seconds: a token that was revoked or a right that was lost ends the answer soon.</summary>
public sealed class StillReads(HttpContext context, JobId job)
{
    private static readonly TimeSpan Kept = TimeSpan.FromSeconds(5);
    private readonly TimeProvider _clock = context.RequestServices.GetRequiredService<TimeProvider>();
    private long _asked = context.RequestServices.GetRequiredService<TimeProvider>().GetTimestamp();

    /// <summary>Asks when the last answer is too old.</summary>
    public async ValueTask<bool> AskAsync(CancellationToken ct)
    {
        if (_clock.GetElapsedTime(_asked) < Kept) return true;
        var (caller, services) = (Caller.Of(context), context.RequestServices);
        try
        {
            if (caller.Token is not null && !await services.GetRequiredService<CallerReader>().IsStillAsync(context, caller, ct)) return false;
            if (await services.GetRequiredService<JobReader>().GetAsync(job, ct) is not { } found) return false;
            if (await services.GetRequiredService<ProjectAccess>().OfAsync(caller, found.Project, made: false, ct) == ProjectRight.None) return false;
        }
        catch (Npgsql.NpgsqlException)
        {
            // Nobody knows now; the next asking will.
        }

        _asked = _clock.GetTimestamp();
        return true;
    }
}
