using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace JobHub.Api.Features.Farm;

/// <summary>Bytes as one JSON string, written as they are read. What is not UTF-8 reads as U+FFFD.</summary>
public sealed class JsonTextResult(Func<CancellationToken, IAsyncEnumerable<ReadOnlyMemory<byte>>> read) : IResult
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        ArgumentNullException.ThrowIfNull(httpContext);
        var response = httpContext.Response;
        var ct = httpContext.RequestAborted;
        response.ContentType = "application/json; charset=utf-8";
        response.Headers.CacheControl = "no-store";
        // A character may be cut where one piece ends and the next begins; the decoder remembers its first part.
        var decoder = Encoding.UTF8.GetDecoder();
        var characters = new char[16 << 10];
        await using var json = new Utf8JsonWriter(response.BodyWriter, Options);
        await foreach (var piece in read(ct).WithCancellation(ct))
        {
            for (var rest = piece; !rest.IsEmpty;)
            {
                decoder.Convert(rest.Span, characters, flush: false, out var used, out var made, out _);
                rest = rest[used..];
                json.WriteStringValueSegment(characters.AsSpan(0, made), isFinalSegment: false);
                json.Flush();
                await response.BodyWriter.FlushAsync(ct);
            }
        }

        decoder.Convert([], characters, flush: true, out _, out var last, out _);
        json.WriteStringValueSegment(characters.AsSpan(0, last), isFinalSegment: true);
        await json.FlushAsync(ct);
    }
}
