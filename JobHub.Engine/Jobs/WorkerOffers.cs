using System.Globalization;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What the workers that are connected offer just now, and which of it is missing for something that could be claimed.</summary>
internal sealed class WorkerOffers
{
    private sealed record Offer(int Slots, int Cpus, long Memory, int Gpus, string[][] Affinity, string[] Mounts, int Held, int HeldGpus, int HeldCpus, long HeldMemory, bool Active, bool Form);

    private readonly List<Offer> offers = [];
    private readonly Dictionary<(int Class, bool Leaf), Waiting> answers = [];

    /// <summary>Sessions are bounded by the workers, and what they hold by their slots.</summary>
    public static async Task<WorkerOffers> ReadAsync(NpgsqlDataSource database, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT s.slots, s.cpus, s.memory, s.gpus, s.affinity::text, s.mounts, coalesce(h.held, 0), coalesce(h.gpus, 0), coalesce(h.cpus, 0), coalesce(h.memory, 0), w.affinity,
                   coalesce(w.active AND NOT w.draining, true), s.calls IS NOT NULL
            FROM worker_session s LEFT JOIN (
                SELECT l.session_id, count(*)::int AS held, sum(c.gpus)::int AS gpus, sum(c.cpus)::int AS cpus, sum(c.memory)::bigint AS memory
                FROM live l JOIN requirement_class c ON c.id = l.class WHERE l.session_id IS NOT NULL GROUP BY 1) h ON h.session_id = s.id
            LEFT JOIN worker w ON w.name = s.worker
            WHERE s.ended_at IS NULL AND s.lease_until > clock_timestamp() AND s.slots > 0
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new WorkerOffers();
        while (await reader.ReadAsync(ct))
        {
            found.offers.Add(new(reader.GetInt32(0), reader.GetInt32(1), reader.GetInt64(2), reader.GetInt32(3),
                reader.IsDBNull(10) ? Workers.WorkerSessions.LinesOf(reader.GetString(4)) : Trees.TreeTags.LinesOf(reader.GetString(10)), reader.GetFieldValue<string[]>(5),
                reader.GetInt32(6), reader.GetInt32(7), reader.GetInt32(8), reader.GetInt64(9), reader.GetBoolean(11), reader.GetBoolean(12)));
        }

        return found;
    }

    /// <summary>Why nobody has taken something that may be claimed.</summary>
    /// <param name="leaf">Of a tree: workers that speak by forms take nothing else.</param>
    public Waiting WhyUnclaimed(int classId, Requirement needs, bool leaf)
    {
        if (!answers.TryGetValue((classId, leaf), out var answer)) answers[(classId, leaf)] = answer = Find(needs, offers.FindAll(o => leaf || !o.Form));
        return answer;
    }

    private static Waiting Find(Requirement needs, List<Offer> connected)
    {
        if (connected.Count == 0) return new(WaitReasons.NoWorker, "No worker is connected.", "Start one.");
        if (WhoFits(needs, connected, out var fits) is { } nobody) return nobody;
        if (fits.FindAll(static w => w.Active) is var active && active.Count == 0)
        {
            return new(WaitReasons.WorkersStopped, Text($"{(fits.Count == 1 ? "The one worker that could run it is" : Text($"All {fits.Count} workers that could run it are"))} stopped."), "Start one of them.")
            {
                Numbers = { ["workers"] = fits.Count },
            };
        }

        return WhatIsFree(needs, active);
    }

    private static Waiting? WhoFits(Requirement needs, List<Offer> workers, out List<Offer> fits)
    {
        fits = workers.FindAll(w => RequirementClasses.Fits(needs with { Gpus = 0, Cpus = 0, MemoryBytes = 0, Mount = null }, w.Affinity, 0, 0, 0, []) is not null);
        if (fits.Count == 0)
        {
            var numbers = new Dictionary<string, long> { ["workers"] = workers.Count };
            return needs.Affinity.Contains(Requirement.ContainerTag)
                ? new(WaitReasons.NoExecutorForImage, $"It names an image, and {NoneOf(workers)} runs containers.", "Connect one that does, or submit it without 'image'.") { Numbers = numbers }
                : new(WaitReasons.NoWorkerWithAffinity, $"{(workers.Count == 1 ? "The one worker does not offer" : Text($"None of the {workers.Count} workers offers"))} all of: {string.Join(", ", needs.Affinity)}.", "Give a worker these tags.") { Numbers = numbers };
        }

        if (needs.Mount is { } mount && (fits = fits.FindAll(w => RequirementClasses.Fits(Requirement.None with { Mount = mount }, [], 0, 0, 0, w.Mounts) is not null)).Count == 0)
            return new(WaitReasons.NoWorkerWithMount, $"No worker that could run it shares the folder {mount} with the hub.", "Connect one that does.");
        var most = fits.Max(static w => w.Gpus);
        if ((fits = fits.FindAll(w => w.Gpus >= needs.Gpus)).Count == 0)
            return new(WaitReasons.NoWorkerWithGpus, Text($"It asks for {needs.Gpus} GPUs; the most that a worker offers is {most}."), "Ask for fewer, or connect a worker with more.") { Numbers = Asked(needs.Gpus, most) };
        most = fits.Max(static w => w.Cpus);
        if ((fits = fits.FindAll(w => w.Cpus >= needs.Cpus)).Count == 0)
            return new(WaitReasons.NoWorkerWithCpus, Text($"It asks for {needs.Cpus} cores; the most that a worker offers is {most}."), "Ask for fewer, or connect a worker with more.") { Numbers = Asked(needs.Cpus, most) };
        var largest = fits.Max(static w => w.Memory);
        if ((fits = fits.FindAll(w => w.Memory >= needs.MemoryBytes)).Count == 0)
        {
            return new(WaitReasons.NoWorkerWithMemory, Text($"It asks for {needs.MemoryBytes >> 20} MiB of memory; the most that a worker offers is {largest >> 20} MiB."),
                "Ask for less, or connect a worker with more.") { Numbers = Asked(needs.MemoryBytes, largest) };
        }

        return null;
    }

    private static Waiting WhatIsFree(Requirement needs, List<Offer> fits)
    {
        const string others = "It starts when others end.";
        long free = fits.Max(static w => w.Gpus - w.HeldGpus);
        if (needs.Gpus > 0 && free < needs.Gpus)
            return new(WaitReasons.NotEnoughFreeGpus, Text($"It asks for {needs.Gpus} GPUs; the most that is free on one worker now is {free}."), others) { Numbers = Asked(needs.Gpus, free, "free") };
        free = fits.Max(static w => w.Cpus - w.HeldCpus);
        if (needs.Cpus > 0 && free < needs.Cpus)
            return new(WaitReasons.NotEnoughFreeCpus, Text($"It asks for {needs.Cpus} cores; the most that is free on one worker now is {free}."), others) { Numbers = Asked(needs.Cpus, free, "free") };
        free = fits.Max(static w => w.Memory - w.HeldMemory);
        if (needs.MemoryBytes > 0 && free < needs.MemoryBytes)
        {
            return new(WaitReasons.NotEnoughFreeMemory, Text($"It asks for {needs.MemoryBytes >> 20} MiB of memory; the most that is free on one worker now is {free >> 20} MiB."), others)
            {
                Numbers = Asked(needs.MemoryBytes, free, "free"),
            };
        }

        if (!fits.TrueForAll(static w => w.Held >= w.Slots)) return new(WaitReasons.AboutToStart, "A worker that can run it has room.", "It starts in a moment.");
        var slots = fits.Sum(static w => w.Slots);
        return new(WaitReasons.AllSlotsBusy, Text($"All {slots} slots of the workers that could run it are busy."), "It starts when its turn comes; a higher priority brings that forward.")
        {
            Numbers = { ["slots"] = slots, ["workers"] = fits.Count },
        };
    }

    private static Dictionary<string, long> Asked(long asked, long most, string name = "most") => new() { ["asked"] = asked, [name] = most };

    private static string NoneOf(List<Offer> workers) => workers.Count == 1 ? "no worker that is connected" : Text($"none of the {workers.Count} workers");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
