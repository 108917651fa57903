using System.Globalization;
using System.Text.Json;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>Why a job waits, in a word of a closed list, and in a sentence that says what would change it.</summary>
/// <param name="Reason">One of the constants of <see cref="WaitReasons"/>.</param>
/// <param name="Until">When it ends by itself, where that is known.</param>
public sealed record Waiting(string Reason, string Message, DateTimeOffset? Until = null);

/// <summary>The closed list.</summary>
public static class WaitReasons
{
    public const string Paused = "paused", Dependencies = "dependencies", Backoff = "backoff", NoWorker = "no-worker", NoExecutorForImage = "no-executor-for-image",
        NoWorkerWithAffinity = "no-worker-with-affinity", NoWorkerWithMount = "no-worker-with-mount", NoWorkerWithGpus = "no-worker-with-gpus", NoWorkerWithCpus = "no-worker-with-cpus",
        NoWorkerWithMemory = "no-worker-with-memory", NotEnoughFreeGpus = "not-enough-free-gpus", NotEnoughFreeCpus = "not-enough-free-cpus",
        NotEnoughFreeMemory = "not-enough-free-memory", AllSlotsBusy = "all-slots-busy", AboutToStart = "about-to-start";
}

/// <summary>Answers "why is it waiting" from what the queue and the workers' sessions say just now.</summary>
public sealed class Explain(NpgsqlDataSource database)
{
    private sealed record Offer(string Worker, int Slots, int Cpus, long Memory, int Gpus, string[][] Affinity, string[] Mounts, int Held, int HeldGpus, int HeldCpus, long HeldMemory);

    /// <summary>The reason, or null when the job does not wait: something of it runs, or it has ended, or there is none.</summary>
    public async Task<Waiting?> JobAsync(JobId id, CancellationToken ct)
    {
        long number;
        bool paused, tree;
        Requirement needs;
        await using (var command = database.CreateCommand("""
            SELECT j.number, j.paused, c.affinity, c.gpus, c.cpus, c.memory, c.mount, j.family = 3
            FROM job j JOIN requirement_class c ON c.id = j.class WHERE j.id = $1 AND j.state < 4 AND j.stop = 0 AND j.deleted_at IS NULL
            """))
        {
            command.Parameters.AddWithValue(id.Value);
            await using var reader = await command.ExecuteReaderAsync(ct);
            if (!await reader.ReadAsync(ct)) return null;
            (number, paused, tree) = (reader.GetInt64(0), reader.GetBoolean(1), reader.GetBoolean(7));
            var mount = reader.GetString(6);
            needs = new(reader.GetFieldValue<string[]>(2), reader.GetInt32(3), reader.GetInt32(4), reader.GetInt64(5), mount.Length == 0 ? null : mount);
        }

        bool held, ready, blocked;
        DateTimeOffset? until;
        await using (var command = database.CreateCommand("""
            SELECT EXISTS (SELECT FROM live WHERE task_id >= $1 << 20 AND task_id < ($1 + 1) << 20 AND session_id IS NOT NULL),
                   EXISTS (SELECT FROM live WHERE task_id >= $1 << 20 AND task_id < ($1 + 1) << 20 AND claimable),
                   EXISTS (SELECT FROM live WHERE task_id >= $1 << 20 AND task_id < ($1 + 1) << 20 AND state = 0),
                   (SELECT min(not_before) FROM live WHERE task_id >= $1 << 20 AND task_id < ($1 + 1) << 20 AND state = 1 AND NOT claimable)
            """))
        {
            command.Parameters.AddWithValue(number);
            await using var reader = await command.ExecuteReaderAsync(ct);
            await reader.ReadAsync(ct);
            (held, ready, blocked) = (reader.GetBoolean(0), reader.GetBoolean(1), reader.GetBoolean(2));
            until = reader.IsDBNull(3) ? null : reader.GetFieldValue<DateTimeOffset>(3);
        }

        if (held) return null;
        if (tree && await InTreeAsync(number, ct) is { } above) return above;
        if (paused) return new(WaitReasons.Paused, "The job is paused. Resume it.");
        if (ready) return WhyUnclaimed(needs, await OffersAsync(tree, ct));
        if (until is { } time) return new(WaitReasons.Backoff, $"Its last attempt failed; the next begins at {time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture)}.", time);
        return blocked ? new(WaitReasons.Dependencies, "What is left of it waits for tasks before it.") : null;
    }

    /// <summary>What a job of a tree waits for by its place there: a pause, or what it or a group above depends on. The nearest one is named.</summary>
    private async Task<Waiting?> InTreeAsync(long number, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH RECURSIVE chain AS (
                SELECT number, parent, paused, 0 AS height FROM job WHERE number = $1
                UNION ALL SELECT p.number, p.parent, p.paused, c.height + 1 FROM chain c JOIN job p ON p.number = c.parent)
            SELECT c.number, c.paused, o.number, o.state FROM chain c
            LEFT JOIN LATERAL (
                SELECT o.number, o.state FROM dependency d JOIN job o ON o.number = d.dependency WHERE d.job = c.number AND o.state <> 4 ORDER BY o.state DESC, o.number LIMIT 1) o ON true
            WHERE c.paused OR o.number IS NOT NULL ORDER BY c.paused DESC, c.height LIMIT 1
            """);
        command.Parameters.AddWithValue(number);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        var at = reader.GetInt64(0);
        if (reader.GetBoolean(1)) return new(WaitReasons.Paused, at == number ? "The job is paused. Start it." : Text($"Group {at} above it is paused. Start that group."));
        var (on, state) = (reader.GetInt64(2), (JobState)reader.GetInt16(3));
        var who = at == number ? "It depends" : Text($"Group {at} above it depends");
        return new(WaitReasons.Dependencies, state is JobState.Failed or JobState.Canceled
            ? Text($"{who} on job {on}, which has failed. Reset or start job {on}, or take the dependency away.") : Text($"{who} on job {on}, which has not succeeded yet."));
    }

    private static Waiting WhyUnclaimed(Requirement needs, List<Offer> workers)
    {
        if (workers.Count == 0) return new(WaitReasons.NoWorker, "No worker is connected. Start one.");
        var image = needs.Affinity.Contains(Requirement.ContainerTag);
        var able = workers.FindAll(w => RequirementClasses.Fits(needs with { Gpus = 0, Cpus = 0, MemoryBytes = 0, Mount = null }, w.Affinity, 0, 0, 0, []) is not null);
        if (able.Count == 0)
        {
            return image
                ? new(WaitReasons.NoExecutorForImage, $"It names an image, and none of {Count(workers)} runs containers. Connect one that does, or submit it without 'image'.")
                : new(WaitReasons.NoWorkerWithAffinity, $"None of {Count(workers)} offers all of: {string.Join(", ", needs.Affinity)}. Give a worker these tags.");
        }

        if (needs.Mount is { } mount && (able = able.FindAll(w => RequirementClasses.Fits(Requirement.None with { Mount = mount }, [], 0, 0, 0, w.Mounts) is not null)).Count == 0)
            return new(WaitReasons.NoWorkerWithMount, $"No worker that could run it shares the folder {mount} with the hub.");
        if (able.FindAll(w => w.Gpus >= needs.Gpus) is var gpus && gpus.Count == 0)
            return new(WaitReasons.NoWorkerWithGpus, Text($"It asks for {needs.Gpus} GPUs; the most that a worker offers is {able.Max(w => w.Gpus)}. Ask for fewer, or connect a worker with more."));
        if (gpus.FindAll(w => w.Cpus >= needs.Cpus) is var cpus && cpus.Count == 0)
            return new(WaitReasons.NoWorkerWithCpus, Text($"It asks for {needs.Cpus} cores; the most that a worker offers is {gpus.Max(w => w.Cpus)}. Ask for fewer, or connect a worker with more."));
        if (cpus.FindAll(w => w.Memory >= needs.MemoryBytes) is var fits && fits.Count == 0)
        {
            return new(WaitReasons.NoWorkerWithMemory,
                Text($"It asks for {needs.MemoryBytes >> 20} MiB of memory; the most that a worker offers is {cpus.Max(w => w.Memory) >> 20} MiB. Ask for less, or connect a worker with more."));
        }

        if (needs.Gpus > 0 && fits.TrueForAll(w => w.Gpus - w.HeldGpus < needs.Gpus))
            return new(WaitReasons.NotEnoughFreeGpus, Text($"It asks for {needs.Gpus} GPUs; the most that is free on one worker now is {fits.Max(w => w.Gpus - w.HeldGpus)}. It starts when others end."));
        if (needs.Cpus > 0 && fits.TrueForAll(w => w.Cpus - w.HeldCpus < needs.Cpus))
            return new(WaitReasons.NotEnoughFreeCpus, Text($"It asks for {needs.Cpus} cores; the most that is free on one worker now is {fits.Max(w => w.Cpus - w.HeldCpus)}. It starts when others end."));
        if (needs.MemoryBytes > 0 && fits.TrueForAll(w => w.Memory - w.HeldMemory < needs.MemoryBytes))
        {
            return new(WaitReasons.NotEnoughFreeMemory,
                Text($"It asks for {needs.MemoryBytes >> 20} MiB of memory; the most that is free on one worker now is {fits.Max(w => w.Memory - w.HeldMemory) >> 20} MiB. It starts when others end."));
        }

        if (fits.TrueForAll(w => w.Held >= w.Slots))
            return new(WaitReasons.AllSlotsBusy, Text($"All {fits.Sum(w => w.Slots)} slots of the workers that could run it are busy. It starts when its turn comes; a higher priority brings that forward."));
        return new(WaitReasons.AboutToStart, "A worker that can run it has room; it starts in a moment.");
    }

    /// <param name="leaf">Workers that speak by forms are given leaves of trees only.</param>
    private async Task<List<Offer>> OffersAsync(bool leaf, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT s.worker, s.slots, s.cpus, s.memory, s.gpus, s.affinity::text, s.mounts, coalesce(h.held, 0), coalesce(h.gpus, 0), coalesce(h.cpus, 0), coalesce(h.memory, 0), w.affinity
            FROM worker_session s LEFT JOIN (
                SELECT l.session_id, count(*)::int AS held, sum(c.gpus)::int AS gpus, sum(c.cpus)::int AS cpus, sum(c.memory)::bigint AS memory
                FROM live l JOIN requirement_class c ON c.id = l.class WHERE l.session_id IS NOT NULL GROUP BY 1) h ON h.session_id = s.id
            LEFT JOIN worker w ON w.name = s.worker
            WHERE s.ended_at IS NULL AND s.lease_until > clock_timestamp() AND s.slots > 0 AND coalesce(w.active, true) AND ($1 OR s.calls IS NULL)
            """);
        command.Parameters.AddWithValue(leaf);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var offers = new List<Offer>();
        while (await reader.ReadAsync(ct))
        {
            offers.Add(new(reader.GetString(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt64(3), reader.GetInt32(4),
                reader.IsDBNull(11) ? Workers.WorkerSessions.LinesOf(reader.GetString(5)) : Trees.TreeTags.LinesOf(reader.GetString(11)), reader.GetFieldValue<string[]>(6),
                reader.GetInt32(7), reader.GetInt32(8), reader.GetInt32(9), reader.GetInt64(10)));
        }

        return offers;
    }

    private static string Count(List<Offer> workers) => workers.Count == 1 ? "the one worker" : Text($"the {workers.Count} workers");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
