using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Hub;

/// <summary>
/// What a job's attempts print from now on: one line of JSON each, in whole lines as they arrive, an empty line while nothing comes. Ends when the job has, the caller goes or may not read it any
/// more, or the host stops.
/// </summary>
internal sealed class FollowedJobLog(JobLogFollow follow, JobId id) : IResult
{
    // What all attempts together may have begun and not ended is bounded: beyond it such lines come in pieces.
    private const int MostHeld = 4 << 20;

    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(5);

    private readonly Dictionary<(TaskKind Kind, int Index, int Number), (long Offset, byte[] Bytes)> _begun = [];
    private readonly List<HubLogLine> _lines = [];
    private long _held;

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var services = httpContext.RequestServices;
        var (clock, json) = (services.GetRequiredService<TimeProvider>(), services.GetRequiredService<IOptions<JsonOptions>>().Value.SerializerOptions);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(httpContext.RequestAborted, services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping);
        var response = httpContext.Response;
        response.ContentType = "application/x-ndjson; charset=utf-8";
        response.Headers.CacheControl = "no-store";
        response.Headers["X-Accel-Buffering"] = "no";
        httpContext.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        var still = new StillReads(httpContext, id);
        try
        {
            // The first bytes tell the caller that it is connected: what is printed from here on comes.
            var (wrote, connected) = (clock.GetTimestamp(), false);
            await foreach (var part in follow.ReadAsync(id, end.Token))
            {
                if (!await still.AskAsync(end.Token)) return;
                if (part is not null) Take(part);
                if (_lines.Count == 0 && (part is not null || (connected && clock.GetElapsedTime(wrote) < Heartbeat))) continue;
                if (_lines.Count == 0) await response.Body.WriteAsync("\n"u8.ToArray(), end.Token);
                foreach (var line in _lines)
                {
                    await JsonSerializer.SerializeAsync(response.Body, line, json, end.Token);
                    await response.Body.WriteAsync("\n"u8.ToArray(), end.Token);
                }

                _lines.Clear();
                await response.Body.FlushAsync(end.Token);
                (wrote, connected) = (clock.GetTimestamp(), true);
            }
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            // The normal end of a log that is followed.
        }
    }

    private void Take(FollowedPart part)
    {
        if (part.Missed > 0)
        {
            _lines.Add(new("", 0, 0, 0, "", Missed: part.Missed));
            return;
        }

        var attempt = (part.Kind, part.Index, part.Number);
        var (offset, bytes) = (part.Offset, part.Bytes);
        if (_begun.Remove(attempt, out var begun))
        {
            _held -= begun.Bytes.Length;
            // In front of a gap, or of a place that was read otherwise, it stays as it is.
            if (part.Gap > 0 || begun.Offset + begun.Bytes.Length != part.Offset) Add(attempt, begun.Offset, begun.Bytes, part.Offset);
            else (offset, bytes) = (begun.Offset, (byte[])[.. begun.Bytes, .. part.Bytes.Span]);
        }

        if (part.Gap > 0)
        {
            _lines.Add(new(NameOf(attempt), attempt.Number, part.Offset, part.Offset + part.Gap, "", part.Gap));
            return;
        }

        while (bytes.Length > 0)
        {
            var end = bytes.Span.IndexOf((byte)'\n');
            if (end < 0 && bytes.Length < LogLines.LongestLine && _held < MostHeld && !part.Ended) break;
            var (length, taken) = end >= 0 && end <= LogLines.LongestLine ? (end, end + 1) : (Whole(bytes.Span), Whole(bytes.Span));
            Add(attempt, offset, bytes[..length], offset + taken);
            (offset, bytes) = (offset + taken, bytes[taken..]);
        }

        if (bytes.Length == 0) return;
        _begun[attempt] = (offset, bytes.ToArray());
        _held += bytes.Length;
    }

    // Not within a character.
    private static int Whole(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length <= LogLines.LongestLine) return bytes.Length;
        var whole = LogLines.LongestLine;
        while (whole > LogLines.LongestLine - 4 && (bytes[whole] & 0xC0) == 0x80) whole--;
        return whole;
    }

    private void Add((TaskKind Kind, int Index, int Number) attempt, long offset, ReadOnlyMemory<byte> text, long end) =>
        _lines.Add(new(NameOf(attempt), attempt.Number, offset, end, LogLines.TextOf(new(offset, text, end, 0, IsWhole: true))));

    private string NameOf((TaskKind Kind, int Index, int Number) attempt) => TaskName.Of(id, attempt.Kind, attempt.Index);
}
