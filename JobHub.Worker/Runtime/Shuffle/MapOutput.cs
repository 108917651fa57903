using System.Buffers.Binary;
using JobHub.Engine.Protocol;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>Runs a combiner: reads a sorted source of records and gives what it makes of them to a collector. Blocks until it has ended.</summary>
internal interface ICombiner
{
    void Combine(Action<Action<RecordSource>> feed, RunCollector into, CancellationToken ct);
}

/// <summary>What a map leaves: the shuffle object, not yet visible, and where its partitions are.</summary>
/// <param name="PartitionOffsets">See <see cref="AttemptResult.PartitionOffsets"/>.</param>
public sealed record MapOutputResult(PendingOutput Output, byte[] PartitionOffsets);

/// <summary>
/// Takes a map's records and writes them as one shuffle object: by partition (FNV-1a 32 of the key modulo partitions), within it by key bytes, equal keys in
/// an order that is the same each time. Memory stays within the slot's buffers, whatever comes; the rest spills to scratch. A record may be as long
/// as 2 GiB; one above 16 MiB is written through, so it costs no memory here.
/// Not thread-safe: one caller at a time. <see cref="Add(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/> may block for as long as a spill takes.
/// </summary>
/// <remarks>
/// A combiner sees each full buffer as sorted lines, partition after partition, each key in one place; what it prints is partitioned and sorted
/// anew, so a combiner may print in any order. When three buffers or more were combined, it runs once more over the merged result.
/// </remarks>
public sealed class MapOutput : IDisposable
{
    /// <summary>Kept out of the sort buffers: pipes' and blocks' buffers of the same slot.</summary>
    private const long Reserve = 12 << 20;

    private readonly AttemptContext _context;
    private readonly MapSpec _spec;
    private readonly ICombiner? _combiner;
    private readonly CancellationToken _ct;
    private readonly RunCollector _front;
    private RunCollector? _combined;
    private int _combines;
    private long _records;
    private long _bytes;

    /// <summary>Output of a map without a combiner.</summary>
    public MapOutput(AttemptContext context, CancellationToken ct)
        : this(context, combiner: null, ct)
    {
    }

    internal MapOutput(AttemptContext context, ICombiner? combiner, CancellationToken ct)
    {
        _context = context;
        _spec = context.Spec.Map ?? throw new ArgumentException("Not a map attempt.", nameof(context));
        _combiner = combiner;
        _ct = ct;
        var budget = Math.Max(64 << 10, context.BufferBytes - Reserve);
        FrontBytes = combiner is null ? budget : budget / 10 * 6;
        _front = new RunCollector(context.ScratchFolder, _spec.Partitions, FrontBytes, combiner is null ? null : Combine, ct);
        BackBytes = budget - FrontBytes;
    }

    private long FrontBytes { get; }

    private long BackBytes { get; }

    /// <summary>Adds a record. The spans are copied before it returns.</summary>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => Add(key, value, noTab: false);

    internal void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool noTab)
    {
        _records++;
        _bytes += key.Length + value.Length;
        _front.Add(key, value, noTab);
    }

    /// <summary>Sorts, merges and writes the object, and counts. On a thread of its own; call once, after the last <see cref="Add(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>.</summary>
    public async Task<MapOutputResult> FinishAsync(CancellationToken ct)
    {
        var writer = await _context.Store.CreateAsync(_spec.Output, ct);
        await using (writer)
        {
            var offsets = Array.Empty<long>();
            await OwnThread.RunAsync("map output", () => offsets = Write(writer, ct));
            var output = await writer.FinishAsync(ct);
            return new MapOutputResult(output, ToBytes(offsets));
        }
    }

    private long[] Write(IOutputWriter output, CancellationToken ct)
    {
        var last = _front;
        RunCollector? again = null;
        try
        {
            if (_combiner is not null)
            {
                if (!_front.IsEmpty) Combine();
                if (_combined is not null) last = _combined;
                if (_combines >= 3)
                {
                    // Its memory goes to the second round.
                    _front.Dispose();
                    again = new RunCollector(_context.ScratchFolder, _spec.Partitions, FrontBytes, full: null, ct);
                    _combiner.Combine(_combined!.Drain, again, ct);
                    last = again;
                }
            }

            using var writer = new RunWriter(new OutputSink(output, ct), _spec.CompressShuffle);
            var offsets = last.WriteTo(writer);
            CountAll(again);
            return offsets;
        }
        finally
        {
            again?.Dispose();
        }
    }

    private void Combine()
    {
        _combined ??= new RunCollector(_context.ScratchFolder, _spec.Partitions, BackBytes, full: null, _ct);
        _combiner!.Combine(_front.Drain, _combined, _ct);
        _combines++;
    }

    private void CountAll(RunCollector? again)
    {
        _context.Count("map_output_records", _records);
        _context.Count("map_output_bytes", _bytes);
        _context.Count("spills", _front.Spills + (_combined?.Spills ?? 0) + (again?.Spills ?? 0));
        _context.Count("spilled_records", _front.SpilledRecords + (_combined?.SpilledRecords ?? 0) + (again?.SpilledRecords ?? 0));
    }

    private static byte[] ToBytes(long[] offsets)
    {
        var bytes = new byte[offsets.Length * 8];
        for (var i = 0; i < offsets.Length; i++) BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(i * 8), offsets[i]);
        return bytes;
    }

    public void Dispose()
    {
        _front.Dispose();
        _combined?.Dispose();
    }
}
