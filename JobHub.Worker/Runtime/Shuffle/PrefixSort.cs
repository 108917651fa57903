using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>What the sort moves around instead of a record: eight bytes of its key and where the record is.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SortEntry
{
    /// <summary>Eight bytes of the key, big-endian, zero-padded; which eight changes as the sort goes deeper.</summary>
    public ulong Prefix;

    /// <summary>The record in the arena. Grows with the order of arrival, which is the order of equal keys.</summary>
    public uint Offset;

    public ushort Partition;

    /// <summary>The key's length; <see cref="PrefixSort.LongKey"/> stands for it and more.</summary>
    public ushort KeyLength;
}

/// <summary>
/// Sorts entries by key bytes, stable: radix by byte from the left over the cached prefix, and when eight bytes are used up, the next eight are
/// loaded. So keys with long common starts (paths, addresses) cost no more comparisons than others, and equal keys cost none at all.
/// </summary>
internal static unsafe class PrefixSort
{
    public const ushort LongKey = ushort.MaxValue;

    /// <summary>Up to here insertion sort is faster than counting 256 buckets.</summary>
    private const int Small = 40;

    /// <summary>Sorts <paramref name="from"/>; the result is in it when <paramref name="resultHere"/>, else in <paramref name="other"/>, which is as long.</summary>
    public static void Sort(SortEntry* from, SortEntry* other, long count, byte* arena, bool resultHere)
    {
        SortFrom(from, other, count, arena, 56, 0, resultHere);
    }

    private static void SortFrom(SortEntry* from, SortEntry* other, long count, byte* arena, int shift, int depth, bool resultHere)
    {
        var counts = stackalloc uint[256];
        while (true)
        {
            if (count <= Small)
            {
                Insert(from, (int)count, arena, depth);
                if (!resultHere) Copy(from, other, count);
                return;
            }

            new Span<uint>(counts, 256).Clear();
            ulong difference = 0;
            var first = from[0].Prefix;
            for (var i = 0L; i < count; i++)
            {
                var prefix = from[i].Prefix;
                difference |= prefix ^ first;
                counts[(byte)(prefix >> shift)]++;
            }

            if (difference == 0)
            {
                if (!NextEight(ref from, ref other, ref count, arena, depth, ref resultHere)) return;
                depth += 8;
                shift = 56;
                continue;
            }

            if (counts[(byte)(first >> shift)] == count)
            {
                shift = (63 - BitOperations.LeadingZeroCount(difference)) & ~7;
                continue;
            }

            uint sum = 0, largest = 0;
            var largestBucket = 0;
            for (var b = 0; b < 256; b++)
            {
                var size = counts[b];
                if (size > largest) (largest, largestBucket) = (size, b);
                counts[b] = sum;
                sum += size;
            }

            for (var i = 0L; i < count; i++) other[counts[(byte)(from[i].Prefix >> shift)]++] = from[i];

            // counts[b] is now the end of bucket b. The largest is done in this frame, so the stack stays logarithmic.
            uint start = 0;
            for (var b = 0; b < 256; b++)
            {
                var end = counts[b];
                if (end > start && b != largestBucket)
                {
                    if (end - start == 1)
                    {
                        if (resultHere) from[start] = other[start];
                    }
                    else
                    {
                        SortFrom(other + start, from + start, end - start, arena, shift == 0 ? 0 : shift - 8, depth, !resultHere);
                    }
                }

                start = end;
            }

            var at = counts[largestBucket] - largest;
            Swap(ref from, ref other, at);
            count = largest;
            resultHere = !resultHere;
            if (shift > 0) shift -= 8;
        }
    }

    /// <summary>
    /// Keys with the same eight bytes at this depth: those that end within them come first, by length (and are then equal, so done); the others get their
    /// next eight bytes. False when none is left to sort.
    /// </summary>
    private static bool NextEight(ref SortEntry* from, ref SortEntry* other, ref long count, byte* arena, int depth, ref bool resultHere)
    {
        var counts = stackalloc long[10];
        for (var i = 0; i < 10; i++) counts[i] = 0;
        for (var i = 0L; i < count; i++) counts[Class(from + i, arena, depth)]++;
        if (counts[9] < count)
        {
            var alike = false;
            for (var c = 0; c < 9; c++) alike |= counts[c] == count;
            if (alike)
            {
                if (!resultHere) Copy(from, other, count);
                return false;
            }

            var longer = counts[9];
            long sum = 0;
            for (var c = 0; c < 10; c++) (counts[c], sum) = (sum, sum + counts[c]);
            for (var i = 0L; i < count; i++) other[counts[Class(from + i, arena, depth)]++] = from[i];
            var ended = count - longer;
            if (resultHere) Copy(other, from, ended);
            if (longer == 0) return false;
            Swap(ref from, ref other, ended);
            count = longer;
            resultHere = !resultHere;
        }

        for (var i = 0L; i < count; i++)
        {
            var key = KeyOf(from + i, arena, out var length);
            from[i].Prefix = RecordFormat.PrefixOf(key + depth + 8, length - depth - 8);
        }

        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Class(SortEntry* entry, byte* arena, int depth)
    {
        var length = (int)entry->KeyLength;
        if (length == LongKey) KeyOf(entry, arena, out length);
        return Math.Min(length - depth, 9);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* KeyOf(SortEntry* entry, byte* arena, out int length)
    {
        var at = RecordFormat.ReadVarint(arena + entry->Offset, arena + entry->Offset + RecordFormat.MaxHeader, out var head);
        length = (int)(head >> 2);
        return (head & RecordFormat.NoTabFlag) != 0 ? at : RecordFormat.ReadVarint(at, at + RecordFormat.MaxHeader, out _);
    }

    private static void Insert(SortEntry* entries, int count, byte* arena, int depth)
    {
        for (var i = 1; i < count; i++)
        {
            var moving = entries[i];
            var at = i;
            while (at > 0 && Before(&moving, entries + at - 1, arena, depth))
            {
                entries[at] = entries[at - 1];
                at--;
            }

            entries[at] = moving;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Before(SortEntry* a, SortEntry* b, byte* arena, int depth) =>
        a->Prefix != b->Prefix ? a->Prefix < b->Prefix : BeforeByRest(a, b, arena, depth);

    private static bool BeforeByRest(SortEntry* a, SortEntry* b, byte* arena, int depth)
    {
        var first = KeyOf(a, arena, out var firstLength);
        var second = KeyOf(b, arena, out var secondLength);
        var skip = depth + 8;
        // The same eight bytes, zero-padded: a key that ends within them is the start of the longer one.
        var order = firstLength <= skip || secondLength <= skip
            ? firstLength.CompareTo(secondLength)
            : new ReadOnlySpan<byte>(first + skip, firstLength - skip).SequenceCompareTo(new ReadOnlySpan<byte>(second + skip, secondLength - skip));
        return order != 0 ? order < 0 : a->Offset < b->Offset;
    }

    private static void Swap(ref SortEntry* from, ref SortEntry* other, long skip)
    {
        var kept = from + skip;
        from = other + skip;
        other = kept;
    }

    private static void Copy(SortEntry* from, SortEntry* to, long count) =>
        Buffer.MemoryCopy(from, to, count * sizeof(SortEntry), count * sizeof(SortEntry));
}
