using System.Text;
using Microsoft.AspNetCore.Http.Features;

namespace JobHub.Api.Http;

/// <summary>One server-sent event. <paramref name="Data"/> has no line end in it (JSON on one line).</summary>
public readonly record struct SentEvent(long Id, string Name, string Data);

/// <summary>
/// <c>text/event-stream</c>: numbered events, a comment line while nothing happens (so that both ends notice a dead connection), resumed by <c>Last-Event-ID</c>.
/// Ends when the caller goes, the source ends, or the host stops.
/// </summary>
/// <param name="stillAllowed">Asked at each heartbeat whether the caller may hear more; null: he may.</param>
public sealed class EventStream(IAsyncEnumerable<SentEvent> events, TimeSpan heartbeat, Func<CancellationToken, ValueTask<bool>>? stillAllowed = null) : IResult
{
    public const string LastEventHeader = "Last-Event-ID";

    public static TimeSpan Heartbeat { get; } = TimeSpan.FromSeconds(5);

    /// <summary>The position to resume after: the header of a reconnecting browser, or <c>?lastEventId=</c> of a client that cannot set headers. Null without either.</summary>
    public static long? ResumeAfter(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var text = request.Headers[LastEventHeader].ToString() is { Length: > 0 } header ? header : request.QueryText("lastEventId");
        if (text is null) return null;
        return long.TryParse(text, System.Globalization.NumberStyles.None, null, out var position)
            ? position
            : throw Problems.InvalidField(LastEventHeader, $"{LastEventHeader} must be the id of an event.");
    }

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        ArgumentNullException.ThrowIfNull(httpContext);
        var response = httpContext.Response;
        var clock = httpContext.RequestServices.GetRequiredService<TimeProvider>();
        var stopping = httpContext.RequestServices.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        using var end = CancellationTokenSource.CreateLinkedTokenSource(httpContext.RequestAborted, stopping);
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        // Proxies that collect answers before they pass them on would turn a live stream into a late one.
        response.Headers["X-Accel-Buffering"] = "no";
        httpContext.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();

        var source = events.GetAsyncEnumerator(end.Token);
        Task<bool>? next = null;
        try
        {
            // The first bytes tell the caller that it is connected.
            await WriteAsync(response, ": connected\n\n", end.Token);
            var buffer = new StringBuilder();
            next = source.MoveNextAsync().AsTask();
            var asked = clock.GetTimestamp();
            while (true)
            {
                // By the clock and not by the silence: where much happens there is no heartbeat.
                if (stillAllowed is not null && clock.GetElapsedTime(asked) >= heartbeat)
                {
                    if (!await stillAllowed(end.Token)) return;
                    asked = clock.GetTimestamp();
                }

                if (!next.IsCompleted && buffer.Length > 0)
                {
                    await WriteAsync(response, buffer.ToString(), end.Token);
                    buffer.Clear();
                }

                using var tick = CancellationTokenSource.CreateLinkedTokenSource(end.Token);
                if (!next.IsCompleted && await Task.WhenAny(next, Task.Delay(heartbeat, clock, tick.Token)) != next)
                {
                    end.Token.ThrowIfCancellationRequested();
                    await WriteAsync(response, ": \n\n", end.Token);
                    continue;
                }

                await tick.CancelAsync();
                if (!await next) break;
                var sent = source.Current;
                buffer.Append("id: ").Append(sent.Id).Append("\nevent: ").Append(sent.Name).Append("\ndata: ").Append(sent.Data).Append("\n\n");
                if (buffer.Length > 32 << 10)
                {
                    await WriteAsync(response, buffer.ToString(), end.Token);
                    buffer.Clear();
                }

                next = source.MoveNextAsync().AsTask();
            }

            if (buffer.Length > 0) await WriteAsync(response, buffer.ToString(), end.Token);
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            // The caller has gone or the host stops; both are the normal end of a stream that follows.
        }
        finally
        {
            await end.CancelAsync();
            // An enumerator must not be disposed while it moves.
            if (next is not null) await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await source.DisposeAsync();
        }
    }

    private static async Task WriteAsync(HttpResponse response, string text, CancellationToken ct)
    {
        await response.WriteAsync(text, ct);
        await response.Body.FlushAsync(ct);
    }
}
