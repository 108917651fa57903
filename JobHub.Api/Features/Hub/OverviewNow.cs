using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Jobs;
using JobHub.Engine.Statistics;
using JobHub.Engine.Webhooks;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Hub;

/// <summary>The numbers of <c>/hub/v1/overview/now</c>. Every open page asks for them: whoever sees the same is answered by one reading of them for some seconds.</summary>
public sealed class OverviewNow(StatisticReader statistics, JobSearch search, WorkerReader workers, WebhookStore webhooks, TimeProvider clock)
{
    // Half the time after which an open page asks again, and as many different callers as have pages open at once.
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(3);
    private const int Most = 1000;

    private readonly Lock gate = new();
    private readonly Dictionary<(bool Webhooks, bool OnlyUnmade, string Project, string Projects), (DateTimeOffset At, Task<HubNow> Reading)> known = [];

    /// <summary>The numbers of a scope.</summary>
    /// <param name="project">Null: of all that is in it.</param>
    /// <param name="withWebhooks">What is wrong with webhooks is told too.</param>
    public Task<HubNow> OfAsync(StatisticScope scope, string? project, bool withWebhooks, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(scope);
        var key = (withWebhooks, scope.OnlyUnmade, Mark(project), Mark(scope.Projects is { } projects ? string.Join('\n', projects.Order(StringComparer.Ordinal)) : null));
        var now = clock.GetUtcNow();
        lock (gate)
        {
            if (known.TryGetValue(key, out var found) && now - found.At < Fresh && !found.Reading.IsFaulted) return found.Reading.WaitAsync(ct);
            foreach (var (old, (at, _)) in known)
            {
                if (now - at >= Fresh) known.Remove(old);
            }

            // Not the caller's own end: others wait for the same.
            var reading = ReadAsync(scope, project, withWebhooks, now, CancellationToken.None);
            if (known.Count < Most) known[key] = (now, reading);
            return reading.WaitAsync(ct);
        }
    }

    // Of any length: only as much is kept as tells one from another.
    private static string Mark(string? text) => text is null ? "" : Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private async Task<HubNow> ReadAsync(StatisticScope scope, string? project, bool withWebhooks, DateTimeOffset now, CancellationToken ct)
    {
        var all = await workers.ListAsync(ct);
        var jobs = (await search.CountAsync(new() { Projects = scope.Projects, OnlyUnmade = scope.OnlyUnmade }, ct)).ByState;
        var told = withWebhooks ? await webhooks.ListAsync(ct) : [];
        var findings = OverviewFindings.Of(await statistics.OfWorkersAsync(scope, OverviewFindings.Recent, ct), (await statistics.WaitingAsync(scope, ct)).Waiting, all, project is null ? told : [.. told.Where(w => w.Project == project)], now);
        return new(jobs.GetValueOrDefault(JobState.Running), findings.Length, all.Count(w => OverviewFindings.IsLostNow(w, now)));
    }
}
