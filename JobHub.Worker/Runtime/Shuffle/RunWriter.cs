using System.IO.Compression;
using System.Runtime.CompilerServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>Takes whole blocks in order. Called from one thread; blocks it while it writes.</summary>
internal interface IBlockSink
{
    void Write(ReadOnlyMemory<byte> bytes);
}

/// <summary>Writes sorted records as blocks, partition after partition. One thread; memory: one output buffer of four blocks, and one block when compressing.</summary>
internal sealed unsafe class RunWriter : IDisposable
{
    private const int BufferSize = 4 * (BlockFormat.BlockSize + BlockFormat.HeaderSize);
    private const double WorthCompressing = 0.7;

    private readonly IBlockSink _sink;
    private readonly NativeBuffer _buffer;
    private readonly NativeBuffer? _raw;
    private byte* _block;       // where the records of the current block begin
    private byte* _at;          // where the next byte goes
    private byte* _blockEnd;
    private int _pending;       // bytes of finished blocks in _buffer
    private bool? _compress;

    public RunWriter(IBlockSink sink, bool mayCompress)
    {
        _sink = sink;
        _compress = mayCompress ? null : false;
        _buffer = new NativeBuffer(Math.Max(BufferSize, 2 * (BlockFormat.MaxStored + BlockFormat.HeaderSize)));
        _raw = mayCompress ? new NativeBuffer(BlockFormat.BlockSize) : null;
        StartBlock();
    }

    /// <summary>Bytes given to the sink or waiting in the buffer, in finished blocks.</summary>
    public long Length { get; private set; }

    /// <summary>Records written, in all partitions.</summary>
    public long Records { get; private set; }

    /// <summary>Writes all that is left of a source.</summary>
    public void WriteAll(RecordSource source, CancellationToken ct)
    {
        var untilCheck = 0;
        while (source.MoveNext())
        {
            if (--untilCheck <= 0)
            {
                ct.ThrowIfCancellationRequested();
                untilCheck = 4096;
            }

            Append(source);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Append(RecordSource record)
    {
        Records++;
        var need = RecordFormat.MaxHeader + (long)record.KeyLength + record.ValueLength;
        if (need > _blockEnd - _at)
        {
            AppendToNewBlock(record, need);
            return;
        }

        Put(record, record.SameKey && _at != _block);
    }

    private void Put(RecordSource record, bool sameKey)
    {
        var at = _at;
        at += RecordFormat.WriteHeader(at, record.KeyLength, record.ValueLength, record.NoTab, sameKey);
        if (!sameKey)
        {
            Unsafe.CopyBlockUnaligned(at, record.Key, (uint)record.KeyLength);
            at += record.KeyLength;
        }

        Unsafe.CopyBlockUnaligned(at, record.Value, (uint)record.ValueLength);
        _at = at + record.ValueLength;
    }

    private void AppendToNewBlock(RecordSource record, long need)
    {
        EndBlock();
        if (need <= BlockFormat.BlockSize)
        {
            Put(record, sameKey: false);
            return;
        }

        _at += RecordFormat.WriteHeader(_at, record.KeyLength, record.ValueLength, record.NoTab, sameKey: false);
        PutThrough(record.KeySpan);
        PutThrough(record.ValueSpan);
        EndBlock();
    }

    private void PutThrough(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            if (_at == _blockEnd) EndBlock();
            var part = (int)Math.Min(bytes.Length, _blockEnd - _at);
            bytes[..part].CopyTo(new Span<byte>(_at, part));
            _at += part;
            bytes = bytes[part..];
        }
    }

    /// <summary>Closes the current block: the next record starts a partition. The offset of that partition is <see cref="Length"/>.</summary>
    public void EndPartition() => EndBlock();

    /// <summary>Hands everything to the sink.</summary>
    public void Flush()
    {
        EndBlock();
        FlushBuffer();
        StartBlock();
    }

    private void EndBlock()
    {
        var raw = (int)(_at - _block);
        if (raw == 0) return;
        var header = _buffer.Start + _pending;
        var storedAt = header + BlockFormat.HeaderSize;
        var stored = raw;
        var codec = BlockCodec.Raw;
        if (_raw is not null)
        {
            if (_compress != false && BrotliEncoder.TryCompress(new ReadOnlySpan<byte>(_block, raw), new Span<byte>(storedAt, BlockFormat.MaxStored),
                    out var packed, quality: 1, BlockFormat.BrotliWindow))
            {
                // The first block is the sample: the data of one job is alike.
                _compress ??= packed <= raw * WorthCompressing;
                if (_compress == true && packed < raw) (stored, codec) = (packed, BlockCodec.Brotli);
            }

            if (codec == BlockCodec.Raw) new ReadOnlySpan<byte>(_block, raw).CopyTo(new Span<byte>(storedAt, raw));
        }

        BlockFormat.WriteHeader(new Span<byte>(header, BlockFormat.HeaderSize), raw, codec, new ReadOnlySpan<byte>(storedAt, stored));
        _pending += BlockFormat.HeaderSize + stored;
        Length += BlockFormat.HeaderSize + stored;
        if (_pending + BlockFormat.HeaderSize + (_raw is null ? BlockFormat.BlockSize : BlockFormat.MaxStored) > _buffer.Length) FlushBuffer();
        StartBlock();
    }

    private void FlushBuffer()
    {
        if (_pending > 0) _sink.Write(_buffer.Memory[.._pending]);
        _pending = 0;
    }

    private void StartBlock()
    {
        // Raw blocks are built where they are sent from.
        _block = _raw is null ? _buffer.Start + _pending + BlockFormat.HeaderSize : _raw.Start;
        _at = _block;
        _blockEnd = _block + BlockFormat.BlockSize;
    }

    public void Dispose()
    {
        _buffer.Free();
        _raw?.Free();
    }
}
