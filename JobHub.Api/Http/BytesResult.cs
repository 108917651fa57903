using System.Globalization;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Http;

/// <summary>
/// Bytes of a known size from any store: HEAD, one range, <c>If-None-Match</c>, <c>If-Range</c>. Always an attachment or plain text, never something a browser runs.
/// </summary>
public sealed class BytesResult : IResult
{
    public required long Size { get; init; }

    /// <summary>Opens the bytes from an offset; a null length is "to the end".</summary>
    public required Func<long, long?, CancellationToken, Task<Stream>> Open { get; init; }

    /// <summary>A strong tag without its quotes; null when the bytes may still change.</summary>
    public string? ETag { get; init; }

    public DateTimeOffset? Modified { get; init; }

    public string ContentType { get; init; } = "application/octet-stream";

    /// <summary>The attachment's name; null answers inline.</summary>
    public string? FileName { get; init; }

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        ArgumentNullException.ThrowIfNull(httpContext);
        var (request, response) = (httpContext.Request, httpContext.Response);
        var tag = ETag is null ? null : new EntityTagHeaderValue($"\"{ETag}\"");
        var headers = response.GetTypedHeaders();
        headers.ETag = tag;
        headers.LastModified = Modified;
        response.Headers.AcceptRanges = "bytes";
        // The same address may have other bytes tomorrow: a copy is asked about before it is used.
        response.Headers.CacheControl = "private, no-cache";

        var asked = request.GetTypedHeaders();
        if (tag is not null && asked.IfNoneMatch.Any(candidate => candidate.Compare(tag, useStrongComparison: false) || candidate.Equals(EntityTagHeaderValue.Any)))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        var (from, length, partial) = (0L, Size, false);
        if (RangeOf(asked, tag) is { } range)
        {
            if (Cut(range) is not { } cut)
            {
                await new Problem(416, "range-not-satisfiable", $"The range is outside of the {Size} bytes.", "Range")
                {
                    Headers = new Dictionary<string, string> { [HeaderNames.ContentRange] = $"bytes */{Size.ToString(CultureInfo.InvariantCulture)}" },
                }.WriteAsync(httpContext);
                return;
            }

            (from, length, partial) = (cut.From, cut.Length, true);
            headers.ContentRange = new ContentRangeHeaderValue(from, from + length - 1, Size);
        }

        response.StatusCode = partial ? StatusCodes.Status206PartialContent : StatusCodes.Status200OK;
        response.ContentType = ContentType;
        response.ContentLength = length;
        if (FileName is not null)
        {
            var disposition = new ContentDispositionHeaderValue("attachment");
            disposition.SetHttpFileName(FileName);
            response.Headers.ContentDisposition = disposition.ToString();
        }

        if (HttpMethods.IsHead(request.Method) || length == 0) return;
        await using var bytes = await Open(from, length, httpContext.RequestAborted);
        await CopyAsync(bytes, response.Body, length, httpContext.RequestAborted);
    }

    // Several ranges in one answer are not worth a second body format: such a request gets everything, as RFC 9110 allows.
    private static RangeItemHeaderValue? RangeOf(Microsoft.AspNetCore.Http.Headers.RequestHeaders asked, EntityTagHeaderValue? tag)
    {
        if (asked.Range is not { Ranges.Count: 1 } range || !StringSegment.Equals(range.Unit, "bytes", StringComparison.OrdinalIgnoreCase)) return null;
        if (asked.IfRange is { } condition && (tag is null || condition.EntityTag is not { } expected || !expected.Compare(tag, useStrongComparison: true))) return null;
        return range.Ranges.First();
    }

    private (long From, long Length)? Cut(RangeItemHeaderValue range)
    {
        var (from, to) = (range.From, range.To);
        if (from is null)
        {
            var last = Math.Min(to ?? 0, Size);
            return last == 0 ? null : (Size - last, last);
        }

        if (from >= Size) return null;
        return (from.Value, Math.Min(to ?? long.MaxValue, Size - 1) - from.Value + 1);
    }

    private static async Task CopyAsync(Stream from, Stream to, long length, CancellationToken ct)
    {
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(64 << 10);
        try
        {
            while (length > 0)
            {
                var count = await from.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, length)), ct);
                if (count == 0) throw new EndOfStreamException("The object is shorter than its listed size.");
                await to.WriteAsync(buffer.AsMemory(0, count), ct);
                length -= count;
            }
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
