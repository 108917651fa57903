using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>The runs of a partition, brought down to as many as are merged at once: the others are merged through scratch first.</summary>
internal sealed class ReduceInput(AttemptContext context, CancellationToken ct) : IDisposable
{
    /// <summary>Runs whose grants are held in memory; with more, full groups are merged as they arrive.</summary>
    private const int MaxHeld = 1024;

    private readonly Queue<MapRun> _runs = new();
    private readonly Queue<SpilledRun> _merged = new();
    private readonly List<BlockInput> _last = [];
    private readonly List<SpilledRun> _used = [];
    private long _lastTotal;

    /// <summary>Bytes of map output that were fetched.</summary>
    public long BytesRead { get; private set; }

    /// <summary>0..1 of the last merge.</summary>
    public double Fraction
    {
        get
        {
            long left = 0;
            foreach (var input in _last) left += input.Remaining;
            return _lastTotal == 0 ? 0 : 1 - ((double)left / _lastTotal);
        }
    }

    /// <summary>The merge of everything. Not to be called twice.</summary>
    public async Task<RunMerger> OpenAsync()
    {
        await foreach (var run in context.Store.RunsAsync(ct))
        {
            if (run.Length == 0) continue;
            _runs.Enqueue(run);
            if (_runs.Count >= MaxHeld + RunMerger.MaxRuns) await MergeAsync(RunMerger.MaxRuns);
        }

        while (_runs.Count + _merged.Count > RunMerger.MaxRuns)
            await MergeAsync(Math.Min(RunMerger.MaxRuns, _runs.Count + _merged.Count - RunMerger.MaxRuns + 1));
        return new RunMerger(await OpenAsync(_runs.Count + _merged.Count, last: true));
    }

    private async Task MergeAsync(int count)
    {
        using var merger = new RunMerger(await OpenAsync(count, last: false));
        SpilledRun? run = null;
        await OwnThread.RunAsync("reduce merge", () => run = Write(merger));
        _merged.Enqueue(run!);
        foreach (var done in _used) done.Dispose();
        _used.Clear();
    }

    private SpilledRun Write(RunMerger merger)
    {
        var file = ScratchFile.Open(context.ScratchFolder);
        try
        {
            using var writer = new RunWriter(new FileSink(file), mayCompress: false);
            writer.WriteAll(merger, ct);
            writer.Flush();
            context.Count("spilled_records", writer.Records);
            context.Count("spills", 1);
            return new SpilledRun(file, [0, writer.Length]);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Opens the next runs, all requests at once: each is a round trip on an object store.</summary>
    private async Task<List<RunCursor>> OpenAsync(int count, bool last)
    {
        var opening = new List<Task<RunCursor>>(count);
        for (var i = 0; i < count; i++)
        {
            if (_runs.TryDequeue(out var run))
            {
                BytesRead += run.Length;
                opening.Add(OpenAsync(run, i));
            }
            else
            {
                var spilled = _merged.Dequeue();
                _used.Add(spilled);
                opening.Add(Task.FromResult(new RunCursor(spilled.Open(0)!, i)));
            }
        }

        try
        {
            var cursors = await Task.WhenAll(opening);
            if (last)
            {
                _last.AddRange(cursors.Select(c => c.Input));
                _lastTotal = _last.Sum(i => i.Remaining);
            }

            return [.. cursors];
        }
        catch
        {
            foreach (var open in opening)
            {
                if (open.IsCompletedSuccessfully) (await open).Dispose();
            }

            throw;
        }
    }

    private async Task<RunCursor> OpenAsync(MapRun run, int number)
    {
        var tag = new MapRunTag(run.Map, run.Attempt);
        try
        {
            var stream = await context.Store.OpenReadAsync(run.Source, run.Offset, run.Length, ct);
            return new RunCursor(new StreamBlockInput(stream, run.Length, ct), number) { Tag = tag };
        }
        catch (IOException problem)
        {
            throw new LostRunException(tag, problem);
        }
    }

    public void Dispose()
    {
        foreach (var run in _used.Concat(_merged)) run.Dispose();
    }
}
