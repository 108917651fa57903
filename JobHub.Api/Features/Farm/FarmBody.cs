using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using JobHub.Api.Http;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Farm;

/// <summary>Reads one value of a body, its first token being the reader's current one.</summary>
public delegate T FarmRead<out T>(ref Utf8JsonReader reader);

/// <summary>
/// Bodies of this family: JSON whatever the Content-Type says, trailing commas and all, and for every method. They are read token by token into what the route takes, so a
/// large one costs what it says and no tree beside it. The first thing that is not as it should be is a 400 that names it.
/// </summary>
public static class FarmBody
{
    /// <summary>The limit of a route that takes many jobs at once, in bytes.</summary>
    public const long LargeLimit = 64 << 20;

    /// <summary>Jobs that one call makes or changes.</summary>
    public const int MostJobs = 50_000;

    /// <summary>The refusal of more.</summary>
    public static RefusedException TooMany() => new(413, "too-many-jobs", $"One call takes up to {MostJobs} jobs, and {LargeLimit} bytes where jobs are made or changed. Send the rest in another.");

    private static readonly JsonReaderOptions Options = new() { AllowTrailingCommas = true, MaxDepth = 16 };

    /// <summary>What was sent and the SHA-256 of its bytes; null when nothing was.</summary>
    public static async Task<JsonBody<T>?> ReadAsync<T>(HttpRequest request, FarmRead<T> read, CancellationToken ct) where T : class
    {
        ArgumentNullException.ThrowIfNull(request);
        var limit = request.HttpContext.GetEndpoint()?.Metadata.GetMetadata<BodyLimit>()?.MaxRequestBodySize ?? JsonBody.DefaultLimit;
        using var bytes = await JsonBody.BoundedAsync(request, limit, ct);
        var body = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        if (body.StartsWith(Encoding.UTF8.Preamble)) body = body[Encoding.UTF8.Preamble.Length..];
        return body.Trim(" \t\r\n"u8).IsEmpty ? null : new JsonBody<T>(Parse(body, read), SHA256.HashData(body));
    }

    /// <summary>Reads one whole JSON text.</summary>
    public static T Parse<T>(ReadOnlySpan<byte> body, FarmRead<T> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        var reader = new Utf8JsonReader(body, Options);
        try
        {
            reader.Read();
            var value = read(ref reader);
            // What stands behind the value is looked at before anything is done with it.
            while (reader.Read())
            {
            }

            return value;
        }
        catch (JsonException fault)
        {
            throw new RefusedException(new Problem(400, "invalid-json", Explain(body, fault)), fault);
        }
    }

    private static string Explain(ReadOnlySpan<byte> body, JsonException fault)
    {
        if (fault.LineNumber is not { } line || fault.BytePositionInLine is not { } column) return "The body is not valid JSON.";
        var place = $"line {line + 1}, byte {column + 1}";
        return BareName(body, line, column) is { } name
            ? $"The body is not valid JSON: names of members stand in double quotes. Write \"{name}\" (see {place})."
            : $"The body is not valid JSON: see {place}.";
    }

    /// <summary>The name without quotes at the place where reading stopped; null when something else is wrong there.</summary>
    private static string? BareName(ReadOnlySpan<byte> body, long line, long column)
    {
        var start = 0;
        for (; line > 0; line--) start += body[start..].IndexOf((byte)'\n') + 1;
        start = (int)Math.Min(body.Length, start + column);
        while (start > 0 && IsNamePart(body[start - 1])) start--;
        // What stands there is a name when a colon follows it.
        var rest = body[start..];
        var length = 0;
        while (length < Math.Min(rest.Length, 65) && IsNamePart(rest[length])) length++;
        return length is > 0 and <= 64 && rest[length..].TrimStart(" \t\r\n"u8) is [(byte)':', ..] ? Encoding.UTF8.GetString(rest[..length]).Trim('\'') : null;
    }

    private static bool IsNamePart(byte value) => char.IsAsciiLetterOrDigit((char)value) || value is (byte)'_' or (byte)'-' or (byte)'$' or (byte)'\'';
}
