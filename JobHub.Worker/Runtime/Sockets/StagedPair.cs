using System.Buffers.Binary;

namespace JobHub.Worker.Runtime.Sockets;

internal delegate void PairHandler(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

/// <summary>Pairs back to back in a buffer while they wait for their turn: two lengths of 4 bytes, key, value.</summary>
internal static class StagedPair
{
    public static void Append(ByteBuffer buffer, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        var head = buffer.Room(8);
        BinaryPrimitives.WriteInt32LittleEndian(head, key.Length);
        BinaryPrimitives.WriteInt32LittleEndian(head[4..], value.Length);
        buffer.Advance(8);
        buffer.Append(key);
        buffer.Append(value);
    }

    public static void Each(ByteBuffer buffer, PairHandler handler)
    {
        var rest = buffer.Span;
        while (!rest.IsEmpty)
        {
            var key = BinaryPrimitives.ReadInt32LittleEndian(rest);
            var value = BinaryPrimitives.ReadInt32LittleEndian(rest[4..]);
            handler(rest.Slice(8, key), rest.Slice(8 + key, value));
            rest = rest[(8 + key + value)..];
        }
    }
}
