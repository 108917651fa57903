using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>
/// Collects records, keeps them sorted in memory or in runs on scratch, and writes them merged. One thread at a time.
/// Memory: the given capacity and about 2 MiB; while runs are merged also a block a run (at most 32 at once).
/// </summary>
internal sealed class RunCollector : IDisposable
{
    /// <summary>A record longer than this is a run of its own: it never lies in memory twice.</summary>
    private const int LongRecord = 16 << 20;

    private readonly string _folder;
    private readonly int _partitions;
    private readonly SortBuffer _buffer;
    private readonly CancellationToken _ct;
    private readonly Action? _full;
    private List<SpilledRun> _runs = [];

    /// <param name="full">Empties the collector (by <see cref="Drain"/>) when its memory is full; null: it spills.</param>
    public RunCollector(string folder, int partitions, long capacity, Action? full, CancellationToken ct)
    {
        _full = full;
        _folder = folder;
        _partitions = partitions;
        _buffer = new SortBuffer(capacity, partitions);
        _ct = ct;
    }

    public long SpilledRecords { get; private set; }

    public long Spills { get; private set; }

    public bool IsEmpty => _buffer.Count == 0 && _runs.Count == 0;

    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool noTab)
    {
        var partition = _partitions == 1 ? 0 : (int)(RecordFormat.Hash(key) % (uint)_partitions);
        var isLong = (long)key.Length + value.Length > LongRecord;
        if (!isLong && _buffer.TryAdd(partition, key, value, noTab)) return;
        if (_full is not null && _buffer.Count > 0) _full();
        else Spill();
        if (isLong || !_buffer.TryAdd(partition, key, value, noTab)) SpillLong(partition, key, value, noTab);
    }

    /// <summary>Sorts what is in memory and hands it to a reader: partition after partition. Then the memory is free again.</summary>
    public void Drain(Action<RecordSource> reader)
    {
        if (_runs.Count > 0)
        {
            Spill();
            ReduceRuns();
            for (var p = 0; p < _partitions; p++)
            {
                using var merger = Merge(_runs, p);
                reader(merger);
            }

            ForgetRuns();
        }
        else
        {
            _buffer.Sort();
            reader(_buffer.Sorted());
            _buffer.Clear();
        }
    }

    /// <summary>Writes everything to a sink; returns the offset of each partition and of the end.</summary>
    public long[] WriteTo(RunWriter writer)
    {
        if (_runs.Count == 0) return WriteBuffer(writer);
        Spill();
        ReduceRuns();
        var offsets = WriteMerged(_runs, writer);
        ForgetRuns();
        return offsets;
    }

    private long[] WriteBuffer(RunWriter writer)
    {
        _buffer.Sort();
        var offsets = new long[_partitions + 1];
        for (var p = 0; p < _partitions; p++)
        {
            offsets[p] = writer.Length;
            writer.WriteAll(_buffer.Sorted(p), _ct);
            writer.EndPartition();
        }

        writer.Flush();
        offsets[^1] = writer.Length;
        _buffer.Clear();
        return offsets;
    }

    private long[] WriteMerged(List<SpilledRun> runs, RunWriter writer)
    {
        var offsets = new long[_partitions + 1];
        for (var p = 0; p < _partitions; p++)
        {
            offsets[p] = writer.Length;
            using var merger = Merge(runs, p);
            writer.WriteAll(merger, _ct);
            writer.EndPartition();
        }

        writer.Flush();
        offsets[^1] = writer.Length;
        return offsets;
    }

    private static RunMerger Merge(List<SpilledRun> runs, int partition)
    {
        var cursors = new List<RunCursor>(runs.Count);
        foreach (var run in runs)
        {
            if (run.Open(partition) is { } input) cursors.Add(new RunCursor(input, cursors.Count));
        }

        return new RunMerger(cursors);
    }

    private void Spill()
    {
        if (_buffer.Count == 0) return;
        SpilledRecords += _buffer.Count;
        _runs.Add(WriteRun(WriteBuffer));
        Spills++;
    }

    private unsafe void SpillLong(int partition, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool noTab)
    {
        fixed (byte* keyStart = key, valueStart = value)
        {
            var record = new OneRecord { Key = keyStart, KeyLength = key.Length, Value = valueStart, ValueLength = value.Length, NoTab = noTab };
            _runs.Add(WriteRun(writer =>
            {
                var offsets = new long[_partitions + 1];
                writer.WriteAll(record, _ct);
                writer.Flush();
                offsets.AsSpan(partition + 1).Fill(writer.Length);
                return offsets;
            }));
        }

        SpilledRecords++;
        Spills++;
        if (_runs.Count >= 2 * RunMerger.MaxRuns) ReduceRuns();
    }

    /// <summary>Merges runs through scratch until the rest can be merged at once.</summary>
    private void ReduceRuns()
    {
        while (_runs.Count > RunMerger.MaxRuns)
        {
            // No more than needed in the first pass, and what was merged goes to the end: nothing is merged twice before all were merged once.
            var count = Math.Min(RunMerger.MaxRuns, _runs.Count - RunMerger.MaxRuns + 1);
            var part = _runs.GetRange(0, count);
            var merged = WriteRun(writer => WriteMerged(part, writer));
            foreach (var run in part) run.Dispose();
            _runs = [.. _runs.Skip(count), merged];
        }
    }

    private SpilledRun WriteRun(Func<RunWriter, long[]> write)
    {
        var file = ScratchFile.Open(_folder);
        try
        {
            using var writer = new RunWriter(new FileSink(file), mayCompress: false);
            return new SpilledRun(file, write(writer));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private void ForgetRuns()
    {
        foreach (var run in _runs) run.Dispose();
        _runs.Clear();
    }

    public void Dispose()
    {
        ForgetRuns();
        _buffer.Dispose();
    }

    private sealed class OneRecord : RecordSource
    {
        private bool _given;

        public override bool MoveNext() => !_given && (_given = true);
    }
}

/// <summary>One sorted run on scratch, with all partitions.</summary>
internal sealed class SpilledRun(SafeFileHandle file, long[] offsets) : IDisposable
{
    /// <summary>The blocks of a partition; null when it has none.</summary>
    public BlockInput? Open(int partition) => offsets[partition + 1] > offsets[partition]
        ? new FileBlockInput(file, offsets[partition], offsets[partition + 1] - offsets[partition])
        : null;

    public void Dispose() => file.Dispose();
}

/// <summary>Nameless files on scratch: whatever happens to this process, none is left.</summary>
internal static class ScratchFile
{
    public static SafeFileHandle Open(string folder)
    {
        var path = Path.Combine(folder, $"run-{Guid.NewGuid():N}");
        var handle = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        File.Delete(path);
        return handle;
    }
}

/// <summary>Appends blocks to a scratch file.</summary>
internal sealed class FileSink(SafeFileHandle file) : IBlockSink
{
    private long _length;

    public void Write(ReadOnlyMemory<byte> bytes)
    {
        RandomAccess.Write(file, bytes.Span, _length);
        _length += bytes.Length;
    }
}

/// <summary>Appends blocks to the attempt's output.</summary>
internal sealed class OutputSink(IOutputWriter output, CancellationToken ct) : IBlockSink
{
    public void Write(ReadOnlyMemory<byte> bytes) => output.WriteBlocking(bytes, ct);
}
