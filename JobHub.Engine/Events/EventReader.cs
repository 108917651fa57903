using System.Runtime.CompilerServices;
using JobHub.Engine.Jobs;
using JobHub.Engine.Upkeep;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Events;

/// <summary>A fact about a job, in its place in the order of all facts.</summary>
/// <param name="Kind">job-submitted, job-cancel-requested, job-ended, tasks-ended, attempt-ended, tasks-unblocked, ...</param>
/// <param name="JobId">Null for facts about no job.</param>
/// <param name="Payload">JSON, by kind.</param>
/// <param name="Project">The job's; empty when the job is gone: then it is for those who see all. Null for facts about no job.</param>
public sealed record HubEvent(long Position, DateTimeOffset At, string Kind, Guid? JobId, string Payload, string? Project = null);

/// <summary>The ledger as readers follow it: by position only, so each cursor sees every event once and in order.</summary>
public sealed partial class EventReader(NpgsqlDataSource database, Wakeups wakeups)
{
    private const int Page = 500;

    /// <summary>Events after a position, of one job or of all; with follow it goes on as they come.</summary>
    public async IAsyncEnumerable<HubEvent> ReadAsync(long afterPosition, JobId? job, bool follow, [EnumeratorCancellation] CancellationToken ct)
    {
        while (true)
        {
            var next = wakeups.NextEvents;
            var page = await PageAsync(afterPosition, job, ct);
            foreach (var e in page)
            {
                afterPosition = e.Position;
                yield return e;
            }

            if (page.Count == Page) continue;
            if (!follow) yield break;
            try
            {
                await next.WaitAsync(TimeSpan.FromSeconds(2), ct);
            }
            catch (TimeoutException)
            {
                // Polling is the truth.
            }
        }
    }

    /// <summary>The position of the newest event.</summary>
    public async Task<long> LastPositionAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT position FROM relay");
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task<List<HubEvent>> PageAsync(long after, JobId? job, CancellationToken ct)
    {
        await using var command = database.CreateCommand(job is null
            ? "SELECT e.position, e.at, e.kind, j.id, e.payload::text, coalesce(j.project, CASE WHEN e.job <> 0 THEN '' END) FROM ledger e LEFT JOIN job j ON j.number = e.job WHERE e.position > $1 ORDER BY e.position LIMIT $2"
            : """
              SELECT e.position, e.at, e.kind, j.id, e.payload::text, j.project FROM ledger e JOIN job j ON j.number = e.job
              WHERE e.job = (SELECT number FROM job WHERE id = $3) AND e.position > $1 ORDER BY e.position LIMIT $2
              """);
        command.Parameters.AddWithValue(after);
        command.Parameters.AddWithValue(Page);
        if (job is { } id) command.Parameters.Add(new() { Value = id.Value, NpgsqlDbType = NpgsqlDbType.Uuid });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var events = new List<HubEvent>();
        while (await reader.ReadAsync(ct))
        {
            events.Add(Read(reader));
        }

        return events;
    }
}
