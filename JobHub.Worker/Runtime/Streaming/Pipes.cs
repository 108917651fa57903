using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>The program does not read its input any more. Not an error by itself: its exit status says what it was.</summary>
internal sealed class InputClosedException(string reason) : IOException($"The program has stopped reading: {reason}.");

/// <summary>A program's stdin, written in large pieces. One thread.</summary>
internal sealed class ProgramInput(SafeFileHandle pipe, Task exit)
{
    /// <summary>Writing after the program has ended makes no sense; asked before the next block is read from a slow source.</summary>
    public bool IsClosed => exit.IsCompleted;

    public void Write(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            var written = SystemPipe.Write(pipe, bytes);
            if (written < 0) throw new InputClosedException(Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError()));
            bytes = bytes[written..];
        }
    }
}

/// <summary>A program's output. One thread reads; others may look whether it waits.</summary>
internal sealed class ProgramOutput(SafeFileHandle pipe)
{
    private long _reads;
    private volatile bool _waiting;

    /// <summary>Changes with each read.</summary>
    public long Reads => Interlocked.Read(ref _reads);

    /// <summary>Waiting for the program, not busy with what it printed.</summary>
    public bool IsWaiting => _waiting;

    public int Read(Span<byte> into)
    {
        _waiting = true;
        var got = SystemPipe.Read(pipe, into);
        _waiting = false;
        Interlocked.Increment(ref _reads);
        return got;
    }
}

/// <summary>Blocking reads and writes of pipes, straight to the kernel: streams and RandomAccess want files they can seek in.</summary>
internal static unsafe partial class SystemPipe
{
    private const int Interrupted = 4;

    /// <summary>Bytes read, 0 at the end.</summary>
    public static int Read(SafeFileHandle pipe, Span<byte> into)
    {
        while (true)
        {
            nint got;
            fixed (byte* start = into) got = read(pipe, start, into.Length);
            if (got >= 0) return (int)got;
            var error = Marshal.GetLastPInvokeError();
            if (error != Interrupted) throw new IOException($"A program's output cannot be read: {Marshal.GetPInvokeErrorMessage(error)}.");
        }
    }

    /// <summary>Bytes written, or -1: nobody reads any more.</summary>
    public static int Write(SafeFileHandle pipe, ReadOnlySpan<byte> bytes)
    {
        while (true)
        {
            nint written;
            fixed (byte* start = bytes) written = write(pipe, start, bytes.Length);
            if (written >= 0 || Marshal.GetLastPInvokeError() != Interrupted) return (int)written;
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(SafeFileHandle file, byte* into, nint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(SafeFileHandle file, byte* from, nint count);
}

/// <summary>Writes records as lines to a program: key, tab, value; a record that had no tab without one. One thread.</summary>
/// <remarks>
/// Hadoop Streaming always writes a tab. Here a line that came without a tab goes on without one: `cat` twice is then a sort that gives back the lines of
/// its input, `uniq -c` counts them, and a program that splits at the first tab sees the same key and an empty value either way.
/// </remarks>
internal sealed unsafe class LineWriter(ProgramInput input) : IDisposable
{
    private const int Size = 256 << 10;

    private readonly NativeBuffer _buffer = new(Size);
    private int _used;

    public void Write(RecordSource record)
    {
        var need = (long)record.KeyLength + record.ValueLength + 2;
        if (need > Size - _used)
        {
            Flush();
            if (need > Size)
            {
                WriteLong(record);
                return;
            }
        }

        var at = _buffer.Start + _used;
        System.Runtime.CompilerServices.Unsafe.CopyBlockUnaligned(at, record.Key, (uint)record.KeyLength);
        at += record.KeyLength;
        if (!record.NoTab)
        {
            *at++ = (byte)'\t';
            System.Runtime.CompilerServices.Unsafe.CopyBlockUnaligned(at, record.Value, (uint)record.ValueLength);
            at += record.ValueLength;
        }

        *at++ = (byte)'\n';
        _used = (int)(at - _buffer.Start);
    }

    public void Flush()
    {
        if (_used == 0) return;
        var bytes = new ReadOnlySpan<byte>(_buffer.Start, _used);
        _used = 0;
        input.Write(bytes);
    }

    private void WriteLong(RecordSource record)
    {
        input.Write(record.KeySpan);
        if (!record.NoTab)
        {
            input.Write("\t"u8);
            input.Write(record.ValueSpan);
        }

        input.Write("\n"u8);
    }

    public void Dispose() => _buffer.Free();
}
