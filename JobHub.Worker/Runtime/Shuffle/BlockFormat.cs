using System.Buffers.Binary;
using System.IO.Compression;
using System.Numerics;
using System.Runtime.InteropServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>How the bytes of a block are stored.</summary>
internal enum BlockCodec : uint
{
    Raw = 0, Brotli = 1,
}

/// <summary>
/// Map output and spills are sequences of blocks: a header of 20 bytes, little-endian {magic, raw length, stored length, codec, CRC32C of the first
/// 16 header bytes and the stored bytes}, then the stored bytes. The raw bytes of a partition's blocks, one after another, are its records in
/// key order. Each partition starts with a new block. A record that fits a block is never cut; a longer one starts a block of its own and
/// runs through as many as it needs, and the record after it starts a new block.
/// </summary>
internal static class BlockFormat
{
    public const int HeaderSize = 20;

    /// <summary>Raw bytes in a full block.</summary>
    public const int BlockSize = 256 << 10;

    public const uint Magic = 0x314B484A; // "JHK1"

    /// <summary>Brotli's window: 2^18 covers a block.</summary>
    public const int BrotliWindow = 18;

    public static readonly int MaxStored = BrotliEncoder.GetMaxCompressedLength(BlockSize);

    public static void WriteHeader(Span<byte> header, int raw, BlockCodec codec, ReadOnlySpan<byte> stored)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(header[4..], raw);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], stored.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], (uint)codec);
        BinaryPrimitives.WriteUInt32LittleEndian(header[16..], Checksum(header[..16], stored));
    }

    public static uint Checksum(ReadOnlySpan<byte> header, ReadOnlySpan<byte> stored) => ~Append(Append(uint.MaxValue, header), stored);

    /// <summary>CRC32C in the processor: three lanes would be faster still, but one reaches several GB/s and never shows in a profile.</summary>
    private static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (var word in words) crc = BitOperations.Crc32C(crc, word);
        foreach (var b in bytes[(words.Length * 8)..]) crc = BitOperations.Crc32C(crc, b);
        return crc;
    }
}

/// <summary>A block or record that is not what was written: cut, altered or missing.</summary>
internal sealed class DamagedRunException(string message, Exception? inner = null) : IOException(message, inner);
