namespace JobHub.Faults.Tests.Runs;

/// <summary>What is done to the hub.</summary>
public enum FaultKind
{
    KillWorker, KillMapper, KillApi, KillPostgres, KillBackend, FreezeWorker, FreezeApi, LoseShuffle,
}

/// <summary>One fault.</summary>
/// <param name="After">Since the one before was over.</param>
/// <param name="Choice">0..1: which of several (mappers, backends, objects).</param>
public sealed record Fault(FaultKind Kind, TimeSpan After, double Choice);

/// <summary>Faults in their order, from a seed: the same seed gives the same.</summary>
public static class FaultPlan
{
    public static IReadOnlyList<Fault> Of(int seed, IReadOnlyDictionary<FaultKind, int> counts, TimeSpan longest)
    {
        var random = new Random(seed);
        var kinds = counts.OrderBy(c => c.Key).SelectMany(c => Enumerable.Repeat(c.Key, c.Value)).ToArray();
        random.Shuffle(kinds);
        return [.. kinds.Select(kind => new Fault(kind, random.NextDouble() * longest, random.NextDouble()))];
    }
}
