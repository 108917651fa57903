using System.Text;
using JobHub.Api.Http;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/jobs/{id}/log/search</c>: lines of a whole log that hold a text, read as a stream.</summary>
public static class HubLogSearch
{
    private const int DefaultMatches = 100, MostMatches = 1000, LongestQuery = 300, ShownCharacters = 300;

    // A call ends after so many bytes, found or not: the caller goes on, or does not.
    private const long MostBytes = 16 << 20;

    public static void MapLogSearch(this RouteGroupBuilder jobs) =>
        jobs.MapGet("/{id}/log/search", SearchAsync).ProducesProblem(400).ProducesProblem(404)
            .WithSummary("The lines of a log that hold ?q=, in their order: ?task=, ?attempt=, ?case=true (capitals count), ?after= (an offset; the next of an earlier answer), ?limit= (100, at most 1000).");

    private static async Task<Ok<HubLogMatches>> SearchAsync(HttpContext context, JobReader reader, LogReader logs, CancellationToken ct)
    {
        var (id, task) = await HubLog.TaskAsync(context, reader, ct);
        var request = context.Request;
        var wanted = request.QueryText("q") ?? throw Problems.InvalidField("q", "Say what to search for: ?q=<text>.");
        if (wanted.Length > LongestQuery) throw Problems.InvalidField("q", $"'q' may hold {LongestQuery} characters.");
        var comparison = request.QueryFlag("case") ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase;
        var after = request.QueryNumber("after", 0, long.MaxValue) ?? 0;
        var limit = (int)(request.QueryNumber("limit", 1, MostMatches) ?? DefaultMatches);
        var attempt = HubLog.AttemptOf(request);
        if (await logs.OpenAsync(id, task.Kind, task.Index, attempt, after, ct) is not { } slice)
        {
            if (attempt is not null) throw new JobHub.ServiceDefaults.RefusedException(Problems.NotFound("attempt-not-found", $"The task has no attempt {attempt}.").Problem);
            return TypedResults.Ok(new HubLogMatches([], after, true));
        }

        var matches = new List<HubLogMatch>();
        var buffer = new char[LogLines.LongestLine + LongestQuery * 2];
        var (read, next, tail) = (0L, after, 0);
        await foreach (var line in logs.ReadAsync(id, task.Kind, task.Index, slice, ct).LinesAsync(after, ct))
        {
            // Of a long line the end of one stretch is searched again with the next one.
            if (line.Gap > 0) tail = 0;
            var length = WithoutColours(buffer.AsSpan(0, tail + Encoding.UTF8.GetChars(line.Bytes.Span, buffer.AsSpan(tail))));
            var at = buffer.AsSpan(0, length).IndexOf(wanted, comparison);
            if (at >= 0) matches.Add(new(line.Offset, Cut(buffer.AsSpan(0, length), at)));
            tail = 0;
            if (!line.IsWhole && at < 0)
            {
                tail = Math.Min(length, wanted.Length - 1);
                buffer.AsSpan(length - tail, tail).CopyTo(buffer);
            }

            read += line.End - line.Offset;
            // A line that is still printed is searched again when it is whole.
            next = line.IsWhole || slice.Ended ? line.End : line.Offset;
            // What may lie across the end of a stretch is found when that stretch is read again.
            if (matches.Count == limit || read > MostBytes) return TypedResults.Ok(new HubLogMatches(matches, tail == 0 ? line.End : line.Offset, false));
        }

        return TypedResults.Ok(new HubLogMatches(matches, next, true));
    }

    /// <summary>Takes sequences that only colour out of a text: what is searched is what is seen.</summary>
    private static int WithoutColours(Span<char> text)
    {
        var kept = text.IndexOf('\e');
        if (kept < 0) return text.Length;
        for (var at = kept; at < text.Length;)
        {
            if (text[at] == '\e' && at + 1 < text.Length && text[at + 1] == '[')
            {
                var rest = text[(at + 2)..];
                var end = rest.IndexOfAnyExcept("0123456789;:");
                if (end >= 0 && rest[end] == 'm')
                {
                    at += end + 3;
                    continue;
                }
            }

            text[kept++] = text[at++];
        }

        return kept;
    }

    private static string Cut(ReadOnlySpan<char> line, int match)
    {
        line = line.TrimEnd('\r');
        if (line.Length <= ShownCharacters) return line.ToString();
        var from = Math.Clamp(match - 100, 0, line.Length - ShownCharacters);
        if (from > 0 && char.IsLowSurrogate(line[from])) from++;
        var cut = line[from..Math.Min(line.Length, from + ShownCharacters)];
        return (char.IsHighSurrogate(cut[^1]) ? cut[..^1] : cut).ToString();
    }
}
