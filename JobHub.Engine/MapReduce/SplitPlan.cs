using JobHub.Engine.Jobs;

namespace JobHub.Engine.MapReduce;

/// <summary>One object of an input, as it was at submit.</summary>
/// <param name="Path">Canonical address; parses back.</param>
public sealed record InputObject(string Path, long Size, string? ETag);

/// <summary>A job's inputs cut into maps.</summary>
public sealed record SplitCut(IReadOnlyList<JobInput> Inputs, int Maps, long TotalSize);

/// <summary>More maps than a job may have.</summary>
/// <param name="smallestSplitSize">The smallest split size that would be accepted; null when no size is (too many objects).</param>
public sealed class TooManySplitsException(long? smallestSplitSize, string message) : Exception(message)
{
    public long? SmallestSplitSize { get; } = smallestSplitSize;
}

/// <summary>The one place that knows which bytes of which object a map reads.</summary>
public static class SplitPlan
{
    public const int MaxMaps = 100_000;
    public const long MaxMapsTimesReducers = 10_000_000;

    /// <summary>Cuts inputs in order; an object of 0 bytes has no map and is left out. Throws <see cref="TooManySplitsException"/>.</summary>
    public static SplitCut Cut(IReadOnlyList<InputObject> objects, long splitSize, bool gzip, int reducers)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(splitSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(reducers, 1);
        var limit = Math.Min(MaxMaps, MaxMapsTimesReducers / reducers);
        var maps = Count(objects, splitSize, gzip);
        if (maps > limit)
        {
            var smallest = SmallestSize(objects, gzip, limit);
            throw new TooManySplitsException(smallest, smallest is null
                ? $"The input has {objects.Count} objects; with {reducers} reducers a job may have {limit} maps."
                : $"A split size of {splitSize} makes {maps} maps; with {reducers} reducers a job may have {limit}. The smallest split size is {smallest}.");
        }

        var inputs = new List<JobInput>(objects.Count);
        long total = 0;
        var first = 0;
        foreach (var item in objects)
        {
            if (item.Size == 0) continue;
            inputs.Add(new JobInput(item.Path, item.Size, item.ETag, first));
            first += (int)MapsOf(item.Path, item.Size, splitSize, gzip);
            total = checked(total + item.Size);
        }

        return new SplitCut(inputs, first, total);
    }

    /// <summary>The bytes of one map, end exclusive.</summary>
    public static (JobInput Input, long Start, long End) At(IReadOnlyList<JobInput> inputs, long splitSize, bool gzip, int mapIndex)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(mapIndex);
        int low = 0, high = inputs.Count - 1;
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            if (inputs[middle].FirstTask <= mapIndex) low = middle;
            else high = middle - 1;
        }

        if (inputs.Count == 0 || inputs[low] is var input && mapIndex - input.FirstTask >= MapsOf(input.Path, input.Size, splitSize, gzip))
        {
            throw new ArgumentOutOfRangeException(nameof(mapIndex), mapIndex, "The job has no such map.");
        }

        input = inputs[low];
        if (IsGzip(input.Path, gzip)) return (input, 0, input.Size);
        var start = (mapIndex - input.FirstTask) * splitSize;
        return (input, start, input.Size - start > splitSize ? start + splitSize : input.Size);
    }

    /// <summary>Whether an object is read through gzip, and so by one map: by the job's input type, or by its name.</summary>
    public static bool IsGzip(string path, bool gzip) => gzip || path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase);

    private static long MapsOf(string path, long size, long splitSize, bool gzip) => size == 0 ? 0 : IsGzip(path, gzip) ? 1 : ((size - 1) / splitSize) + 1;

    private static decimal Count(IReadOnlyList<InputObject> objects, long splitSize, bool gzip)
    {
        // Sizes are the store's word: their sum need not fit a long.
        decimal maps = 0;
        foreach (var item in objects) maps += MapsOf(item.Path, item.Size, splitSize, gzip);
        return maps;
    }

    private static long? SmallestSize(IReadOnlyList<InputObject> objects, bool gzip, long limit)
    {
        long low = 1, high = objects.Max(item => Math.Max(1, item.Size));
        if (Count(objects, high, gzip) > limit) return null;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            if (Count(objects, middle, gzip) <= limit) high = middle;
            else low = middle + 1;
        }

        return low;
    }
}
