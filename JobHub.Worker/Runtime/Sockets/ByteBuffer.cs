using System.Buffers;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>Bytes that grow at the end; reused from line to line. Not thread-safe.</summary>
public sealed class ByteBuffer(int capacity = 256)
{
    // Memory kept between lines: one huge pair must not pin its size for the rest of the split.
    private const int KeptCapacity = 1 << 20;

    private byte[] _array = new byte[capacity];

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Span => _array.AsSpan(0, Length);

    public ReadOnlyMemory<byte> Memory => _array.AsMemory(0, Length);

    internal byte[] Array => _array;

    public void Clear()
    {
        Length = 0;
        if (_array.Length > KeptCapacity)
        {
            _array = new byte[capacity];
        }
    }

    /// <summary>Forgets what was appended since <paramref name="length"/>.</summary>
    public void Truncate(int length) => Length = length;

    public void Append(byte value)
    {
        if (Length == _array.Length)
        {
            Grow(1);
        }

        _array[Length++] = value;
    }

    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _array.Length - Length)
        {
            Grow(bytes.Length);
        }

        bytes.CopyTo(_array.AsSpan(Length));
        Length += bytes.Length;
    }

    /// <summary>Free room of at least that many bytes after the end; what is put there counts after <see cref="Advance"/>.</summary>
    public Span<byte> Room(int atLeast)
    {
        if (atLeast > _array.Length - Length)
        {
            Grow(atLeast);
        }

        return _array.AsSpan(Length);
    }

    public void Advance(int count) => Length += count;

    public void AppendZeros(int count)
    {
        Room(count)[..count].Fill((byte)'0');
        Length += count;
    }

    /// <summary>Drops bytes from the front.</summary>
    public void Consume(int count)
    {
        if (count == 0)
        {
            return;
        }

        _array.AsSpan(count, Length - count).CopyTo(_array);
        Length -= count;
        if (Length == 0)
        {
            Clear();
        }
    }

    private void Grow(int by)
    {
        var needed = (long)Length + by;
        if (needed > System.Array.MaxLength)
        {
            throw new JsonRefusedException("A value is longer than 2 GiB.", Length);
        }

        System.Array.Resize(ref _array, (int)Math.Min(System.Array.MaxLength, Math.Max(needed, _array.Length * 2L)));
    }
}

/// <summary>Text that is not the JSON it should be.</summary>
/// <param name="Offset">Where, in bytes from the beginning of the text examined.</param>
public sealed class JsonRefusedException(string message, long Offset) : Exception(message)
{
    public long Offset { get; } = Offset;
}
