using System.Globalization;
using System.Numerics;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// One text for one decimal value, exact at any size: the digits without zeros at either end decide, not how they were written.
/// Plain notation where it stays short (1200, 0.05), else a mantissa and an exponent (1.5e30).
/// </summary>
internal static class JsonNumber
{
    // With a plain tail of at most this many zeros the text stays readable; the limit is a function of the value, so the text is unique.
    private const int PlainZeros = 21;
    private const int PlainLeadingZeros = 6;
    // 1e(10^1000) has no use but to keep a worker busy.
    private const int MaxExponentDigits = 1000;

    /// <summary>Appends the canonical text of a number that is known to follow JSON's grammar.</summary>
    public static void Append(ReadOnlySpan<byte> text, ByteBuffer output)
    {
        var negative = text[0] == '-';
        var body = negative ? text[1..] : text;
        var exponentAt = body.IndexOfAny((byte)'e', (byte)'E');
        var mantissa = exponentAt < 0 ? body : body[..exponentAt];
        var pointAt = mantissa.IndexOf((byte)'.');
        if (exponentAt < 0 && pointAt < 0 && body.Length <= PlainZeros)
        {
            output.Append(body[0] == '0' ? "0"u8 : text);
            return;
        }

        // The significant digits go to the end of the output first and are moved into their final shape there.
        var start = output.Length;
        if (negative)
        {
            output.Append((byte)'-');
        }

        var digitsAt = output.Length;
        var integer = (pointAt < 0 ? mantissa : mantissa[..pointAt]).TrimStart((byte)'0');
        var fraction = pointAt < 0 ? default : mantissa[(pointAt + 1)..];
        output.Append(integer);
        output.Append(integer.IsEmpty ? fraction.TrimStart((byte)'0') : fraction);
        var trimmed = output.Span[digitsAt..].TrimEnd((byte)'0').Length;
        if (trimmed == 0)
        {
            output.Truncate(start);
            output.Append((byte)'0');
            return;
        }

        var shift = (long)(output.Length - digitsAt - trimmed) - fraction.Length; // value = digits × 10^(shift + exponent)
        output.Truncate(digitsAt + trimmed);
        var exponentText = exponentAt < 0 ? default : body[(exponentAt + 1)..];
        if (TryExponent(exponentText, out var exponent))
        {
            Shape(output, digitsAt, trimmed, shift + exponent);
        }
        else
        {
            Scientific(output, digitsAt, trimmed, LargeExponent(exponentText) + shift);
        }
    }

    private static void Shape(ByteBuffer output, int at, int digits, long power)
    {
        var point = digits + power; // digits before the decimal point
        if (power is >= 0 and <= PlainZeros)
        {
            output.AppendZeros((int)power);
        }
        else if (power < 0 && point > 0)
        {
            Insert(output, at + (int)point, "."u8);
        }
        else if (power < 0 && point > -PlainLeadingZeros)
        {
            Insert(output, at, "0.000000"u8[..(2 - (int)point)]);
        }
        else
        {
            Scientific(output, at, digits, power);
        }
    }

    private static void Scientific(ByteBuffer output, int at, int digits, BigInteger power)
    {
        if (digits > 1)
        {
            Insert(output, at + 1, "."u8);
        }

        output.Append((byte)'e');
        var exponent = power + digits - 1;
        Span<char> text = stackalloc char[MaxExponentDigits + 32];
        exponent.TryFormat(text, out var written);
        foreach (var digit in text[..written])
        {
            output.Append((byte)digit);
        }
    }

    private static void Insert(ByteBuffer output, int at, ReadOnlySpan<byte> bytes)
    {
        var tail = output.Length - at;
        output.Room(bytes.Length);
        output.Array.AsSpan(at, tail).CopyTo(output.Array.AsSpan(at + bytes.Length));
        bytes.CopyTo(output.Array.AsSpan(at));
        output.Advance(bytes.Length);
    }

    private static bool TryExponent(ReadOnlySpan<byte> text, out long exponent)
    {
        exponent = 0;
        var negative = !text.IsEmpty && text[0] == '-';
        var digits = text.TrimStart("+-"u8).TrimStart((byte)'0');
        if (digits.Length > 17)
        {
            return false;
        }

        foreach (var digit in digits)
        {
            exponent = (exponent * 10) + (digit - '0');
        }

        exponent = negative ? -exponent : exponent;
        return true;
    }

    private static BigInteger LargeExponent(ReadOnlySpan<byte> text)
    {
        var digits = text.TrimStart("+-"u8).TrimStart((byte)'0');
        if (digits.Length > MaxExponentDigits)
        {
            throw new JsonRefusedException($"An exponent has more than {MaxExponentDigits} digits.", 0);
        }

        var value = BigInteger.Parse(System.Text.Encoding.ASCII.GetString(digits), NumberStyles.None, CultureInfo.InvariantCulture);
        return text[0] == '-' ? -value : value;
    }
}
