using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace JobHub.Engine.Tasks;

/// <summary>
/// Where a program's output says how far it is: literal text around `%percent` (0..100) or `%one` (0..1), the first of them. Text without one matches nothing.
/// A number is digits with an optional fraction and exponent; what is above the range counts as its end.
/// </summary>
public sealed class ProgressPattern
{
    /// <summary>What stands for no pattern.</summary>
    public const string DefaultText = "PROGRESS:%percent";

    /// <summary>Bytes of literal text; no program prints progress behind more, so longer patterns match nothing.</summary>
    public const int MaxLiteralBytes = 1024;

    /// <summary>Bytes of a number that are read; what follows a longer one does not match.</summary>
    internal const int MaxNumberBytes = 64;

    private static readonly SearchValues<byte> Beginnings = SearchValues.Create("0123456789."u8);

    private const string Percent = "%percent", One = "%one";

    private readonly double _scale;

    private ProgressPattern(byte[] before, byte[] after, double scale) => (Before, After, _scale) = (before, after, scale);

    /// <summary>What holds for jobs that name none.</summary>
    public static ProgressPattern Default { get; } = Parse(DefaultText);

    /// <summary>False: it can match nothing, and output need not be looked at.</summary>
    public bool CanMatch => _scale > 0;

    internal byte[] Before { get; }
    internal byte[] After { get; }

    /// <summary>Any text is a pattern; null and empty text are the default.</summary>
    public static ProgressPattern Of(string? text) => string.IsNullOrEmpty(text) || text == DefaultText ? Default : Parse(text);

    /// <summary>The last progress in a whole text, 0..1; null when there is none.</summary>
    public double? LastIn(ReadOnlySpan<byte> text)
    {
        double? last = null;
        Scan(text, ref last, out var unsure);
        return unsure ?? last;
    }

    /// <summary>Looks through a text from its start. Returns how much of it is decided: the rest may be the beginning of a match.</summary>
    /// <param name="last">Set to the last match, if there is one.</param>
    /// <param name="unsure">A match at the very end, if nothing follows: its number may go on.</param>
    internal int Scan(ReadOnlySpan<byte> text, ref double? last, out double? unsure)
    {
        unsure = null;
        if (!CanMatch) return text.Length;
        for (var at = 0; ;)
        {
            var found = Before.Length > 0 ? text[at..].IndexOf(Before) : text[at..].IndexOfAny(Beginnings);
            if (found < 0) return text.Length - PartOf(text[at..]);
            at += found;
            var number = text[(at + Before.Length)..];
            var length = NumberLength(number);
            var after = number[length..];
            var isWhole = length <= MaxNumberBytes;
            var isMatch = length > 0 && (isWhole ? after.StartsWith(After) : After.Length == 0);
            if (isWhole && MayGoOn(after))
            {
                if (isMatch) unsure = Value(number[..length]);
                return at;
            }
            if (isWhole && length > 0 && after.Length < After.Length && After.AsSpan().StartsWith(after)) return at;
            if (isMatch) last = Value(number[..length]);
            // With text before it a match may begin within what did not match; a bare number is taken whole or not at all.
            at += isMatch ? Before.Length + length + After.Length : Before.Length > 0 ? 1 : Math.Max(length, 1);
        }
    }

    // How many of the last bytes are a beginning of the text before the number.
    private int PartOf(ReadOnlySpan<byte> text)
    {
        for (var length = Math.Min(Before.Length - 1, text.Length); length > 0; length--)
        {
            if (Before.AsSpan().StartsWith(text[^length..])) return length;
        }
        return 0;
    }

    // Whether what comes next can still belong to the number.
    private static bool MayGoOn(ReadOnlySpan<byte> after) =>
        after is [] or [(byte)'.'] or [(byte)'e' or (byte)'E'] or [(byte)'e' or (byte)'E', (byte)'+' or (byte)'-'];

    private static int NumberLength(ReadOnlySpan<byte> text)
    {
        var at = Digits(text);
        if (at < text.Length && text[at] == '.' && Digits(text[(at + 1)..]) is > 0 and var fraction) at += 1 + fraction;
        if (at == 0 || at + 1 >= text.Length || text[at] is not ((byte)'e' or (byte)'E')) return at;
        var sign = text[at + 1] is (byte)'+' or (byte)'-' ? 1 : 0;
        return Digits(text[(at + 1 + sign)..]) is > 0 and var exponent ? at + 1 + sign + exponent : at;
    }

    // One more than a number may have tells that it is too long; to look further would make a flood of digits slow.
    private static int Digits(ReadOnlySpan<byte> text)
    {
        text = text[..Math.Min(text.Length, MaxNumberBytes + 1)];
        var end = text.IndexOfAnyExceptInRange((byte)'0', (byte)'9');
        return end < 0 ? text.Length : end;
    }

    private double Value(ReadOnlySpan<byte> number) => Utf8Parser.TryParse(number[..Math.Min(number.Length, MaxNumberBytes)], out double value, out _) ? Math.Clamp(value / _scale, 0, 1) : 0;

    private static ProgressPattern Parse(string text)
    {
        var percent = text.IndexOf(Percent, StringComparison.Ordinal);
        var one = text.IndexOf(One, StringComparison.Ordinal);
        var (at, word, scale) = percent >= 0 && (one < 0 || percent < one) ? (percent, Percent, 100.0) : (one, One, 1.0);
        if (at < 0 || Encoding.UTF8.GetByteCount(text) > MaxLiteralBytes) return new([], [], 0);
        return new(Encoding.UTF8.GetBytes(text[..at]), Encoding.UTF8.GetBytes(text[(at + word.Length)..]), scale);
    }
}

/// <summary>Progress in output that comes in pieces. One thread; nothing is allocated a piece.</summary>
public sealed class ProgressReader
{
    private const int FirstTailBytes = 256;

    private readonly ProgressPattern _pattern;
    // Long enough for what may be undecided, and as much again to decide it.
    private readonly int _most;
    private byte[] _tail = [];
    private int _held;

    public ProgressReader(ProgressPattern pattern)
    {
        _pattern = pattern;
        _most = pattern.Before.Length + (2 * ProgressPattern.MaxNumberBytes) + pattern.After.Length;
    }

    /// <summary>What the output said last, 0..1; null when it has said nothing.</summary>
    public double? Fraction { get; private set; }

    /// <summary>Takes the next piece. True when the fraction has changed.</summary>
    public bool Read(ReadOnlySpan<byte> piece)
    {
        var before = Fraction;
        double? last = null, unsure = null;
        if (_held > 0)
        {
            var head = piece[..Math.Min(piece.Length, (2 * _most) - _held)];
            Hold(head);
            var decided = _pattern.Scan(_tail.AsSpan(0, _held), ref last, out unsure);
            var old = _held - head.Length;
            if (head.Length == piece.Length || decided < old)
            {
                _tail.AsSpan(decided, _held - decided).CopyTo(_tail);
                _held -= decided;
                return Take(last, unsure, before);
            }
            piece = piece[(decided - old)..];
            _held = 0;
        }
        var done = _pattern.Scan(piece, ref last, out unsure);
        Hold(piece[done..]);
        return Take(last, unsure, before);
    }

    // A number that is cut is never above the whole one, so it may raise what is shown and must not lower it. Where text has to follow it is no match yet.
    private bool Take(double? last, double? unsure, double? before)
    {
        Fraction = last ?? Fraction;
        if (_pattern.After.Length == 0 && unsure is { } atLeast && !(atLeast < Fraction)) Fraction = atLeast;
        return Fraction != before;
    }

    private void Hold(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty) return;
        var need = _held + bytes.Length;
        if (_tail.Length < need) Array.Resize(ref _tail, Math.Min(2 * _most, Math.Max(need, FirstTailBytes)));
        bytes.CopyTo(_tail.AsSpan(_held));
        _held = need;
    }
}
