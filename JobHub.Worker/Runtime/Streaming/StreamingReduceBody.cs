using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>
/// A reduce attempt of a streaming job: the maps' runs of its partition, merged, to the reducer's stdin as lines in the order of the keys' bytes; its stdout, as it
/// is, to the output. A partition without a key still runs the reducer and leaves its object. Memory: a block a run, at most 32 runs at once,
/// and any record longer than a block.
/// </summary>
public sealed class StreamingReduceBody : IAttemptBody
{
    private const int OutputBuffer = 1 << 20;

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec.Reduce ?? throw new ArgumentException("Not a reduce attempt.", nameof(context));
        try
        {
            using var runs = new ReduceInput(context, ct);
            using var merger = await runs.OpenAsync();
            await using var writer = await context.Store.CreateAsync(spec.Output, ct);
            var reducer = new StreamingProgram(context, "reducer", spec.Reducer, alone: true);
            var exit = await reducer.RunAsync(spec.Args, input => Feed(context, runs, merger, input), stdout => Drain(context, stdout, writer, ct), ct);
            context.Count("shuffle_bytes", runs.BytesRead);
            var output = await writer.FinishAsync(ct);
            context.Fraction = 1;
            return new BodyResult(output, PartitionOffsets: null, exit);
        }
        catch (LostRunException lost)
        {
            throw new AttemptFailedException(AttemptOutcome.OutputLost, "output-lost", lost.Message) { LostRun = new LostRun(lost.Run.Map, lost.Run.Attempt) };
        }
    }

    private static void Feed(AttemptContext context, ReduceInput runs, RunMerger merger, ProgramInput input)
    {
        long records = 0, groups = 0;
        using var lines = new LineWriter(input);
        try
        {
            while (merger.MoveNext())
            {
                lines.Write(merger);
                records++;
                if (!merger.SameKey) groups++;
                if ((records & 0xffff) == 0) context.Fraction = runs.Fraction;
            }

            lines.Flush();
        }
        finally
        {
            context.Count("reduce_input_records", records);
            context.Count("reduce_input_groups", groups);
        }
    }

    private static void Drain(AttemptContext context, ProgramOutput stdout, IOutputWriter writer, CancellationToken ct)
    {
        long bytes = 0, lines = 0;
        var last = (byte)'\n';
        var buffer = new NativeBuffer(OutputBuffer);
        try
        {
            var used = 0;
            while (true)
            {
                var got = stdout.Read(buffer.GetSpan()[used..]);
                if (got > 0)
                {
                    used += got;
                    if (used < OutputBuffer / 2) continue;
                }

                if (used > 0)
                {
                    var block = buffer.Memory[..used];
                    bytes += used;
                    lines += block.Span.Count((byte)'\n');
                    last = block.Span[^1];
                    writer.WriteBlocking(block, ct);
                    used = 0;
                }

                if (got <= 0) break;
            }
        }
        finally
        {
            buffer.Free();
        }

        context.Count("reduce_output_bytes", bytes);
        context.Count("reduce_output_records", last == '\n' ? lines : lines + 1);
    }
}
