using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>A range of bytes that holds blocks. One thread.</summary>
internal abstract class BlockInput : IDisposable
{
    /// <summary>Bytes of the range that were not read yet.</summary>
    public long Remaining { get; protected set; }

    protected abstract int Read(NativeBuffer to, int offset, int count);

    /// <summary>Fills the buffer's [offset, offset + count), or says that the range is damaged.</summary>
    public void ReadExactly(NativeBuffer to, int offset, int count)
    {
        if (count > Remaining) throw new DamagedRunException("A block is cut.");
        while (count > 0)
        {
            var got = Read(to, offset, count);
            if (got <= 0) throw new DamagedRunException("The run ends early.");
            Remaining -= got;
            offset += got;
            count -= got;
        }
    }

    public virtual void Dispose()
    {
    }
}

/// <summary>A range of a local file that others read too.</summary>
internal sealed class FileBlockInput : BlockInput
{
    private readonly SafeFileHandle _file;
    private long _offset;

    public FileBlockInput(SafeFileHandle file, long offset, long length)
    {
        _file = file;
        _offset = offset;
        Remaining = length;
    }

    protected override int Read(NativeBuffer to, int offset, int count)
    {
        var got = RandomAccess.Read(_file, to.GetSpan().Slice(offset, count), _offset);
        _offset += got;
        return got;
    }
}

/// <summary>A stream from the attempt's store, positioned at the range.</summary>
internal sealed class StreamBlockInput : BlockInput
{
    private readonly Stream _stream;
    private readonly CancellationToken _ct;

    public StreamBlockInput(Stream stream, long length, CancellationToken ct)
    {
        _stream = stream;
        _ct = ct;
        Remaining = length;
    }

    protected override int Read(NativeBuffer to, int offset, int count) => _stream.ReadBlocking(to.Memory.Slice(offset, count), _ct);

    public override void Dispose() => _stream.Dispose();
}

/// <summary>Streams under threads that may block.</summary>
internal static class BlockingStreams
{
    /// <summary>
    /// Reads on a thread of ours, which may wait. Local files are read in place, without a trip through the thread pool; everything else
    /// by its asynchronous read, so that a cancelled attempt does not hang on a silent server.
    /// </summary>
    public static int ReadBlocking(this Stream stream, Memory<byte> into, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        if (stream is FileStream) return stream.Read(into.Span);
        var read = stream.ReadAsync(into, ct);
#pragma warning disable VSTHRD002 // The attempt's own thread, see above.
        return read.IsCompletedSuccessfully ? read.Result : read.AsTask().GetAwaiter().GetResult();
#pragma warning restore VSTHRD002
    }

    /// <summary>Writes on a thread of ours.</summary>
    public static void WriteBlocking(this IOutputWriter writer, ReadOnlyMemory<byte> bytes, CancellationToken ct)
    {
        var write = writer.WriteAsync(bytes, ct);
#pragma warning disable VSTHRD002 // The attempt's own thread, see above.
        if (write.IsCompletedSuccessfully) write.GetAwaiter().GetResult();
        else write.AsTask().GetAwaiter().GetResult();
#pragma warning restore VSTHRD002
    }
}
