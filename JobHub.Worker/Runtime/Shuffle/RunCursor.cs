using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.CompilerServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>Reads the records of one sorted run out of its blocks. Memory: one block, and a record longer than a block while it is current.</summary>
internal sealed unsafe class RunCursor : RecordSource, IDisposable
{
    private NativeBuffer? _block;
    private NativeBuffer? _stored;
    private NativeBuffer? _long;
    private byte* _at;
    private byte* _end;

    /// <param name="input">Its blocks; the cursor disposes it.</param>
    /// <param name="number">Position among the runs of a merge: equal keys come out in this order.</param>
    public RunCursor(BlockInput input, int number)
    {
        Input = input;
        Number = number;
    }

    public BlockInput Input { get; }

    public int Number { get; }

    /// <summary>Which run to name when it is damaged.</summary>
    public MapRunTag? Tag { get; init; }

    public bool Ended { get; private set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public override bool MoveNext()
    {
        if (_at == _end && !ReadBlock()) return false;
        var at = RecordFormat.ReadVarint(_at, _end, out var head);
        if (at is null) throw new DamagedRunException("A record's header is cut.");
        NoTab = (head & RecordFormat.NoTabFlag) != 0;
        SameKey = (head & RecordFormat.SameKeyFlag) != 0;
        ulong valueLength = 0;
        if (!NoTab && (at = RecordFormat.ReadVarint(at, _end, out valueLength)) is null) throw new DamagedRunException("A record's header is cut.");
        var keyLength = head >> 2;
        if (keyLength + valueLength > (ulong)(_end - at))
        {
            ReadLong(at, keyLength, valueLength);
            return true;
        }

        if (SameKey)
        {
            if (Key is null) throw new DamagedRunException("A block starts without a key.");
        }
        else
        {
            Key = at;
            KeyLength = (int)keyLength;
            Prefix = RecordFormat.PrefixOf(at, KeyLength);
            at += keyLength;
        }

        Value = at;
        ValueLength = (int)valueLength;
        _at = at + valueLength;
        return true;
    }

    private bool ReadBlock(bool keepLong = false)
    {
        Key = null;
        if (!keepLong) FreeLong();
        if (Input.Remaining == 0)
        {
            Ended = true;
            return false;
        }

        _block ??= new NativeBuffer(BlockFormat.HeaderSize);
        Input.ReadExactly(_block, 0, BlockFormat.HeaderSize);
        Span<byte> header = stackalloc byte[BlockFormat.HeaderSize];
        new ReadOnlySpan<byte>(_block.Start, BlockFormat.HeaderSize).CopyTo(header);
        var raw = BinaryPrimitives.ReadInt32LittleEndian(header[4..]);
        var stored = BinaryPrimitives.ReadInt32LittleEndian(header[8..]);
        var codec = (BlockCodec)BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(header) != BlockFormat.Magic || raw is <= 0 or > BlockFormat.BlockSize || stored <= 0
            || stored > BlockFormat.MaxStored || codec > BlockCodec.Brotli || (codec == BlockCodec.Raw && stored != raw))
            throw new DamagedRunException("A block's header is damaged.");

        // Tiny runs (thousands of them, with tiny splits) take tiny buffers.
        _block.Grow(raw);
        var target = codec == BlockCodec.Raw ? _block : _stored ??= new NativeBuffer(BlockFormat.MaxStored);
        Input.ReadExactly(target, 0, stored);
        var bytes = new ReadOnlySpan<byte>(target.Start, stored);
        if (BlockFormat.Checksum(header[..16], bytes) != BinaryPrimitives.ReadUInt32LittleEndian(header[16..]))
            throw new DamagedRunException("A block's checksum is wrong.");
        if (codec == BlockCodec.Brotli
            && (!BrotliDecoder.TryDecompress(bytes, new Span<byte>(_block.Start, raw), out var written) || written != raw))
            throw new DamagedRunException("A block cannot be decompressed.");
        _at = _block.Start;
        _end = _at + raw;
        return true;
    }

    private void ReadLong(byte* at, ulong keyLength, ulong valueLength)
    {
        var total = keyLength + valueLength;
        if (keyLength > int.MaxValue || valueLength > int.MaxValue || SameKey) throw new DamagedRunException("A record's header is damaged.");
        FreeLong();
        // Grown as bytes arrive: a damaged length must not reserve memory that no data stands behind.
        _long = new NativeBuffer(BlockFormat.BlockSize * 4L);
        ulong have = 0;
        while (true)
        {
            var part = Math.Min((ulong)(_end - at), total - have);
            if (have + part > (ulong)_long.Length) _long.Grow((long)Math.Min(total, Math.Max(have + part, 2 * (ulong)_long.Length)));
            Buffer.MemoryCopy(at, _long.Start + have, part, part);
            have += part;
            _at = at + part;
            if (have == total) break;
            if (!ReadBlock(keepLong: true)) throw new DamagedRunException("A long record is cut.");
            at = _at;
        }

        Key = _long.Start;
        KeyLength = (int)keyLength;
        Prefix = RecordFormat.PrefixOf(Key, KeyLength);
        Value = Key + keyLength;
        ValueLength = (int)valueLength;
    }

    private void FreeLong()
    {
        _long?.Free();
        _long = null;
    }

    public void Dispose()
    {
        Input.Dispose();
        _block?.Free();
        _stored?.Free();
        FreeLong();
    }
}
