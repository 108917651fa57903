using System.Globalization;
using System.Numerics;
using System.Text;
using JobHub.Worker.Runtime.Sockets;
using Xunit;

namespace JobHub.Worker.Tests.Sockets;

public sealed class CanonicalJsonTests
{
    [Theory]
    [InlineData(" null ", "null")]
    [InlineData("[ 1 , true,\tfalse ]", "[1,true,false]")]
    [InlineData("{\"b\":1,\"a\":{\"d\":2,\"c\":3}}", "{\"a\":{\"c\":3,\"d\":2},\"b\":1}")]
    [InlineData("{}", "{}")]
    [InlineData("1.0", "1")]
    [InlineData("1e0", "1")]
    [InlineData("10e-1", "1")]
    [InlineData("0.1E+1", "1")]
    [InlineData("-0.0e99", "0")]
    [InlineData("-0", "0")]
    [InlineData("0e99999999999999999999999", "0")]
    [InlineData("1200", "1200")]
    [InlineData("1.25e3", "1250")]
    [InlineData("0.00001", "0.00001")]
    [InlineData("123e-2", "1.23")]
    [InlineData("1e21", "1000000000000000000000")]
    [InlineData("1e22", "1e22")]
    [InlineData("10000000000000000000000", "1e22")]
    [InlineData("-12345e40", "-1.2345e44")]
    [InlineData("1e-30", "1e-30")]
    [InlineData("1e123456789012345678901234567890", "1e123456789012345678901234567890")]
    [InlineData("0.10e123456789012345678901234567891", "1e123456789012345678901234567890")]
    [InlineData("123456789012345678901234567890.50", "123456789012345678901234567890.5")]
    [InlineData("\"\\u0041\\/\\u00e9\\ud83d\\ude00\\u0022\\u005c\"", "\"A/é😀\\\"\\\\\"")]
    [InlineData("\"\\u0008\\u000A\\u001F\\u007f\"", "\"\\b\\n\\u001f\u007f\"")]
    [InlineData("\"\\uD83D\"", "\"\\ud83d\"")]
    [InlineData("\"\\uDE00\\ud83d\"", "\"\\ude00\\ud83d\"")]
    [InlineData("{\"\\n\":1,\"\\u0001\":2,\"A\":3}", "{\"\\u0001\":2,\"\\n\":1,\"A\":3}")]
    [InlineData("{\"\uffee\":1,\"😀\":2}", "{\"\uffee\":1,\"😀\":2}")]
    public void Canonical_OfAValue_IsItsOneText(string json, string expected) => Assert.Equal(expected, Text(json));

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("01")]
    [InlineData("-")]
    [InlineData("+1")]
    [InlineData("1.")]
    [InlineData(".5")]
    [InlineData("1e")]
    [InlineData("NaN")]
    [InlineData("nul")]
    [InlineData("[1,]")]
    [InlineData("[1 2]")]
    [InlineData("{\"a\":1,}")]
    [InlineData("{a:1}")]
    [InlineData("{\"a\" 1}")]
    [InlineData("{\"a\":1,\"\\u0061\":1}")]
    [InlineData("{\"b\":1,\"a\":1,\"b\":2}")]
    [InlineData("\"\\x\"")]
    [InlineData("\"\\u12g4\"")]
    [InlineData("\"\t\"")]
    [InlineData("\"a")]
    [InlineData("1 2")]
    [InlineData("{} x")]
    [InlineData("[")]
    public void Canonical_OfWhatIsNotJson_IsRefused(string json) => Assert.Throws<JsonRefusedException>(() => Text(json));

    [Fact]
    public void Canonical_OfBytesThatAreNotUtf8_IsRefused() => Assert.Throws<JsonRefusedException>(() => CanonicalJson.Of([(byte)'"', 0xff, (byte)'"']));

    [Fact]
    public void Canonical_AtTheDepthLimit_IsTakenAndBeyondItRefused()
    {
        string Nested(int depth) => new string('[', depth) + new string(']', depth);
        Assert.Equal(Nested(CanonicalJson.MaxDepth), Text(Nested(CanonicalJson.MaxDepth)));
        Assert.Throws<JsonRefusedException>(() => Text(Nested(CanonicalJson.MaxDepth + 1)));
        Assert.Throws<JsonRefusedException>(() => Text(Nested(1_000_000)));
    }

    [Fact]
    public void Compact_OfAValue_KeepsItsWriting()
    {
        var output = new ByteBuffer();
        CanonicalJson.AppendCompact(" { \"b\" : 1.0 , \"a\\u0041\" : [ 1e2 , \"x y\" ] } "u8, output);
        Assert.Equal("{\"b\":1.0,\"a\\u0041\":[1e2,\"x y\"]}", Encoding.UTF8.GetString(output.Span));
    }

    [Fact]
    public void Canonical_OfNumbersWrittenInAnyWay_IsEqualExactlyWhenTheirValuesAre()
    {
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var (digits, exponent) = (random.Next(-20, 21) * (BigInteger)Math.Pow(10, random.Next(0, 8)), random.Next(-6, 7));
            var (otherDigits, otherExponent) = (random.Next(-20, 21) * (BigInteger)Math.Pow(10, random.Next(0, 8)), random.Next(-6, 7));
            var equal = digits * BigInteger.Pow(10, exponent + 6) == otherDigits * BigInteger.Pow(10, otherExponent + 6);
            var (a, b) = (Written(random, digits, exponent), Written(random, otherDigits, otherExponent));
            Assert.True(equal == (Text(a) == Text(b)), $"{a} {b} -> {Text(a)} {Text(b)}");
            Assert.Equal(Text(a), Text(Text(a)));
            Assert.Equal(double.Parse(a, CultureInfo.InvariantCulture) + 0.0, double.Parse(Text(a), CultureInfo.InvariantCulture) + 0.0);
        }
    }

    [Fact]
    public void Canonical_OfValuesWrittenInAnyWay_IsTheSame()
    {
        var random = new Random(2);
        for (var i = 0; i < 3000; i++)
        {
            var seed = random.Next();
            var texts = Enumerable.Range(0, 3).Select(style => Written(new Random(seed), new Random(style * 7919), 0)).ToArray();
            var canonical = Text(texts[0]);
            Assert.All(texts, text => Assert.Equal(canonical, Text(text)));
            Assert.Equal(canonical, Text(canonical));
            using var ours = System.Text.Json.JsonDocument.Parse(canonical);
            using var theirs = System.Text.Json.JsonDocument.Parse(texts[1]);
            Assert.True(System.Text.Json.JsonElement.DeepEquals(ours.RootElement, theirs.RootElement), texts[1]);
        }
    }

    private static string Text(string json) => Encoding.UTF8.GetString(CanonicalJson.Of(Encoding.UTF8.GetBytes(json)));

    private static string Written(Random random, BigInteger digits, int exponent)
    {
        var sign = digits.Sign < 0 ? "-" : "";
        var text = BigInteger.Abs(digits).ToString();
        var fraction = random.Next(0, 4);
        var padded = text.PadLeft(fraction + 1, '0');
        var mantissa = fraction == 0 ? text : $"{padded[..^fraction]}.{padded[^fraction..]}";
        if (fraction > 0 && random.Next(2) == 0)
        {
            mantissa += new string('0', random.Next(3));
        }

        var power = exponent + fraction;
        return power == 0 && random.Next(2) == 0 ? sign + mantissa : $"{sign}{mantissa}{(random.Next(2) == 0 ? 'e' : 'E')}{(power >= 0 && random.Next(2) == 0 ? "+" : "")}{power}";
    }

    /// <summary>A value fixed by the first generator in a writing fixed by the second.</summary>
    private static string Written(Random value, Random style, int depth)
    {
        string Space() => style.Next(3) == 0 ? " \n" : "";
        switch (value.Next(depth > 3 ? 4 : 6))
        {
            case 0: return "null";
            case 1: return value.Next(2) == 0 ? "true" : "false";
            case 2: return Written(style, value.Next(-999, 1000), value.Next(-3, 4));
            case 3: return Quoted(value, style);
            case 4:
                return $"[{Space()}{string.Join(',', Enumerable.Range(0, value.Next(4)).Select(_ => Space() + Written(value, style, depth + 1)))}]";
            default:
                var members = new List<string>();
                var names = new HashSet<string>();
                for (var n = value.Next(6); n > 0; n--)
                {
                    var seed = value.Next();
                    if (names.Add(Text(Quoted(new Random(seed), new Random(0)))))
                    {
                        members.Add($"{Quoted(new Random(seed), style)}{Space()}:{Written(value, style, depth + 1)}");
                    }
                    else
                    {
                        Written(value, style, depth + 1);
                    }
                }

                style.Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(members));
                return $"{{{string.Join(',', members)}{Space()}}}";
        }
    }

    private static string Quoted(Random value, Random style)
    {
        var text = new StringBuilder("\"");
        for (var n = value.Next(5); n > 0; n--)
        {
            var code = "ab\"\\/\n\t\u0001é\uffee😀"[value.Next(9)];
            _ = code switch
            {
                '/' => text.Append(style.Next(2) == 0 ? "/" : "\\/"),
                '"' or '\\' => text.Append(style.Next(2) == 0 ? $"\\{code}" : $"\\u{(int)code:x4}"),
                '\n' => text.Append(style.Next(2) == 0 ? "\\n" : "\\u000A"),
                < ' ' => text.Append($"\\u{(int)code:X4}"),
                _ => text.Append(style.Next(2) == 0 ? code.ToString() : $"\\u{(int)code:x4}"),
            };
        }

        return text.Append('"').ToString();
    }
}
