using System.Buffers.Text;
using System.Text;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>
/// A program's stderr: log, except the lines `reporter:counter:group,name,n` and `reporter:status:text`. Bytes are logged as they come; only what may
/// become a reporter line waits for its end.
/// </summary>
internal sealed class ErrorReader(AttemptContext context)
{
    /// <summary>A longer line is no report.</summary>
    private const int MaxReport = 8 << 10;
    private const int KeptLine = 500;

    private readonly byte[] _last = new byte[KeptLine];
    private int _lastLength;
    private bool _inLine;

    /// <summary>The last line that was not empty, cut to 500 bytes; empty when there was none.</summary>
    public string LastLine => Encoding.UTF8.GetString(_last, 0, _lastLength).Trim();

    public void Read(ProgramOutput output)
    {
        var buffer = new byte[64 << 10];
        var used = 0;
        while (true)
        {
            var got = output.Read(buffer.AsSpan(used));
            if (got <= 0) break;
            used += got;
            var taken = Take(buffer.AsSpan(0, used));
            buffer.AsSpan(taken, used - taken).CopyTo(buffer);
            used -= taken;
        }

        if (used > 0 && !TryReport(buffer.AsSpan(0, used))) Log(buffer.AsSpan(0, used));
    }

    private int Take(ReadOnlySpan<byte> bytes)
    {
        var at = 0;
        var logged = 0;
        while (at < bytes.Length)
        {
            var length = bytes[at..].IndexOf((byte)'\n');
            var line = length < 0 ? bytes[at..] : bytes.Slice(at, length);
            var mayReport = !_inLine && MayReport(line);
            if (length < 0)
            {
                if (mayReport && line.Length < MaxReport)
                {
                    Log(bytes[logged..at]);
                    return at;
                }

                _inLine = true;
                break;
            }

            if (mayReport)
            {
                Log(bytes[logged..at]);
                logged = TryReport(line) ? at + length + 1 : at;
            }

            at += length + 1;
            _inLine = false;
        }

        Log(bytes[logged..]);
        return bytes.Length;
    }

    private static bool MayReport(ReadOnlySpan<byte> line)
    {
        var prefix = "reporter:"u8;
        return line.Length < prefix.Length ? prefix.StartsWith(line) : line.StartsWith(prefix);
    }

    private bool TryReport(ReadOnlySpan<byte> line)
    {
        line = line.TrimEnd("\r\n"u8);
        if (line.StartsWith("reporter:status:"u8))
        {
            context.Status = Encoding.UTF8.GetString(line["reporter:status:".Length..]);
            return true;
        }

        if (!line.StartsWith("reporter:counter:"u8)) return false;
        var rest = line["reporter:counter:".Length..];
        var first = rest.IndexOf((byte)',');
        var last = rest.LastIndexOf((byte)',');
        if (first <= 0 || last <= first + 1) return false;
        var number = rest[(last + 1)..].Trim((byte)' ');
        if (!Utf8Parser.TryParse(number, out long by, out var read) || read != number.Length) return false;
        context.Count($"{Encoding.UTF8.GetString(rest[..first])}\t{Encoding.UTF8.GetString(rest[(first + 1)..last])}", by);
        return true;
    }

    private void Log(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty) return;
        context.Log.Write(bytes);
        var text = bytes.TrimEnd("\r\n \t"u8);
        if (text.IsEmpty) return;
        var newline = text.LastIndexOf((byte)'\n');
        var line = text[(newline + 1)..];
        line = line[..Math.Min(line.Length, KeptLine)];
        line.CopyTo(_last);
        _lastLength = line.Length;
    }
}
