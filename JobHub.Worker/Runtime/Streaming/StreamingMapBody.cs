using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>
/// A map attempt of a streaming job: the split's lines to the mapper's stdin, its records through the shuffle's sort to one object. A mapper that
/// stops reading early and ends with status 0 has succeeded. A split without a line still runs the mapper, as Hadoop does.
/// </summary>
public sealed class StreamingMapBody : IAttemptBody
{
    private const int BlockSize = 256 << 10;

    /// <summary>Reading is most of a map; what is left is sorting and writing.</summary>
    private const double ReadingShare = 0.9;

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec.Map ?? throw new ArgumentException("Not a map attempt.", nameof(context));
        using var split = new SplitReader(context.Store, spec, ct);
        await split.OpenAsync();
        var combiner = spec.Combiner is { } program ? new StreamingCombiner(context, program) : null;
        using var output = new MapOutput(context, combiner, ct);
        var mapper = new StreamingProgram(context, "mapper", spec.Mapper, alone: true);
        var exit = await mapper.RunAsync(spec.Args, input => Feed(context, split, input), stdout => RecordParser.Parse(stdout, output.Add), ct);
        context.Count("map_input_records", split.Lines);
        context.Count("map_input_bytes", split.Bytes);
        var result = await output.FinishAsync(ct);
        context.Fraction = 1;
        return new BodyResult(result.Output, result.PartitionOffsets, exit);
    }

    private static void Feed(AttemptContext context, SplitReader split, ProgramInput input)
    {
        var buffer = new NativeBuffer(BlockSize);
        try
        {
            int length;
            while (!input.IsClosed && (length = split.Read(buffer.Memory)) > 0)
            {
                input.Write(buffer.GetSpan()[..length]);
                context.Fraction = split.Fraction * ReadingShare;
            }
        }
        finally
        {
            buffer.Free();
        }
    }
}

/// <summary>Runs a combiner program over sorted records. Its own process each time, its output partitioned and sorted anew.</summary>
internal sealed class StreamingCombiner(AttemptContext context, ProgramSpec program) : ICombiner
{
    public void Combine(Action<Action<RecordSource>> feed, RunCollector into, CancellationToken ct)
    {
        long read = 0, printed = 0;
        var combiner = new StreamingProgram(context, "combiner", program, alone: false);
        var run = combiner.RunAsync([], input => read = Feed(feed, input),
            stdout => RecordParser.Parse(stdout, (key, value, noTab) =>
            {
                printed++;
                into.Add(key, value, noTab);
            }), ct);
#pragma warning disable VSTHRD002 // Called on the attempt's own threads, which wait for it.
        run.GetAwaiter().GetResult();
#pragma warning restore VSTHRD002
        context.Count("combine_input_records", read);
        context.Count("combine_output_records", printed);
    }

    private static long Feed(Action<Action<RecordSource>> feed, ProgramInput input)
    {
        long records = 0;
        var closed = false;
        using var lines = new LineWriter(input);
        feed(source =>
        {
            try
            {
                while (!closed && source.MoveNext())
                {
                    lines.Write(source);
                    records++;
                }

                if (!closed) lines.Flush();
            }
            catch (InputClosedException)
            {
                // The rest is dropped, as it chose; but the source must be left as if it had been read.
                closed = true;
            }
        });
        return records;
    }
}
