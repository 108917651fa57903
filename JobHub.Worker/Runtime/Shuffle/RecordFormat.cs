using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>
/// A record as bytes: varint(keyLength &lt;&lt; 2 | sameKey &lt;&lt; 1 | noTab), varint(valueLength) unless noTab, key unless sameKey, value.
/// sameKey says that the key is that of the record before in the same block; a block never starts with it. Varints are LEB128.
/// </summary>
internal static unsafe class RecordFormat
{
    /// <summary>The most that the two varints take.</summary>
    public const int MaxHeader = 10;

    public const int NoTabFlag = 1;
    public const int SameKeyFlag = 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int WriteVarint(byte* to, ulong value)
    {
        var length = 0;
        while (value >= 0x80)
        {
            to[length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        to[length] = (byte)value;
        return length + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int WriteHeader(byte* to, int keyLength, int valueLength, bool noTab, bool sameKey)
    {
        var flags = (noTab ? NoTabFlag : 0) | (sameKey ? SameKeyFlag : 0);
        var length = WriteVarint(to, (sameKey ? 0UL : (ulong)keyLength << 2) | (uint)flags);
        return noTab ? length : length + WriteVarint(to + length, (ulong)valueLength);
    }

    /// <summary>Reads a varint of at most 34 bits within [from, end); returns the position after it, or null when it is cut or too long.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* ReadVarint(byte* from, byte* end, out ulong value)
    {
        if (from < end && *from < 0x80)
        {
            value = *from;
            return from + 1;
        }

        return ReadLongVarint(from, end, out value);
    }

    private static byte* ReadLongVarint(byte* from, byte* end, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 35; shift += 7)
        {
            if (from >= end) return null;
            var b = *from++;
            value |= (ulong)(b & 0x7f) << shift;
            if (b < 0x80) return from;
        }

        return null;
    }

    /// <summary>The key's first eight bytes as a big-endian number, zero-padded. Reads only bytes of the key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong PrefixOf(byte* key, int length) =>
        length >= 8 ? BinaryPrimitives.ReverseEndianness(Unsafe.ReadUnaligned<ulong>(key)) : ShortPrefixOf(key, length);

    private static ulong ShortPrefixOf(byte* key, int length)
    {
        ulong value = 0;
        for (var i = 0; i < length; i++) value |= (ulong)key[i] << (56 - (8 * i));
        return value;
    }

    /// <summary>FNV-1a, 32 bits: which partition a key goes to is part of the design, so it is the same on every machine.</summary>
    public static uint Hash(ReadOnlySpan<byte> key)
    {
        var hash = 2166136261u;
        foreach (var b in key) hash = (hash ^ b) * 16777619u;
        return hash;
    }
}
