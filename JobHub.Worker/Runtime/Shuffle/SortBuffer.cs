using System.Runtime.CompilerServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>
/// Records of a map before they are written: bytes in an arena, an entry of 16 bytes a record, and as much again for the sort. All of it together stays
/// within the capacity; memory is used as it fills.
/// </summary>
internal sealed unsafe class SortBuffer : IDisposable
{
    private const int EntrySize = 16;

    private readonly NativeBuffer _arena;
    private readonly NativeBuffer _entries;
    private readonly NativeBuffer _spare;
    private readonly long _capacity;
    private readonly uint[] _counts;
    private readonly long[] _starts;
    private SortEntry* _sorted;
    private long _used;
    private long _count;

    public SortBuffer(long capacity, int partitions)
    {
        // Offsets are 32 bits.
        _capacity = Math.Min(capacity, uint.MaxValue);
        _arena = new NativeBuffer(_capacity + 64);
        _entries = new NativeBuffer((_capacity / 2) + EntrySize);
        _spare = new NativeBuffer((_capacity / 2) + EntrySize);
        _counts = new uint[partitions];
        _starts = new long[partitions + 1];
    }

    public long Count => _count;

    /// <summary>Takes a record; false when it does not fit any more.</summary>
    public bool TryAdd(int partition, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool noTab)
    {
        var need = RecordFormat.MaxHeader + (long)key.Length + value.Length;
        if (_used + need + ((_count + 1) * 2 * EntrySize) > _capacity) return false;
        var at = _arena.Start + _used;
        at += RecordFormat.WriteHeader(at, key.Length, value.Length, noTab, sameKey: false);
        key.CopyTo(new Span<byte>(at, key.Length));
        ref var entry = ref ((SortEntry*)_entries.Start)[_count++];
        entry.Prefix = RecordFormat.PrefixOf(at, key.Length);
        entry.Offset = (uint)_used;
        entry.Partition = (ushort)partition;
        entry.KeyLength = (ushort)Math.Min(key.Length, PrefixSort.LongKey);
        at += key.Length;
        value.CopyTo(new Span<byte>(at, value.Length));
        _used = at + value.Length - _arena.Start;
        _counts[partition]++;
        return true;
    }

    /// <summary>Sorts by partition, then by key bytes; equal keys stay in the order they came in.</summary>
    public void Sort()
    {
        var from = (SortEntry*)_entries.Start;
        var other = (SortEntry*)_spare.Start;
        long sum = 0;
        for (var p = 0; p < _counts.Length; p++)
        {
            _starts[p] = sum;
            sum += _counts[p];
        }

        _starts[^1] = sum;
        _sorted = from;
        if (_counts.Length > 1)
        {
            var next = new long[_counts.Length];
            Array.Copy(_starts, next, next.Length);
            for (var i = 0L; i < _count; i++) other[next[from[i].Partition]++] = from[i];
            _sorted = other;
            other = from;
            from = _sorted;
        }

        for (var p = 0; p < _counts.Length; p++)
        {
            var start = _starts[p];
            PrefixSort.Sort(from + start, other + start, _starts[p + 1] - start, _arena.Start, resultHere: true);
        }
    }

    /// <summary>A reader of one partition's records, after <see cref="Sort"/>.</summary>
    public RecordSource Sorted(int partition) => new SortedSource(_arena.Start, _sorted, _starts[partition], _starts[partition + 1]);

    /// <summary>A reader of all records, after <see cref="Sort"/>: partition after partition.</summary>
    public RecordSource Sorted() => new SortedSource(_arena.Start, _sorted, 0, _count);

    /// <summary>Forgets the records, keeps the memory.</summary>
    public void Clear()
    {
        _used = 0;
        _count = 0;
        Array.Clear(_counts);
    }

    public void Dispose()
    {
        _arena.Free();
        _entries.Free();
        _spare.Free();
    }

    private sealed class SortedSource(byte* arena, SortEntry* entries, long start, long end) : RecordSource
    {
        /// <summary>Records lie where they arrived: fetching some ahead hides the memory's latency.</summary>
        private const int Ahead = 12;

        private long _at = start;

        public override bool MoveNext()
        {
            if (_at >= end) return false;
            if (_at + Ahead < end && System.Runtime.Intrinsics.X86.Sse.IsSupported)
            {
                var next = arena + entries[_at + Ahead].Offset;
                System.Runtime.Intrinsics.X86.Sse.Prefetch0(next);
                System.Runtime.Intrinsics.X86.Sse.Prefetch0(next + 64);
            }

            var entry = entries + _at++;
            var at = arena + entry->Offset;
            var limit = at + RecordFormat.MaxHeader;
            at = RecordFormat.ReadVarint(at, limit, out var head);
            ulong valueLength = 0;
            NoTab = (head & RecordFormat.NoTabFlag) != 0;
            if (!NoTab) at = RecordFormat.ReadVarint(at, limit, out valueLength);
            var keyLength = (int)(head >> 2);
            SameKey = Key is not null && keyLength == KeyLength && KeySpan.SequenceEqual(new ReadOnlySpan<byte>(at, keyLength));
            Key = at;
            KeyLength = keyLength;
            Value = at + keyLength;
            ValueLength = (int)valueLength;
            return true;
        }
    }
}
