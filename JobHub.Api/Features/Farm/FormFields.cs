using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using JobHub.Api.Http;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Farm;

/// <summary>
/// A form as the original workers send it (application/x-www-form-urlencoded), read by hand while it arrives: <c>log</c> is decoded as it comes, the other fields are short
/// texts, and those that nobody knows are read past.
/// </summary>
public sealed class FormFields : IAsyncDisposable
{
    /// <summary>Bytes of a field that is not the log.</summary>
    public const int MostBytes = 4096;

    private const int MostNameBytes = 64, MostFields = 100;

    private readonly Dictionary<string, string> _texts = new(StringComparer.Ordinal);
    private readonly ArrayBufferWriter<byte> _text = new(256);
    private readonly byte[] _decoded = new byte[16 << 10];
    private int _fill, _fields, _escape;
    private byte _high;
    private string? _name;

    private FormFields()
    {
    }

    /// <summary>What stood in <c>log</c>.</summary>
    public FormOutput Output { get; } = new();

    /// <summary>Reads the whole form, which the route's limit bounds.</summary>
    public static async Task<FormFields> ReadAsync(HttpRequest request, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (!string.IsNullOrEmpty(request.ContentType) && !request.ContentType.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase))
            throw new RefusedException(Problem.OfStatus(StatusCodes.Status415UnsupportedMediaType, request.HttpContext));
        var form = new FormFields();
        try
        {
            await form.FillAsync(request.BodyReader, ct);
            return form;
        }
        catch
        {
            await form.DisposeAsync();
            throw;
        }
    }

    /// <summary>A field that must be there.</summary>
    public string Required(string name) => Text(name) ?? throw new RefusedException(400, "missing-field", $"The form needs the field '{name}'.", name);

    /// <summary>A field, or null when it is absent or empty.</summary>
    public string? Text(string name) => _texts.TryGetValue(name, out var text) && text.Length > 0 ? text : null;

    /// <summary>A whole number that must be there.</summary>
    public long Number(string name) =>
        long.TryParse(Required(name), NumberStyles.AllowLeadingSign | NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out var number)
            ? number : throw Problems.InvalidField(name, $"'{name}' must be a whole number.");

    /// <summary>An amount that may be there; Python may have written it as a fraction.</summary>
    public long? Amount(string name)
    {
        if (Text(name) is not { } text) return null;
        if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var amount) && double.IsFinite(amount)) return (long)Math.Clamp(amount, 0, 1L << 52);
        throw Problems.InvalidField(name, $"'{name}' must be a number.");
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => Output.DisposeAsync();

    private async Task FillAsync(PipeReader body, CancellationToken ct)
    {
        while (true)
        {
            var read = await body.ReadAsync(ct);
            foreach (var segment in read.Buffer)
            {
                Take(segment.Span);
                await Output.SpillAsync(ct);
            }

            body.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted) break;
        }

        if (_escape != 0) throw BadEscape();
        EndField();
        await Output.CompleteAsync(ct);
    }

    private void Take(ReadOnlySpan<byte> bytes)
    {
        foreach (var one in bytes)
        {
            if (_escape > 0)
            {
                var digit = char.IsAsciiHexDigit((char)one) ? Convert.ToInt32(((char)one).ToString(), 16) : throw BadEscape();
                if (_escape++ == 1) _high = (byte)(digit << 4);
                else
                {
                    _escape = 0;
                    Add((byte)(_high | digit));
                }

                continue;
            }

            switch (one)
            {
                case (byte)'%': _escape = 1; break;
                case (byte)'&': EndField(); break;
                case (byte)'=' when _name is null: EndName(); break;
                case (byte)'+': Add((byte)' '); break;
                default: Add(one); break;
            }
        }

        Flush();
    }

    private void Add(byte one)
    {
        if (_fill == _decoded.Length) Flush();
        _decoded[_fill++] = one;
    }

    private void Flush()
    {
        if (_fill == 0) return;
        var decoded = _decoded.AsSpan(0, _fill);
        _fill = 0;
        if (_name == "log") Output.Write(decoded);
        else
        {
            if (_text.WrittenCount + decoded.Length > (_name is null ? MostNameBytes : MostBytes))
                throw Problems.InvalidField(_name ?? "form", _name is null ? $"A field's name has at most {MostNameBytes} bytes." : $"'{_name}' has more than {MostBytes} bytes.");
            _text.Write(decoded);
        }
    }

    private void EndName()
    {
        Flush();
        _name = Encoding.UTF8.GetString(_text.WrittenSpan);
        _text.ResetWrittenCount();
        if (_name == "log" && Output.Length > 0) throw new RefusedException(400, "repeated-field", "The field 'log' is given twice.", "log");
    }

    private void EndField()
    {
        Flush();
        // A name alone is a field without a value; nothing at all is what stands between two ampersands.
        if (_name is null && _text.WrittenCount > 0) EndName();
        if (_name is { } name)
        {
            if (++_fields > MostFields) throw new RefusedException(400, "invalid-form", $"The form has more than {MostFields} fields.");
            if (name != "log") _texts[name] = Encoding.UTF8.GetString(_text.WrittenSpan);
        }

        _text.ResetWrittenCount();
        _name = null;
    }

    private static RefusedException BadEscape() => new(400, "invalid-form", "The form has a '%' that two hexadecimal digits do not follow.");
}
