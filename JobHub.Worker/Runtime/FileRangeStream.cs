using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime;

/// <summary>Bytes [offset, end) of a local file, read without a buffer of its own: readers ask for large blocks.</summary>
internal sealed class FileRangeStream(SafeFileHandle file, long offset, long end) : Stream
{
    private long _at = offset;

    public override int Read(Span<byte> buffer)
    {
        var most = (int)Math.Min(buffer.Length, Math.Max(0, end - _at));
        if (most == 0) return 0;
        var n = RandomAccess.Read(file, buffer[..most], _at);
        _at += n;
        return n;
    }

    // Local reads come from the page cache or a disk: a thread hop costs more than it saves.
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        cancellationToken.IsCancellationRequested ? ValueTask.FromCanceled<int>(cancellationToken) : ValueTask.FromResult(Read(buffer.Span));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    protected override void Dispose(bool disposing)
    {
        if (disposing) file.Dispose();
        base.Dispose(disposing);
    }

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => _at; set => throw new NotSupportedException(); }
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
