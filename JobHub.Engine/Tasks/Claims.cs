using JobHub.Engine.Attempts;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Upkeep;
using JobHub.Engine.Workers;

namespace JobHub.Engine.Tasks;

/// <summary>Gives tasks to workers: the classes that fit, a long-poll, and the specs.</summary>
public sealed class Claims(TaskQueue queue, RequirementClasses classes, WorkerDirectory workers, AttemptSpecs specs, AttemptEndings endings, Wakeups wakeups, EngineMeter meter)
{
    /// <summary>Waits up to the request's time for the first task; a resend answers what the first answer gave.</summary>
    public async Task<ClaimAnswer> ClaimAsync(WorkerSession session, ClaimRequest request, CancellationToken ct)
    {
        var deadline = Environment.TickCount64 + request.WaitMs;
        while (true)
        {
            var next = wakeups.NextWork;
            var (fits, resources) = await FitsAsync(session, ct);
            var claimed = await queue.ClaimAsync(session, fits, resources, request.ClaimId, request.Max, ct);
            if (claimed.Count > 0)
            {
                meter.Claimed(claimed.Count);
                var refused = new List<Ending>();
                var given = await specs.BuildAsync(session, claimed, refused, ct);
                await endings.EndAsync(refused, CancellationToken.None);
                if (given.Length > 0) return new(given);
                // All of them were refused: the claim id has given nothing, the wait goes on.
                continue;
            }

            var left = deadline - Environment.TickCount64;
            if (left <= 0) return new([]);
            // Half a second is the poll behind the wake-ups; a session that ended meanwhile is told at its next renew.
            await Task.WhenAny(next, Task.Delay(TimeSpan.FromMilliseconds(Math.Min(left, 500)), ct));
            ct.ThrowIfCancellationRequested();
        }
    }

    private async ValueTask<(int[] Classes, bool Resources)> FitsAsync(WorkerSession session, CancellationToken ct)
    {
        var settings = await workers.SettingsOfAsync(session.Worker, ct);
        // A stopped worker asks on and is given nothing; when it is started it is woken.
        if (!settings.Active) return ([], false);
        var all = await classes.AllAsync(ct);
        var fits = all.Select(c => (c.Key, c.Value.Reserves, Line: RequirementClasses.Fits(c.Value, settings.Lines ?? session.Affinity, session.Gpus, session.Cpus, session.Memory, session.Mounts)))
            .Where(c => c.Line is not null).OrderBy(c => c.Line).ToArray();
        return ([.. fits.Select(c => c.Key)], fits.Any(c => c.Reserves));
    }
}
