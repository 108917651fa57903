using System.Runtime.CompilerServices;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;

namespace JobHub.Engine.Attempts;

/// <summary>Kept bytes in a row, at their place among all that were printed. The bytes stand until the next part is asked for.</summary>
public readonly record struct LogPart(long Offset, ReadOnlyMemory<byte> Bytes)
{
    public long End => Offset + Bytes.Length;
}

/// <summary>A log from an offset on, read in small parts with their original offsets, whatever holds it.</summary>
public static class LogParts
{
    private const int PartBytes = 64 << 10;

    /// <summary>The parts of one attempt's log, up to what it had printed when the reader came there. Disposes what the slice holds.</summary>
    public static async IAsyncEnumerable<LogPart> ReadAsync(this LogReader logs, JobId id, TaskKind kind, int index, LogSlice first, [EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(logs);
        ArgumentNullException.ThrowIfNull(first);
        var buffer = new byte[PartBytes];
        for (LogSlice? slice = first; slice is not null;)
        {
            var at = slice.Offset;
            await using (var stream = slice.Rest ?? new MemoryStream(slice.Content.ToArray(), writable: false))
            {
                while (await stream.ReadAsync(buffer, ct) is > 0 and var read)
                {
                    for (var done = 0; done < read;)
                    {
                        var (start, length) = NextOf(slice.Gaps, at, read - done);
                        yield return new(start, buffer.AsMemory(done, length));
                        done += length;
                        at = start + length;
                    }
                }
            }

            // What runs is read in slices; between two of them it may end, and the next one is of the log as it is kept.
            slice = slice.Ended || slice.Size <= slice.Offset ? null : await logs.OpenAsync(id, kind, index, slice.Attempt, slice.Size, ct);
        }
    }

    /// <summary>Where the next kept byte stands, and how many of them follow each other.</summary>
    private static (long Start, int Length) NextOf(LogGap[] gaps, long at, int most)
    {
        foreach (var gap in gaps)
        {
            if (gap.Offset + gap.Length <= at) continue;
            if (gap.Offset <= at) at = gap.Offset + gap.Length;
            else return (at, (int)Math.Min(most, gap.Offset - at));
        }

        return (at, most);
    }
}
