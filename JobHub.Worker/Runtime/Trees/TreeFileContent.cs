using System.Buffers;
using System.Net;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Trees;

/// <summary>
/// Exactly as many bytes of a file as were announced. One that grows meanwhile is cut; one that shrinks ends the request in the middle, so the hub takes none of it.
/// </summary>
internal sealed class TreeFileContent(SafeFileHandle file, long size) : HttpContent
{
    private const int BlockBytes = 256 * 1024;

    /// <summary>Why the file itself could not be read to its announced end.</summary>
    public string? Broken { get; private set; }

    /// <summary>Told after each block.</summary>
    public Action? Moved { get; set; }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Clamp(size, 1, BlockBytes));
        try
        {
            for (var at = 0L; at < size;)
            {
                var n = Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, size - at)), at);
                await stream.WriteAsync(buffer.AsMemory(0, n), cancellationToken);
                at += n;
                Moved?.Invoke();
            }
        }
        finally { ArrayPool<byte>.Shared.Return(buffer); }
    }

    private int Read(Span<byte> into, long at)
    {
        try
        {
            var n = RandomAccess.Read(file, into, at);
            if (n > 0) return n;
            Broken = "it became shorter while it was read";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { Broken = $"it cannot be read: {e.Message}"; }
        throw new IOException("The file " + Broken);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = size;
        return true;
    }
}
