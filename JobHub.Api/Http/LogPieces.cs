using System.Globalization;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Http;

/// <summary>
/// Pieces of a log between two offsets, in whole lines where they fit: what a reader asks for who never wants all of it. <c>JobHub-Log-Offset</c> is where a piece begins,
/// <c>JobHub-Log-End</c> where the next one does; kept bytes follow each other, and <c>JobHub-Log-Gaps</c> says where some are missing between them.
/// </summary>
public sealed class LogPieces(LogReader logs, JobId id, (TaskKind Kind, int Index) task, int? attempt)
{
    public const int DefaultBytes = 64 << 10, MostBytes = 1 << 20;

    /// <summary>The last <paramref name="most"/> kept bytes before an offset (null: the log's end), from a line's beginning on.</summary>
    public async Task<IResult> BeforeAsync(HttpContext context, long? before, int most, CancellationToken ct)
    {
        if (await PartsBeforeAsync(before, most, ct) is not { } found) return Nothing();
        return Write(context, found.Slice, found.Parts, found.Parts.Count > 0 ? found.Parts[0].Offset : found.End, found.End);
    }

    /// <summary>Lines of the last kept bytes before an offset (null: the log's end), and where they begin; null when there is no such attempt.</summary>
    public async Task<(IReadOnlyList<LogLine> Lines, long From)?> LinesBeforeAsync(long? before, int most, CancellationToken ct)
    {
        if (await PartsBeforeAsync(before, most, ct) is not { } found) return null;
        // What stands in front of the first kept byte of a log is a gap, and elsewhere no part of the piece.
        var from = found.From == 0 ? 0 : found.Parts.Count > 0 ? found.Parts[0].Offset : found.From;
        return (await LogLines.OfAsync([.. found.Parts.Select(static part => new LogPart(part.Offset, part.Bytes))], from, ct), from);
    }

    /// <summary>At most <paramref name="most"/> kept bytes from an offset on, to the end of the last line that ends in them.</summary>
    public async Task<IResult> FromAsync(HttpContext context, long offset, int most, CancellationToken ct)
    {
        if (await OpenAsync(attempt, offset, ct) is not { } slice) return Nothing();
        var parts = new List<(long Offset, byte[] Bytes)>();
        var (left, cut) = (most, false);
        await foreach (var part in logs.ReadAsync(id, task.Kind, task.Index, slice, ct))
        {
            cut = part.Bytes.Length > left;
            if (left > 0) parts.Add((part.Offset, part.Bytes[..Math.Min(left, part.Bytes.Length)].ToArray()));
            left -= Math.Min(left, part.Bytes.Length);
            if (cut) break;
        }

        var last = cut ? parts.FindLastIndex(static part => part.Bytes.AsSpan().Contains((byte)'\n')) : -1;
        if (last >= 0)
        {
            parts.RemoveRange(last + 1, parts.Count - last - 1);
            parts[last] = (parts[last].Offset, parts[last].Bytes[..(parts[last].Bytes.AsSpan().LastIndexOf((byte)'\n') + 1)]);
        }

        var end = parts.Count > 0 ? parts[^1].Offset + parts[^1].Bytes.Length : offset;
        // A gap at the very end: whoever reads on begins behind it.
        foreach (var gap in slice.Gaps) if (gap.Offset <= end) end = Math.Max(end, gap.Offset + gap.Length);
        return Write(context, slice, parts, offset, end);
    }

    private async Task<(LogSlice Slice, List<(long Offset, byte[] Bytes)> Parts, long From, long End)?> PartsBeforeAsync(long? before, int most, CancellationToken ct)
    {
        if (await logs.SizeAsync(id, task.Kind, task.Index, attempt, ct) is not { } log) return null;
        var end = Math.Min(before ?? log.Size, log.Size);
        if (await OpenAsync(log.Attempt, end, ct) is not { } at) return null;
        if (at.Rest is { } unread) await unread.DisposeAsync();
        // One byte more: what follows it begins a line when that byte ends one.
        var from = Back(at.Gaps, end, most + 1L);
        if (await OpenAsync(log.Attempt, from, ct) is not { } slice) return null;
        var parts = new List<(long Offset, byte[] Bytes)>();
        await foreach (var part in logs.ReadAsync(id, task.Kind, task.Index, slice, ct))
        {
            if (part.Offset >= end) break;
            parts.Add((part.Offset, part.Bytes[..(int)Math.Min(part.Bytes.Length, end - part.Offset)].ToArray()));
        }

        if (from > 0 && parts.Count > 0) BeginWithALine(parts);
        return (slice, parts, from, end);
    }

    private Task<LogSlice?> OpenAsync(int? number, long offset, CancellationToken ct) => logs.OpenAsync(id, task.Kind, task.Index, number, offset, ct);

    /// <summary>The offset that has so many kept bytes between it and an end.</summary>
    private static long Back(LogGap[] gaps, long end, long kept)
    {
        foreach (var gap in gaps.OrderByDescending(static gap => gap.Offset))
        {
            if (gap.Offset >= end) continue;
            var behind = end - Math.Min(end, gap.Offset + gap.Length);
            if (behind >= kept) break;
            kept -= behind;
            end = gap.Offset;
        }

        return Math.Max(0, end - kept);
    }

    /// <summary>Takes off what is in front of the first line that begins in the piece.</summary>
    private static void BeginWithALine(List<(long Offset, byte[] Bytes)> parts)
    {
        for (var i = 0; i < parts.Count; i++)
        {
            var cut = parts[i].Bytes.AsSpan().IndexOf((byte)'\n') + 1;
            if (cut == 0 || (cut == parts[i].Bytes.Length && i == parts.Count - 1)) continue;
            parts[i] = (parts[i].Offset + cut, parts[i].Bytes[cut..]);
            parts.RemoveRange(0, i);
            if (parts[0].Bytes.Length == 0) parts.RemoveAt(0);
            return;
        }

        // One line, longer than the piece: its end, but no half of a character.
        var (offset, bytes) = parts[0];
        var half = Math.Min(1, bytes.Length);
        while (half < 4 && half < bytes.Length && (bytes[half] & 0xC0) == 0x80) half++;
        parts[0] = (offset + half, bytes[half..]);
    }

    private static Piece Write(HttpContext context, LogSlice slice, List<(long Offset, byte[] Bytes)> parts, long offset, long end)
    {
        var headers = context.Response.Headers;
        AttemptLog.Describe(context.Response, slice);
        headers["JobHub-Log-Offset"] = offset.ToString(CultureInfo.InvariantCulture);
        headers["JobHub-Log-End"] = end.ToString(CultureInfo.InvariantCulture);
        headers["JobHub-Log-Ended"] = slice.Ended ? "true" : "false";
        headers.CacheControl = "no-store";
        return new Piece(parts);
    }

    // A task that has not run has printed nothing; an attempt that was asked for by number is there or is not.
    private IResult Nothing() =>
        attempt is null ? TypedResults.Text("", "text/plain") : Problems.NotFound("attempt-not-found", $"The task has no attempt {attempt}.");

    private sealed class Piece(List<(long Offset, byte[] Bytes)> parts) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            response.ContentType = "text/plain; charset=utf-8";
            response.ContentLength = parts.Sum(static part => (long)part.Bytes.Length);
            if (HttpMethods.IsHead(httpContext.Request.Method)) return;
            foreach (var (_, bytes) in parts) await response.Body.WriteAsync(bytes, httpContext.RequestAborted);
        }
    }
}
