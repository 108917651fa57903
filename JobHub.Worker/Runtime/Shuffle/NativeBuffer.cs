using System.Buffers;
using System.Runtime.InteropServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>
/// A block of native memory with one owner. Pages that are never touched cost no memory, so a buffer may be reserved at its
/// largest size. Whoever disposes it must know that no thread uses it any more.
/// </summary>
internal sealed unsafe class NativeBuffer : MemoryManager<byte>
{
    private byte* _start;

    public NativeBuffer(long length)
    {
        _start = (byte*)NativeMemory.Alloc((nuint)length);
        Length = length;
    }

    public long Length { get; private set; }

    public byte* Start => _start;

    /// <summary>Enlarges the buffer and keeps its bytes; large blocks are remapped, not copied.</summary>
    public void Grow(long length)
    {
        if (length <= Length) return;
        _start = (byte*)NativeMemory.Realloc(_start, (nuint)length);
        Length = length;
    }

    public override Span<byte> GetSpan() => new(_start, checked((int)Length));

    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (_start is null) return;
        NativeMemory.Free(_start);
        _start = null;
        Length = 0;
    }

    public void Free() => ((IDisposable)this).Dispose();
}
