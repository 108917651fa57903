using System.Runtime.CompilerServices;

namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>
/// Merges sorted runs with a tree of losers: one comparison a level for each record, and none when a run says that its next record has the same key.
/// Equal keys come in the order of the runs. Disposes its cursors.
/// </summary>
internal sealed unsafe class RunMerger : RecordSource, IDisposable
{
    /// <summary>Runs read at once. More are merged in passes through scratch: each open run costs a block of memory and a stream.</summary>
    public const int MaxRuns = 32;

    private readonly RunCursor[] _cursors;
    private readonly int[] _losers;
    private readonly NativeBuffer _lastKey = new(256);
    private ulong _lastPrefix;
    private int _lastLength = -1;
    private RunCursor? _winner;

    public RunMerger(IReadOnlyList<RunCursor> cursors)
    {
        _cursors = [.. cursors];
        _losers = new int[Math.Max(1, _cursors.Length)];
    }

    public override bool MoveNext()
    {
        RunCursor? winner;
        if (_winner is null)
        {
            if (_cursors.Length == 0) return false;
            winner = _winner = Start();
        }
        else
        {
            var before = _winner;
            if (before.Ended) return false;
            if (KeyLength > 8) KeepKey();
            (_lastPrefix, _lastLength) = (Prefix, KeyLength);
            var more = Step(before);
            if (more && before.SameKey)
            {
                Value = before.Value;
                ValueLength = before.ValueLength;
                NoTab = before.NoTab;
                SameKey = true;
                return true;
            }

            winner = _winner = Replay(before.Number);
        }

        if (winner.Ended) return false;
        Key = winner.Key;
        KeyLength = winner.KeyLength;
        Value = winner.Value;
        ValueLength = winner.ValueLength;
        Prefix = winner.Prefix;
        NoTab = winner.NoTab;
        SameKey = Prefix == _lastPrefix && KeyLength == _lastLength
            && (KeyLength <= 8 || KeySpan.SequenceEqual(new ReadOnlySpan<byte>(_lastKey.Start, KeyLength)));
        return true;
    }

    private void KeepKey()
    {
        if (SameKey) return;
        if (KeyLength > _lastKey.Length) _lastKey.Grow(KeyLength);
        Unsafe.CopyBlockUnaligned(_lastKey.Start, Key, (uint)KeyLength);
    }

    private static bool Step(RunCursor cursor)
    {
        try
        {
            return cursor.MoveNext();
        }
        catch (IOException problem) when (cursor.Tag is { } tag && problem is not LostRunException)
        {
            throw new LostRunException(tag, problem);
        }
    }

    private RunCursor Start()
    {
        foreach (var cursor in _cursors) Step(cursor);
        var count = _cursors.Length;
        // Leaves are count..2·count-1 of a heap; each inner node keeps its loser, the winner goes up.
        var winners = new int[2 * count];
        for (var i = 0; i < count; i++) winners[count + i] = i;
        for (var node = count - 1; node >= 1; node--)
        {
            var (a, b) = (winners[2 * node], winners[(2 * node) + 1]);
            var aWins = Before(_cursors[a], _cursors[b]);
            winners[node] = aWins ? a : b;
            _losers[node] = aWins ? b : a;
        }

        return _cursors[winners[1]];
    }

    private RunCursor Replay(int leaf)
    {
        var cursors = _cursors;
        var losers = _losers;
        var winner = cursors[leaf];
        for (var node = (leaf + cursors.Length) >> 1; node >= 1; node >>= 1)
        {
            var other = cursors[losers[node]];
            if (!Before(other, winner)) continue;
            losers[node] = winner.Number;
            winner = other;
        }

        return winner;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Before(RunCursor a, RunCursor b)
    {
        if (a.Ended) return false;
        if (b.Ended) return true;
        return a.Prefix != b.Prefix ? a.Prefix < b.Prefix : BeforeByRest(a, b);
    }

    private static bool BeforeByRest(RunCursor a, RunCursor b)
    {
        var order = a.KeyLength <= 8 || b.KeyLength <= 8
            ? a.KeyLength.CompareTo(b.KeyLength)
            : new ReadOnlySpan<byte>(a.Key + 8, a.KeyLength - 8).SequenceCompareTo(new ReadOnlySpan<byte>(b.Key + 8, b.KeyLength - 8));
        return order != 0 ? order < 0 : a.Number < b.Number;
    }

    public void Dispose()
    {
        foreach (var cursor in _cursors) cursor.Dispose();
        _lastKey.Free();
    }
}

/// <summary>Whose run a cursor reads: a map and the attempt that wrote it.</summary>
internal sealed record MapRunTag(int Map, int Attempt);

/// <summary>A map's run that cannot be read to its end.</summary>
internal sealed class LostRunException(MapRunTag run, Exception inner)
    : IOException($"The output of map {run.Map} (attempt {run.Attempt}) is missing or damaged: {inner.Message}", inner)
{
    public MapRunTag Run { get; } = run;
}
