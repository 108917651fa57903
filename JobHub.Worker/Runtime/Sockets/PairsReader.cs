using System.Buffers;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// Reads `{"pairs":[{"key":K,"value":V},…]}` as it arrives, in chunks of any size, and keeps no more than the pair it is in the middle of. `null` for the array means
/// no pairs; other members are checked and ignored, as the JSON readers of existing clients of this format do. Not thread-safe.
/// </summary>
internal sealed class PairsReader
{
    /// <summary>A message has no limit, but one pair must fit into memory.</summary>
    public const int MaxPairBytes = 256 << 20;

    private static readonly SearchValues<byte> Brackets = SearchValues.Create("\"{}[]"u8);
    private static readonly SearchValues<byte> ScalarEnds = SearchValues.Create(",]} \t\r\n"u8);

    private readonly ByteBuffer _window = new(1 << 16);
    private readonly ByteBuffer _name = new(32);
    private readonly ByteBuffer _ignored = new();
    private Place _place;
    private bool _pairsSeen;
    private int _at;
    // The value under examination: from _at to _scan is known.
    private int _scan;
    private int _depth;
    private bool _inString;

    private enum Place
    {
        Start, FirstName, Name, Colon, Value, PairsValue, FirstElement, Element, AfterElement, AfterMember, End,
    }

    /// <summary>Canonical text of the key of the pair just read.</summary>
    public ByteBuffer Key { get; } = new();

    /// <summary>Compact text of its value.</summary>
    public ByteBuffer Value { get; } = new();

    /// <summary>Something other than white space has arrived.</summary>
    public bool Began => _place != Place.Start;

    /// <summary>Makes ready for the next message.</summary>
    public void Reset()
    {
        _window.Clear();
        (_place, _pairsSeen) = (Place.Start, false);
        (_at, _scan, _depth, _inString) = (0, 0, 0, false);
    }

    /// <summary>Where the next bytes of the stream go; then <see cref="Advance"/>.</summary>
    public Span<byte> Room()
    {
        // What is understood is dropped only here, so that the bytes of a long pair are moved once a chunk at most.
        if (_at > 0)
        {
            _window.Consume(_at);
            _scan = Math.Max(0, _scan - _at);
            _at = 0;
        }

        return _window.Length <= MaxPairBytes ? _window.Room(1 << 15)
            : throw new JsonRefusedException($"one pair is longer than {MaxPairBytes} bytes", 0);
    }

    public void Advance(int count) => _window.Advance(count);

    /// <summary>The next whole pair into <see cref="Key"/> and <see cref="Value"/>; false when more bytes are needed.</summary>
    public bool TryRead()
    {
        while (true)
        {
            SkipWhite();
            if (_at >= _window.Length)
            {
                return false;
            }

            var next = _window.Span[_at];
            switch (_place)
            {
                case Place.Start:
                    Take(next == '{', "a message begins with '{'", Place.FirstName);
                    break;
                case Place.FirstName when next == '}':
                case Place.AfterMember when next == '}':
                    Take(_pairsSeen, "the member \"pairs\" is missing", Place.End);
                    break;
                case Place.FirstName or Place.Name:
                    if (!TryValue(out var nameText))
                    {
                        return false;
                    }

                    Name(nameText);
                    break;
                case Place.Colon:
                    Take(next == ':', "':' should follow a member's name", _name.Span.SequenceEqual("\"pairs\""u8) ? Place.PairsValue : Place.Value);
                    break;
                case Place.PairsValue when next == '[':
                    Take(!_pairsSeen, "the member \"pairs\" is there twice", Place.FirstElement);
                    _pairsSeen = true;
                    break;
                case Place.PairsValue or Place.Value:
                    if (!TryValue(out var value))
                    {
                        return false;
                    }

                    Ignore(value);
                    break;
                case Place.FirstElement when next == ']':
                case Place.AfterElement when next == ']':
                    _at++;
                    _place = Place.AfterMember;
                    break;
                case Place.FirstElement or Place.Element:
                    if (!TryValue(out var pair))
                    {
                        return false;
                    }

                    Pair(pair);
                    _place = Place.AfterElement;
                    return true;
                case Place.AfterElement:
                    Take(next == ',', "',' or ']' should follow a pair", Place.Element);
                    break;
                case Place.AfterMember:
                    Take(next == ',', "',' or '}' should follow a member", Place.Name);
                    break;
                default:
                    throw new JsonRefusedException("there is more after the end of the message", 0);
            }
        }
    }

    /// <summary>The stream has ended: the message must have too.</summary>
    public void Finish()
    {
        if (_place != Place.End)
        {
            throw new JsonRefusedException("the message is cut off", 0);
        }
    }

    private void Take(bool good, string rule, Place then)
    {
        if (!good)
        {
            throw new JsonRefusedException(rule, 0);
        }

        _at++;
        _place = then;
    }

    private void Name(ReadOnlySpan<byte> text)
    {
        if (text[0] != '"')
        {
            throw new JsonRefusedException("a member's name should be here, in quotes", 0);
        }

        _name.Truncate(0);
        CanonicalJson.Append(text, _name);
        _place = Place.Colon;
    }

    private void Ignore(ReadOnlySpan<byte> value)
    {
        if (_place == Place.PairsValue)
        {
            if (_pairsSeen || !value.SequenceEqual("null"u8))
            {
                throw new JsonRefusedException(_pairsSeen ? "the member \"pairs\" is there twice" : "\"pairs\" is not an array", 0);
            }

            _pairsSeen = true;
        }

        _ignored.Clear();
        CanonicalJson.AppendCompact(value, _ignored);
        _place = Place.AfterMember;
    }

    private void Pair(ReadOnlySpan<byte> pair)
    {
        Key.Clear();
        Value.Clear();
        var text = new JsonText(pair);
        if (!text.TryEnterObject())
        {
            throw new JsonRefusedException("a pair is not an object", 0);
        }

        var first = true;
        while (text.NextMember(ref first, _name))
        {
            if (_name.Span.SequenceEqual("key"u8))
            {
                Once(Key);
                text.Value(Key, JsonForm.Canonical);
            }
            else if (_name.Span.SequenceEqual("value"u8))
            {
                Once(Value);
                text.Value(Value, JsonForm.Compact);
            }
            else
            {
                _ignored.Clear();
                text.Value(_ignored, JsonForm.Compact);
            }
        }

        text.End();
        if (Key.Length == 0 || Value.Length == 0)
        {
            throw new JsonRefusedException($"a pair has no \"{(Key.Length == 0 ? "key" : "value")}\"", 0);
        }
    }

    private static void Once(ByteBuffer part)
    {
        if (part.Length > 0)
        {
            throw new JsonRefusedException("a pair has the same member twice", 0);
        }
    }

    /// <summary>Finds the end of the value at hand without judging its inside; goes on where it stopped when more bytes have come.</summary>
    private bool TryValue(out ReadOnlySpan<byte> value)
    {
        var bytes = _window.Span;
        _scan = Math.Max(_scan, _at);
        var nested = bytes[_at] is (byte)'{' or (byte)'[' or (byte)'"';
        while (_scan < bytes.Length)
        {
            if (!nested)
            {
                var end = bytes[_scan..].IndexOfAny(ScalarEnds);
                _scan = end < 0 ? bytes.Length : _scan + end;
                if (end >= 0)
                {
                    return Found(out value);
                }
            }
            else if (_inString)
            {
                var stop = bytes[_scan..].IndexOfAny((byte)'"', (byte)'\\');
                if (stop < 0)
                {
                    _scan = bytes.Length;
                    break;
                }

                _scan += stop;
                if (bytes[_scan] == '\\')
                {
                    if (_scan + 1 >= bytes.Length)
                    {
                        break;
                    }

                    _scan += 2;
                    continue;
                }

                _scan++;
                _inString = false;
                if (_depth == 0)
                {
                    return Found(out value);
                }
            }
            else
            {
                var stop = bytes[_scan..].IndexOfAny(Brackets);
                if (stop < 0)
                {
                    _scan = bytes.Length;
                    break;
                }

                _scan += stop;
                switch (bytes[_scan++])
                {
                    case (byte)'"': _inString = true; break;
                    case (byte)'{' or (byte)'[': _depth++; break;
                    default:
                        if (--_depth <= 0)
                        {
                            return Found(out value);
                        }

                        break;
                }
            }
        }

        value = default;
        return false;
    }

    private bool Found(out ReadOnlySpan<byte> value)
    {
        value = _window.Span[_at.._scan];
        if (value.IsEmpty)
        {
            throw new JsonRefusedException("a value is missing", 0);
        }

        (_at, _depth, _inString) = (_scan, 0, false);
        return true;
    }

    private void SkipWhite()
    {
        var bytes = _window.Span;
        while (_at < bytes.Length && bytes[_at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')
        {
            _at++;
        }
    }
}
