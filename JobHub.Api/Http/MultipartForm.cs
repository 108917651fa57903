using System.Text;
using JobHub.Engine.Storage;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Http;

/// <summary>One part of a form, valid until the next is asked for.</summary>
/// <param name="Name">The form field.</param>
/// <param name="FileName">As sent (<c>filename*</c> before <c>filename</c>), folders and all; null for a plain value.</param>
public sealed record FormPart(string Name, string? FileName, Stream Body)
{
    /// <summary>A plain value. One over <paramref name="limit"/> bytes is a 413.</summary>
    public async Task<string> ReadTextAsync(int limit, CancellationToken ct)
    {
        var buffer = new byte[Math.Min(limit, 4096)];
        var filled = 0;
        while (true)
        {
            if (filled == buffer.Length)
            {
                if (filled > limit) break;
                Array.Resize(ref buffer, (int)Math.Min((long)filled * 2, limit + 1L));
            }

            var count = await Body.ReadAsync(buffer.AsMemory(filled), ct);
            if (count == 0) break;
            filled += count;
        }

        if (filled > limit) throw new RefusedException(413, "value-too-large", $"The value of '{Name}' is over {limit} bytes.", Name);
        return Encoding.UTF8.GetString(buffer, 0, filled);
    }
}

/// <summary>multipart/form-data read as a stream, part after part in whatever order they come. Nothing is buffered.</summary>
public static class MultipartForm
{
    public static async IAsyncEnumerable<FormPart> ReadAsync(HttpRequest request, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var media) || !media.MediaType.Equals("multipart/form-data", StringComparison.OrdinalIgnoreCase))
        {
            throw new RefusedException(415, "unsupported-media-type", "Send multipart/form-data.", HeaderNames.ContentType);
        }

        var boundary = HeaderUtilities.RemoveQuotes(media.Boundary).ToString();
        if (boundary.Length is 0 or > 256) throw new RefusedException(400, "invalid-multipart", "The Content-Type of the form has no usable boundary.", HeaderNames.ContentType);
        var reader = new MultipartReader(boundary, request.Body) { BodyLengthLimit = null };
        for (var section = await NextAsync(reader, ct); section is not null; section = await NextAsync(reader, ct))
        {
            if (section.GetContentDispositionHeader() is not { } disposition || !disposition.DispositionType.Equals("form-data", StringComparison.OrdinalIgnoreCase)) continue;
            var file = HeaderUtilities.RemoveQuotes(StringOf(disposition.FileNameStar, disposition.FileName)).ToString();
            var isFile = disposition.FileName.HasValue || disposition.FileNameStar.HasValue;
            yield return new FormPart(HeaderUtilities.RemoveQuotes(disposition.Name).ToString(), isFile ? file : null, new PartStream(section.Body));
        }
    }

    private static Microsoft.Extensions.Primitives.StringSegment StringOf(Microsoft.Extensions.Primitives.StringSegment first, Microsoft.Extensions.Primitives.StringSegment second) =>
        first.HasValue && first.Length > 0 ? first : second;

    private static async Task<MultipartSection?> NextAsync(MultipartReader reader, CancellationToken ct)
    {
        try
        {
            return await reader.ReadNextSectionAsync(ct);
        }
        catch (Exception fault) when (fault is InvalidDataException || IsCutOff(fault))
        {
            throw Malformed(fault);
        }
    }

    // The server's own faults (413, a slow or broken connection) are BadHttpRequestExceptions, which are IOExceptions too, and are answered as what they are.
    private static bool IsCutOff(Exception fault) => fault is IOException and not BadHttpRequestException and not Microsoft.AspNetCore.Connections.ConnectionResetException;

    private static RefusedException Malformed(Exception fault) =>
        new(new Problem(400, "invalid-multipart", "The form ends early or its parts cannot be told apart."), fault);

    /// <summary>Tells a form that is cut off from a fault of the hub.</summary>
    private sealed class PartStream(Stream inner) : ReadingStream
    {

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            try
            {
                return await inner.ReadAsync(buffer, cancellationToken);
            }
            catch (Exception fault) when (fault is InvalidDataException || IsCutOff(fault))
            {
                throw Malformed(fault);
            }
        }
    }
}
