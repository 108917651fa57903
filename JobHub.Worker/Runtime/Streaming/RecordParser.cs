using JobHub.Engine.Attempts;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>Takes a record: a key and a value, or a line without a tab.</summary>
internal delegate void RecordTaker(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool noTab);

/// <summary>
/// Cuts what a mapper or combiner prints into records: up to the first tab the key, up to '\n' the value; a line without a tab is a key with an empty
/// value; a last line without '\n' is a record. Memory: half a MiB, and a line longer than that while it is read.
/// </summary>
internal static unsafe class RecordParser
{
    private const int Size = 512 << 10;

    /// <summary>Lengths are ints from here on.</summary>
    private const long MaxLine = int.MaxValue - (1 << 16);

    public static void Parse(ProgramOutput output, RecordTaker take)
    {
        var buffer = new NativeBuffer(Size);
        try
        {
            var used = 0;
            while (true)
            {
                if (used == buffer.Length) Grow(buffer);
                var got = output.Read(new Span<byte>(buffer.Start + used, (int)(buffer.Length - used)));
                if (got <= 0) break;
                var searched = used;
                used += got;
                var taken = TakeLines(new ReadOnlySpan<byte>(buffer.Start, used), searched, take);
                if (taken == 0) continue;
                var rest = new ReadOnlySpan<byte>(buffer.Start + taken, used - taken);
                if (buffer.Length > 8 * Size && rest.Length < Size)
                {
                    var smaller = new NativeBuffer(Size);
                    rest.CopyTo(smaller.GetSpan());
                    buffer.Free();
                    buffer = smaller;
                }
                else
                {
                    rest.CopyTo(new Span<byte>(buffer.Start, rest.Length));
                }

                used -= taken;
            }

            if (used > 0) TakeLine(new ReadOnlySpan<byte>(buffer.Start, used), take);
        }
        finally
        {
            buffer.Free();
        }
    }

    private static int TakeLines(ReadOnlySpan<byte> bytes, int searched, RecordTaker take)
    {
        var start = 0;
        while (true)
        {
            var length = bytes[searched..].IndexOf((byte)'\n');
            if (length < 0) return start;
            var end = searched + length;
            TakeLine(bytes[start..end], take);
            start = searched = end + 1;
        }
    }

    private static void TakeLine(ReadOnlySpan<byte> line, RecordTaker take)
    {
        var tab = line.IndexOf((byte)'\t');
        if (tab < 0) take(line, default, true);
        else take(line[..tab], line[(tab + 1)..], false);
    }

    private static void Grow(NativeBuffer buffer)
    {
        if (buffer.Length >= MaxLine)
            throw new AttemptFailedException(AttemptOutcome.Failed, "record-too-long", "The program printed a line longer than 2 GiB.");
        buffer.Grow(Math.Min(MaxLine, buffer.Length * 2));
    }
}
