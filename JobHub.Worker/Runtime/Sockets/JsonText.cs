using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>How a value is written again.</summary>
internal enum JsonForm
{
    /// <summary>As it was, without white space: numbers, escapes and the order of members stay.</summary>
    Compact,
    /// <summary>The one text that all equal values have.</summary>
    Canonical,
}

/// <summary>
/// A cursor over one whole JSON text (RFC 8259, strictly) that checks and rewrites it in one pass. Every method throws <see cref="JsonRefusedException"/>
/// on text that is not JSON, not UTF-8, or nested deeper than <see cref="CanonicalJson.MaxDepth"/>.
/// </summary>
internal ref struct JsonText(ReadOnlySpan<byte> text)
{
    private static readonly SearchValues<byte> StringStops = SearchValues.Create(StopBytes());
    private static readonly SearchValues<byte> NumberBytes = SearchValues.Create("+-.0123456789eE"u8);

    [ThreadStatic] private static MemberStack? s_members;

    private readonly ReadOnlySpan<byte> _text = text;
    private int _at;

    public readonly int Offset => _at;

    /// <summary>Nothing but white space may be left.</summary>
    public void End()
    {
        SkipWhite();
        if (_at < _text.Length)
        {
            throw Refused("There is more after the end of the value");
        }
    }

    /// <summary>Enters an object; false when the next value is something else, which stays unread.</summary>
    public bool TryEnterObject()
    {
        SkipWhite();
        if (_at >= _text.Length || _text[_at] != '{')
        {
            return false;
        }

        _at++;
        return true;
    }

    /// <summary>Reads the next member's name (its canonical text without quotes) up to its value; false at the object's end, which is passed.</summary>
    public bool NextMember(ref bool first, ByteBuffer name)
    {
        if (TryTake('}'))
        {
            return false;
        }

        if (!first)
        {
            Take(',');
            SkipWhite();
        }

        first = false;
        name.Truncate(0);
        String(name, JsonForm.Canonical);
        name.Truncate(name.Length - 1);
        name.Consume(1);
        Take(':');
        return true;
    }

    /// <summary>Passes `null`; false when the next value is something else.</summary>
    public bool TryNull()
    {
        SkipWhite();
        if (!_text[_at..].StartsWith("null"u8))
        {
            return false;
        }

        _at += 4;
        return true;
    }

    /// <summary>Reads one value and appends it in the given form.</summary>
    public void Value(ByteBuffer output, JsonForm form) => Value(output, form, 1);

    private void Value(ByteBuffer output, JsonForm form, int depth)
    {
        SkipWhite();
        if (_at >= _text.Length)
        {
            throw Refused("The text ends where a value should be");
        }

        switch (_text[_at])
        {
            case (byte)'{': Object(output, form, Deeper(depth)); break;
            case (byte)'[': Array(output, form, Deeper(depth)); break;
            case (byte)'"': String(output, form); break;
            case (byte)'t': Literal("true"u8, output); break;
            case (byte)'f': Literal("false"u8, output); break;
            case (byte)'n': Literal("null"u8, output); break;
            default: Number(output, form); break;
        }
    }

    private readonly int Deeper(int depth) => depth <= CanonicalJson.MaxDepth ? depth + 1
        : throw Refused($"Values are nested deeper than {CanonicalJson.MaxDepth}");

    private void Array(ByteBuffer output, JsonForm form, int depth)
    {
        _at++;
        output.Append((byte)'[');
        if (!TryTake(']'))
        {
            Value(output, form, depth);
            while (!TryTake(']'))
            {
                Take(',');
                output.Append((byte)',');
                Value(output, form, depth);
            }
        }

        output.Append((byte)']');
    }

    private void Object(ByteBuffer output, JsonForm form, int depth)
    {
        _at++;
        output.Append((byte)'{');
        var members = form == JsonForm.Canonical ? s_members ??= new() : null;
        var from = members?.Count ?? 0;
        var first = true;
        try
        {
            while (!TryTake('}'))
            {
                if (!first)
                {
                    Take(',');
                    output.Append((byte)',');
                }

                first = false;
                SkipWhite();
                var start = output.Length;
                String(output, form);
                var nameEnd = output.Length;
                Take(':');
                output.Append((byte)':');
                Value(output, form, depth);
                members?.Push(new(start, nameEnd, output.Length));
            }

            if (members is not null && !members.Arrange(from, output))
            {
                throw Refused("An object has the same member twice");
            }
        }
        finally
        {
            members?.Pop(from);
        }

        output.Append((byte)'}');
    }

    private void Literal(ReadOnlySpan<byte> word, ByteBuffer output)
    {
        if (!_text[_at..].StartsWith(word))
        {
            throw Refused("This is not a JSON value");
        }

        _at += word.Length;
        output.Append(word);
    }

    private void Number(ByteBuffer output, JsonForm form)
    {
        var rest = _text[_at..];
        var length = rest.IndexOfAnyExcept(NumberBytes);
        var number = length < 0 ? rest : rest[..length];
        if (!IsNumber(number))
        {
            throw Refused("This is not a JSON value");
        }

        if (form == JsonForm.Canonical)
        {
            JsonNumber.Append(number, output);
        }
        else
        {
            output.Append(number);
        }

        _at += number.Length;
    }

    private static bool IsNumber(ReadOnlySpan<byte> text)
    {
        var at = 0;
        if (at < text.Length && text[at] == '-')
        {
            at++;
        }

        var integer = Digits(text, ref at);
        if (integer == 0 || (integer > 1 && text[at - integer] == '0'))
        {
            return false;
        }

        if (at < text.Length && text[at] == '.')
        {
            at++;
            if (Digits(text, ref at) == 0)
            {
                return false;
            }
        }

        if (at < text.Length && text[at] is (byte)'e' or (byte)'E')
        {
            at++;
            if (at < text.Length && text[at] is (byte)'+' or (byte)'-')
            {
                at++;
            }

            if (Digits(text, ref at) == 0)
            {
                return false;
            }
        }

        return at == text.Length;
    }

    private static int Digits(ReadOnlySpan<byte> text, ref int at)
    {
        var from = at;
        while (at < text.Length && text[at] is >= (byte)'0' and <= (byte)'9')
        {
            at++;
        }

        return at - from;
    }

    private void String(ByteBuffer output, JsonForm form)
    {
        if (_at >= _text.Length || _text[_at] != '"')
        {
            throw Refused("A member's name should be here, in quotes");
        }

        _at++;
        output.Append((byte)'"');
        while (true)
        {
            var rest = _text[_at..];
            var stop = rest.IndexOfAny(StringStops);
            if (stop < 0)
            {
                throw Refused("The text ends inside a string");
            }

            // An escape is ASCII, so no UTF-8 sequence spans it and each stretch can be checked alone.
            var stretch = rest[..stop];
            if (!Utf8.IsValid(stretch))
            {
                throw Refused("A string is not UTF-8");
            }

            output.Append(stretch);
            _at += stop;
            switch (_text[_at])
            {
                case (byte)'"':
                    _at++;
                    output.Append((byte)'"');
                    return;
                case (byte)'\\':
                    Escape(output, form);
                    break;
                default:
                    throw Refused("A string has a control character that is not escaped");
            }
        }
    }

    private void Escape(ByteBuffer output, JsonForm form)
    {
        var start = _at++;
        var kind = _at < _text.Length ? (char)_text[_at++] : '\0';
        var code = kind switch
        {
            '"' or '\\' or '/' => kind,
            'b' => '\b',
            'f' => '\f',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => Hex(),
            _ => throw Refused("A string has an unknown escape"),
        };
        if (form == JsonForm.Compact)
        {
            output.Append(_text[start.._at]);
            return;
        }

        if (char.IsHighSurrogate(code) && _text[_at..].StartsWith("\\u"u8))
        {
            var before = _at;
            _at += 2;
            var low = Hex();
            if (char.IsLowSurrogate(low))
            {
                output.Advance(new Rune(code, low).EncodeToUtf8(output.Room(4)));
                return;
            }

            _at = before;
        }

        CanonicalChar(code, output);
    }

    private char Hex()
    {
        if (_text.Length - _at < 4)
        {
            throw Refused("A string has an unfinished escape");
        }

        var value = 0;
        for (var i = 0; i < 4; i++)
        {
            var digit = _text[_at++];
            value = (value << 4) | digit switch
            {
                >= (byte)'0' and <= (byte)'9' => digit - '0',
                >= (byte)'a' and <= (byte)'f' => digit - 'a' + 10,
                >= (byte)'A' and <= (byte)'F' => digit - 'A' + 10,
                _ => throw Refused("A string has an escape with a wrong hexadecimal digit"),
            };
        }

        return (char)value;
    }

    /// <summary>The fixed escaping: the two-character escapes where JSON has one, \u00xx for other controls, \udxxx for half a surrogate pair, else plain UTF-8.</summary>
    private static void CanonicalChar(char code, ByteBuffer output)
    {
        switch (code)
        {
            case '"': output.Append("\\\""u8); break;
            case '\\': output.Append("\\\\"u8); break;
            case '\b': output.Append("\\b"u8); break;
            case '\f': output.Append("\\f"u8); break;
            case '\n': output.Append("\\n"u8); break;
            case '\r': output.Append("\\r"u8); break;
            case '\t': output.Append("\\t"u8); break;
            case < ' ' or (>= '\ud800' and <= '\udfff'):
                output.Append("\\u"u8);
                for (var shift = 12; shift >= 0; shift -= 4)
                {
                    output.Append("0123456789abcdef"u8[(code >> shift) & 15]);
                }

                break;
            default: output.Advance(new Rune(code).EncodeToUtf8(output.Room(4))); break;
        }
    }

    private bool TryTake(char expected)
    {
        SkipWhite();
        if (_at >= _text.Length || _text[_at] != expected)
        {
            return false;
        }

        _at++;
        return true;
    }

    private void Take(char expected)
    {
        if (!TryTake(expected))
        {
            throw Refused($"'{expected}' should be here");
        }
    }

    private void SkipWhite()
    {
        while (_at < _text.Length && _text[_at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')
        {
            _at++;
        }
    }

    private readonly JsonRefusedException Refused(string what) => new($"{what} (byte {_at}).", _at);

    private static byte[] StopBytes() => [.. Enumerable.Range(0, 32).Select(i => (byte)i), (byte)'"', (byte)'\\'];
}
