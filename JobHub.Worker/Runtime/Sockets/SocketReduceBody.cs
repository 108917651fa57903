using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Shuffle;
using JobHub.Worker.Runtime.Streaming;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// A reduce attempt of the socket contract: one program a distinct key, in the order of the keys' canonical texts. It gets `{"key":{"key":K,"value":n},"value":[V,…]}` on
/// /tmp/reduce-input-n.sock and answers `{"key":{"key":K,"value":n},"value":R}` on /tmp/reduce.sock; the attempt's object is `{"pairs":[{"key":K,"value":R},…]}`.
/// Some run at once. Memory is bounded whatever the number of values of a key.
/// </summary>
public sealed class SocketReduceBody : IAttemptBody
{
    // Known programs read once with a small buffer, so a message up to here must be there whole when the program reads.
    private const int WholeMessageBytes = 64 << 10;
    private const int ChunkBytes = 256 << 10;
    private const long WaitingBytes = 8 << 20;

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec.Reduce ?? throw new ArgumentException("Not a reduce attempt.", nameof(context));
        var programs = await SocketPrograms.PrepareAsync(context, spec.Reducer, ct);
        try
        {
            using var runs = new ReduceInput(context, ct);
            using var records = await runs.OpenAsync();
            await using var output = await context.Store.CreateAsync(spec.Output, ct);
            var file = new ResultFile(context, output, ct);
            await ReduceAsync(context, programs, spec, records, () => runs.Fraction, file, ct);
            file.End();
            programs.CountStarted();
            context.Count("shuffle_bytes", runs.BytesRead);
            var pending = await output.FinishAsync(ct);
            context.Fraction = 1;
            return new(pending, null, programs.Total);
        }
        catch (LostRunException lost)
        {
            throw new AttemptFailedException(AttemptOutcome.OutputLost, "output-lost", lost.Message) { LostRun = new LostRun(lost.Run.Map, lost.Run.Attempt) };
        }
    }

    private static async Task ReduceAsync(
        AttemptContext context, SocketPrograms programs, ReduceSpec spec, RecordSource records, Func<double> fraction, ResultFile file, CancellationToken ct)
    {
        using var team = new SlotTeam();
        var results = new HandedInOrder(file.Add, window: 32 * context.SocketSlots, WaitingBytes);
        var keys = new KeyQueue(2 * context.SocketSlots);
        team.OnStop(results.Stop);
        team.OnStop(keys.Stop);
        team.Start("reduce merge", () => Deal(context, records, fraction, keys));
        ReadOnlyMemory<byte>[] more = [.. spec.Args.Select(arg => (ReadOnlyMemory<byte>)System.Text.Encoding.UTF8.GetBytes(arg))];
        for (var i = 0; i < context.SocketSlots; i++)
        {
            var number = i;
            team.Start($"reducer slot {i}", () =>
            {
                using var slot = new ProgramSlot(context, team, number, "reduce.sock", watch: true);
                new ReduceSlot(slot, programs, keys, results, more).Run();
            });
        }

        await team.WaitAsync(ct);
    }

    /// <summary>Cuts the merged records into keys.</summary>
    private static void Deal(AttemptContext context, RecordSource records, Func<double> fraction, KeyQueue keys)
    {
        long number = 0, count = 0;
        var more = records.MoveNext();
        while (more)
        {
            var key = new KeyWork(number++, records.KeySpan);
            var message = key.Message;
            message.Append("{\"key\":{\"key\":"u8);
            message.Append(key.Key);
            message.Append(",\"value\":"u8);
            message.Append(System.Text.Encoding.ASCII.GetBytes(key.Number.ToString()));
            message.Append("},\"value\":["u8);
            var first = true;
            do
            {
                if (!first)
                {
                    message.Append((byte)',');
                }

                first = false;
                message.Append(records.ValueSpan);
                count++;
                more = records.MoveNext();
                message = GiveOn(key, message, keys);
            }
            while (more && records.KeySpan.SequenceEqual(key.Key));

            message.Append("]}"u8);
            context.Fraction = fraction();
            if (key.Rest is { } rest)
            {
                rest.Add(message);
                rest.End();
            }
            else
            {
                keys.Add(key);
            }
        }

        keys.End();
        context.Count("reduce_input_groups", number);
        context.Count("reduce_input_records", count);
        context.Count("reduce_output_records", number);
    }

    private static ByteBuffer GiveOn(KeyWork key, ByteBuffer message, KeyQueue keys)
    {
        if (message.Length < (key.Rest is null ? WholeMessageBytes : ChunkBytes))
        {
            return message;
        }

        if (key.Rest is null)
        {
            key.Rest = new ChunkPipe();
            keys.Add(key);
        }
        else if (!key.Rest.Add(message))
        {
            // The program has had enough: its other values are only passed over.
            message.Clear();
            return message;
        }

        return new ByteBuffer(ChunkBytes);
    }

    /// <summary>The result, as it grows.</summary>
    private sealed class ResultFile(AttemptContext context, IOutputWriter output, CancellationToken ct)
    {
        private readonly ByteBuffer _text = Begun();
        private bool _any;

        public void Add(ByteBuffer pair)
        {
            if (_any)
            {
                _text.Append((byte)',');
            }

            _any = true;
            _text.Append(pair.Span);
            if (_text.Length >= ChunkBytes)
            {
                Write();
            }
        }

        public void End()
        {
            _text.Append("]}"u8);
            Write();
        }

        private static ByteBuffer Begun()
        {
            var text = new ByteBuffer(ChunkBytes + 4096);
            text.Append("{\"pairs\":["u8);
            return text;
        }

        private void Write()
        {
            output.WriteBlocking(_text.Memory, ct);
            context.Count("reduce_output_bytes", _text.Length);
            _text.Clear();
        }
    }
}
