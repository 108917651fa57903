using System.Buffers;
using System.Buffers.Text;

// Word count for Hadoop-style streaming, on bytes: `WordCount map` prints `word<TAB>1` for each word on stdin, `WordCount reduce` sums the counts of equal
// adjacent words. The first argument comes from the job's mapperArgs and reducerArgs; without one, the name of the file decides (…map… or …reduce…).
var role = args.Length > 0 ? args[0] : Path.GetFileName(Environment.ProcessPath ?? "");
using var input = new BufferedStream(Console.OpenStandardInput(), 1 << 16);
using var output = new BufferedStream(Console.OpenStandardOutput(), 1 << 16);
if (role.Contains("map", StringComparison.OrdinalIgnoreCase))
{
    Map(input, output);
}
else if (role.Contains("reduce", StringComparison.OrdinalIgnoreCase))
{
    Reduce(input, output);
}
else
{
    Console.Error.WriteLine("usage: WordCount map|reduce");
    return 2;
}

return 0;

static void Map(Stream input, Stream output)
{
    var space = SearchValues.Create(" \t\n\v\f\r"u8);
    var buffer = new byte[1 << 16];
    var kept = 0; // a word whose end has not been read yet stands at the front
    while (true)
    {
        if (kept == buffer.Length)
        {
            Array.Resize(ref buffer, buffer.Length * 2);
        }

        var got = input.Read(buffer.AsSpan(kept));
        var rest = buffer.AsSpan(0, kept + got);
        int end;
        while ((end = rest.IndexOfAny(space)) >= 0 || (got == 0 && rest.Length > 0))
        {
            var word = end < 0 ? rest : rest[..end];
            if (!word.IsEmpty)
            {
                output.Write(word);
                output.Write("\t1\n"u8);
            }

            rest = end < 0 ? default : rest[(end + 1)..];
        }

        if (got == 0)
        {
            return;
        }

        rest.CopyTo(buffer);
        kept = rest.Length;
    }
}

static void Reduce(Stream input, Stream output)
{
    var line = new ArrayBufferWriter<byte>();
    var word = new ArrayBufferWriter<byte>();
    long sum = 0;
    var any = false;
    while (ReadLine(input, line))
    {
        var tab = line.WrittenSpan.IndexOf((byte)'\t');
        var key = tab < 0 ? line.WrittenSpan : line.WrittenSpan[..tab];
        if (tab < 0 || !Utf8Parser.TryParse(line.WrittenSpan[(tab + 1)..], out long count, out _))
        {
            throw new InvalidDataException("a line is not word<TAB>count");
        }

        if (!any || !key.SequenceEqual(word.WrittenSpan))
        {
            Print(output, any, word.WrittenSpan, sum);
            word.ResetWrittenCount();
            word.Write(key);
            sum = 0;
            any = true;
        }

        sum += count;
    }

    Print(output, any, word.WrittenSpan, sum);
}

static void Print(Stream output, bool any, ReadOnlySpan<byte> word, long sum)
{
    if (!any)
    {
        return;
    }

    Span<byte> digits = stackalloc byte[20];
    Utf8Formatter.TryFormat(sum, digits, out var length);
    output.Write(word);
    output.WriteByte((byte)'\t');
    output.Write(digits[..length]);
    output.WriteByte((byte)'\n');
}

static bool ReadLine(Stream input, ArrayBufferWriter<byte> line)
{
    line.ResetWrittenCount();
    int next;
    while ((next = input.ReadByte()) >= 0 && next != '\n')
    {
        line.GetSpan(1)[0] = (byte)next;
        line.Advance(1);
    }

    return next >= 0 || line.WrittenCount > 0;
}
