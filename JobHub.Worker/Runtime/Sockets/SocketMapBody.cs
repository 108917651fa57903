using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// A map attempt of the socket contract: one program a line, argv[1] the line's number in the split from 0 and argv[2] the line; it answers with one JSON message on /tmp/map.sock.
/// Some run at once, each in a /tmp of its own, which also tells whose message a connection brings; their pairs are taken in the order of the lines.
/// </summary>
public sealed class SocketMapBody : IAttemptBody
{
    /// <summary>The longest argument a program can be given: Linux' MAX_ARG_STRLEN without the final NUL.</summary>
    public const int MaxLineBytes = 131_071;

    // A line may wait with this much for its turn; a larger message is read on when its turn has come.
    private const int StagedBytes = 256 << 10;
    private const long WaitingBytes = 8 << 20;

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec.Map ?? throw new ArgumentException("Not a map attempt.", nameof(context));
        var programs = await SocketPrograms.PrepareAsync(context, spec.Mapper, ct);
        using var output = new MapOutput(context, ct);
        using var lines = new LineSource(context, spec, ct);
        await lines.OpenAsync();
        using (var team = new SlotTeam())
        {
            var turns = new HandedInOrder(pairs => StagedPair.Each(pairs, output.Add), window: 32 * context.SocketSlots, WaitingBytes);
            team.OnStop(turns.Stop);
            ReadOnlyMemory<byte>[] more = [.. spec.Args.Select(arg => (ReadOnlyMemory<byte>)System.Text.Encoding.UTF8.GetBytes(arg))];
            for (var i = 0; i < context.SocketSlots; i++)
            {
                var number = i;
                team.Start($"mapper slot {i}", () =>
                {
                    using var slot = new ProgramSlot(context, team, number, "map.sock", watch: false);
                    new MapSlot(slot, programs, turns, more).Run(lines);
                });
            }

            await team.WaitAsync(ct);
        }

        programs.CountStarted();
        context.Count("map_input_records", lines.Count);
        context.Count("map_input_bytes", lines.Bytes);
        var result = await output.FinishAsync(ct);
        context.Fraction = 1;
        return new(result.Output, result.PartitionOffsets, programs.Total);
    }

    private sealed class MapSlot(
        ProgramSlot slot, SocketPrograms programs, HandedInOrder turns, ReadOnlyMemory<byte>[] more)
        : SlotRunner(slot, programs)
    {
        private readonly PairsReader _message = new();
        private readonly ReadOnlyMemory<byte>[] _arguments = [default, .. more];
        private readonly ByteBuffer _line = new(4096);
        private ByteBuffer _pairs = new();
        private long _number;
        private bool _myTurn;

        public void Run(LineSource lines)
        {
            while (!Slot.Team.Stopped && lines.TryNext(_line, out var number))
            {
                if (_line.Length > MaxLineBytes)
                {
                    throw SocketPrograms.Failure("line-not-passable", $"Line {number} is longer than {MaxLineBytes} bytes, which no program can be given as an argument.");
                }

                if (_line.Span.Contains((byte)0))
                {
                    throw SocketPrograms.Failure("line-not-passable", $"Line {number} holds a NUL byte, which no program can be given in an argument.");
                }

                _number = number;
                _pairs = turns.Begin(number);
                _myTurn = false;
                _message.Reset();
                _arguments[0] = _line.Memory;
                RunOne(number, _arguments, $"Line {number}");
                turns.Complete(number, _pairs);
            }
        }

        public override Span<byte> Room() => _message.Room();

        public override void Arrived(int count)
        {
            _message.Advance(count);
            while (_message.TryRead())
            {
                Stage();
            }
        }

        public override void Ended() => _message.Finish();

        protected override AttemptFailedException NoMessage() =>
            SocketPrograms.Failure("line-without-message", $"Line {_number}: the program ended without a message on /tmp/map.sock.");

        protected override AttemptFailedException BadMessage(JsonRefusedException refused) =>
            SocketPrograms.Failure("bad-message", $"Line {_number}: the message is not {{\"pairs\":[{{\"key\":…,\"value\":…}},…]}}: {refused.Message}");

        private void Stage()
        {
            StagedPair.Append(_pairs, _message.Key.Span, _message.Value.Span);
            if (_pairs.Length < StagedBytes)
            {
                return;
            }

            if (!_myTurn)
            {
                turns.AwaitTurn(_number);
                _myTurn = true;
            }

            turns.Emit(_pairs);
        }
    }
}
