namespace JobHub.Worker.Executors.Processes;

/// <summary>The GPUs of this worker by index. Each is one attempt's at a time; the hub counts, this says which.</summary>
public sealed class GpuPool(int count)
{
    private readonly Lock gate = new();
    private readonly SortedSet<int> free = [.. Enumerable.Range(0, count)];
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public int Count => count;

    /// <summary>Takes so many, the lowest free ones; waits for an attempt that is just ending. Dispose gives them back. Null when the worker has not so many.</summary>
    public async Task<GpuShare?> TakeAsync(int wanted, CancellationToken ct)
    {
        if (wanted > count) return null;
        while (true)
        {
            Task freed;
            lock (gate)
            {
                if (free.Count >= wanted)
                {
                    int[] taken = [.. free.Take(wanted)];
                    free.ExceptWith(taken);
                    return new GpuShare(this, taken);
                }

                freed = changed.Task;
            }

            await freed.WaitAsync(ct);
        }
    }

    internal void Return(IEnumerable<int> indexes)
    {
        TaskCompletionSource waiting;
        lock (gate)
        {
            free.UnionWith(indexes);
            (waiting, changed) = (changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        waiting.SetResult();
    }
}

/// <summary>GPUs that are one attempt's until this is disposed.</summary>
public sealed class GpuShare(GpuPool pool, int[] indexes) : IDisposable
{
    private int returned;

    public IReadOnlyList<int> Indexes => indexes;

    /// <summary>Their device files, and those that all of them need.</summary>
    public IReadOnlyList<string> Devices => indexes.Length == 0 ? [] :
    [
        .. indexes.Select(index => $"/dev/nvidia{index}").Concat(["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"]).Where(File.Exists),
    ];

    public void Dispose()
    {
        if (Interlocked.Exchange(ref returned, 1) == 0) pool.Return(indexes);
    }
}
