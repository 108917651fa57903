using System.Globalization;
using JobHub.Api.Http.Access;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Http;

/// <summary>
/// What an attempt printed, as bytes. <c>offset</c> counts the bytes that were printed, also where some were not kept; <c>JobHub-Log-Size</c> is how many that are,
/// <c>JobHub-Log-Attempt</c> whose they are, and <c>JobHub-Log-Gaps</c> the ranges left out (offset+length, parted by commas).
/// </summary>
public static class AttemptLog
{
    private const string SizeHeader = "JobHub-Log-Size", GapsHeader = "JobHub-Log-Gaps", AttemptHeader = "JobHub-Log-Attempt";

    // How late a printed line may be for a reader that follows.
    private static readonly TimeSpan PollEvery = TimeSpan.FromMilliseconds(200);

    /// <summary>The log of a task that exists, by <c>?attempt=</c> (the latest without), <c>?offset=</c> and <c>?follow=</c>; as an attachment with <c>?download=</c>.</summary>
    public static async Task<IResult> ReadAsync(HttpContext context, JobReader reader, LogReader logs, JobId id, (TaskKind Kind, int Index) task, CancellationToken ct)
    {
        var request = context.Request;
        var attempt = (int?)request.QueryNumber("attempt", 1, int.MaxValue);
        var offset = request.QueryNumber("offset", 0, long.MaxValue) ?? 0;
        var slice = await logs.OpenAsync(id, task.Kind, task.Index, attempt, offset, ct);
        if (request.QueryFlag("follow") && HttpMethods.IsGet(request.Method)) return new Following(reader, logs, id, task, attempt, offset, slice);
        if (slice is null)
        {
            // A task that has not run has printed nothing; an attempt that was asked for by number is there or is not.
            return attempt is null ? TypedResults.Text("", "text/plain") : Problems.NotFound("attempt-not-found", $"The task has no attempt {attempt}.");
        }

        return await WholeAsync(context, logs, id, task, slice, offset);
    }

    private static async Task<IResult> WholeAsync(HttpContext context, LogReader logs, JobId id, (TaskKind Kind, int Index) task, LogSlice slice, long offset)
    {
        var download = context.Request.QueryFlag("download");
        Describe(context.Response, slice);
        if (slice.Rest is { } unread) await unread.DisposeAsync();
        var size = KeptFrom(slice, offset);
        return new BytesResult
        {
            Size = size,
            ContentType = "text/plain; charset=utf-8",
            FileName = download ? string.Create(CultureInfo.InvariantCulture, $"{TaskName.Of(id, task.Kind, task.Index)}.{slice.Attempt}.log") : null,
            // While it grows the same size means the same bytes.
            ETag = string.Create(CultureInfo.InvariantCulture, $"{slice.Attempt}-{offset}-{size}{(slice.Ended ? "" : "-live")}"),
            Open = async (from, _, cancel) =>
            {
                var again = await logs.OpenAsync(id, task.Kind, task.Index, slice.Attempt, offset, cancel);
                var stream = again?.Rest ?? new MemoryStream(again?.Content.ToArray() ?? [], writable: false);
                // A place in the kept bytes is not an offset: gaps stand between them.
                await SkipAsync(stream, from, cancel);
                return stream;
            },
        };
    }

    /// <summary>Kept bytes from an offset on.</summary>
    private static long KeptFrom(LogSlice slice, long offset)
    {
        if (slice.Rest is null) return slice.Content.Length;
        var lost = 0L;
        foreach (var gap in slice.Gaps) lost += Math.Max(0, gap.Offset + gap.Length - Math.Max(gap.Offset, offset));
        return Math.Max(0, slice.Size - offset - lost);
    }

    private static async Task SkipAsync(Stream stream, long count, CancellationToken ct)
    {
        var buffer = new byte[Math.Min(count, 64 << 10)];
        while (count > 0)
        {
            var read = await stream.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, count)), ct);
            if (read == 0) return;
            count -= read;
        }
    }

    internal static void Describe(HttpResponse response, LogSlice slice)
    {
        response.Headers[SizeHeader] = slice.Size.ToString(CultureInfo.InvariantCulture);
        response.Headers[AttemptHeader] = slice.Attempt.ToString(CultureInfo.InvariantCulture);
        if (slice.Gaps.Length > 0) response.Headers[GapsHeader] = Text(slice.Gaps);
    }

    private static string Text(LogGap[] gaps) => string.Join(',', gaps.Select(static gap => string.Create(CultureInfo.InvariantCulture, $"{gap.Offset}+{gap.Length}")));

    /// <summary>The bytes as they are printed, until the attempt has ended, the job has, the caller goes or may not read it any more, or the host stops.</summary>
    private sealed class Following(JobReader reader, LogReader logs, JobId id, (TaskKind Kind, int Index) task, int? attempt, long offset, LogSlice? first) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            var clock = httpContext.RequestServices.GetRequiredService<TimeProvider>();
            var stopping = httpContext.RequestServices.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
            using var end = CancellationTokenSource.CreateLinkedTokenSource(httpContext.RequestAborted, stopping);
            var response = httpContext.Response;
            response.ContentType = "text/plain; charset=utf-8";
            response.Headers.CacheControl = "no-store";
            response.Headers["X-Accel-Buffering"] = "no";
            if (first is not null) Describe(response, first);
            try
            {
                // Also where nothing is printed yet: the caller is connected.
                await response.StartAsync(end.Token);
                await response.Body.FlushAsync(end.Token);
                await FollowAsync(response, clock, new StillReads(httpContext, id), end.Token);
            }
            catch (OperationCanceledException) when (end.IsCancellationRequested)
            {
                // The normal end of a log that is followed.
            }
        }

        private async Task FollowAsync(HttpResponse response, TimeProvider clock, StillReads still, CancellationToken ct)
        {
            var (slice, at, number) = (first, offset, attempt);
            while (true)
            {
                var before = at;
                if (slice is not null)
                {
                    // Once begun, one attempt's log is not continued with another's.
                    number ??= slice.Attempt;
                    if (slice.Rest is { } rest)
                    {
                        await using (rest)
                        {
                            var buffer = new byte[64 << 10];
                            while (await rest.ReadAsync(buffer, ct) is > 0 and var read)
                            {
                                await response.Body.WriteAsync(buffer.AsMemory(0, read), ct);
                                if (!await still.AskAsync(ct)) return;
                            }
                        }
                    }
                    else
                    {
                        await response.Body.WriteAsync(slice.Content, ct);
                    }

                    at = Math.Max(at, slice.Size);
                    await response.Body.FlushAsync(ct);
                    if (slice.Ended) return;
                }
                else if (await reader.GetAsync(id, ct) is not { State.IsTerminal: false })
                {
                    return;
                }

                if (at == before) await Task.Delay(PollEvery, clock, ct);
                if (!await still.AskAsync(ct)) return;
                slice = await logs.OpenAsync(id, task.Kind, task.Index, number, at, ct);
            }
        }
    }
}
