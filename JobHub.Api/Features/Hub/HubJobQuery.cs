using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Jobs;

namespace JobHub.Api.Features.Hub;

/// <summary>The filters, the order and the place of a list of jobs, read from an address. Lists, counts and what is done to all that match read the same.</summary>
public sealed partial class HubJobQuery(JobReader jobs, ProjectAccess access)
{
    private const int MostIds = 500, MostWords = 20, LongestWord = 300;

    /// <summary>The filter of a request, held to what its caller may see. Null: <c>?parent=</c> names no group he may see.</summary>
    public async Task<JobFilter?> ReadAsync(HttpRequest request, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        var caller = Caller.Of(request.HttpContext);
        var projects = await access.ReadableAsync(caller, ct);
        JobView? parent = null;
        if (request.QueryText("parent") is { } group && (JobId.TryRead(group) is not { } id || (parent = await jobs.GetAsync(id, ct)) is null || projects?.Contains(parent.Project) == false)) return null;
        var (ids, numbers) = IdsOf(request);
        var (words, number) = WordsOf(request, "q");
        if (number is { } one) numbers = numbers is null ? [one] : [.. numbers.Where(n => n == one)];
        var filter = new JobFilter
        {
            Projects = projects, OnlyUnmade = caller.IsDeveloper,
            Families = Set<JobFamily>(request, "family"), States = Set<JobState>(request, "state"),
            Project = request.QueryText("project"), NotProject = request.QueryText("-project"),
            User = request.QueryText("user"), NotUser = request.QueryText("-user"),
            Words = words, NotWords = WordsOf(request, "-q").Words,
            Labels = LabelsOf(request, "label"), NotLabels = LabelsOf(request, "-label"),
            Worker = request.QueryText("worker"),
            CreatedAfter = TimeOf(request, "createdAfter"), CreatedBefore = TimeOf(request, "createdBefore"),
            EndedAfter = TimeOf(request, "endedAfter"), EndedBefore = TimeOf(request, "endedBefore"),
            MinPriority = (int?)request.QueryNumber("minPriority", 0, 255), MaxPriority = (int?)request.QueryNumber("maxPriority", 0, 255),
            Cause = request.QueryText("cause"), ExitCode = (int?)request.QueryNumber("exitCode", 0, 255),
            Ids = ids, Numbers = numbers,
            Parent = parent?.Number ?? (request.QueryFlag("flat") || ids is not null || numbers is not null ? null : 0),
        };
        // One state has a plan of its own.
        if (filter.States is [var state]) filter = filter with { State = state, States = null };
        filter = filter with { Order = OrderOf(request, filter) };
        if (request.QueryText("after") is { } after) return filter with { Place = PlaceOf(after, filter) };
        if (request.QueryNumber("at", 0, long.MaxValue >> 1) is not { } at) return filter;
        if (filter.Order is not (JobOrder.Newest or JobOrder.Oldest) || (filter.CreatedAfter ?? filter.CreatedBefore) is not null) throw Problems.InvalidField("at", "A list begins at a number only in an order by number, and without createdAfter and createdBefore.");
        return filter with { Place = new(0, filter.Order == JobOrder.Newest ? at + 1 : at - 1) };
    }

    /// <summary>The cursor after a job: opaque to callers, good for the same filter and order.</summary>
    public static string CursorAfter(JobView job, JobFilter filter)
    {
        var place = JobSearch.PlaceOf(filter, job);
        return Base64Url.EncodeToString(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{NameOf(filter)} {place.Value} {place.Number}")));
    }

    private static JobPlace PlaceOf(string cursor, JobFilter filter)
    {
        try
        {
            var parts = Encoding.ASCII.GetString(Base64Url.DecodeFromChars(cursor)).Split(' ');
            if (parts.Length == 3 && parts[0] == NameOf(filter) && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value < 253402300799999999
                && (filter.Order is not (JobOrder.HighestPriority or JobOrder.LowestPriority) || value <= 255)
                && long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var number)) return new(value, number);
        }
        catch (FormatException)
        {
            // Not one of ours, as below.
        }

        throw Problems.InvalidField("after", "'after' must be the next of an earlier page with the same filters and sort.");
    }

    private static string NameOf(JobFilter filter) => $"{filter.Order}{(filter.CreatedAfter ?? filter.CreatedBefore) is not null}";

    private static JobOrder OrderOf(HttpRequest request, JobFilter filter)
    {
        var states = filter.State is { } one ? [one] : filter.States;
        switch (request.QueryText("sort"))
        {
            case null or "-number": return JobOrder.Newest;
            case "number": return JobOrder.Oldest;
            case ("-priority" or "priority") and var priority:
                if (states is null || states.Any(static s => s.IsTerminal)) throw Problems.InvalidField("sort", "Only jobs that have not ended are sorted by priority: add state=queued,running,paused,canceling.");
                return priority == "priority" ? JobOrder.LowestPriority : JobOrder.HighestPriority;
            case ("-ended" or "ended") and var ended:
                if (states is null || states.Any(static s => !s.IsTerminal)) throw Problems.InvalidField("sort", "Only jobs that have ended are sorted by their end: add state=succeeded,failed,canceled.");
                return ended == "ended" ? JobOrder.FirstEnded : JobOrder.LastEnded;
            default: throw Problems.InvalidField("sort", "'sort' must be number, priority or ended, with a leading - for the largest first.");
        }
    }

    /// <summary>Words with commas; those with a leading - are left out, alone they mean all others.</summary>
    private static IReadOnlyList<TWord>? Set<TWord>(HttpRequest request, string name) where TWord : struct, Enum
    {
        if (request.QueryText(name) is not { } text) return null;
        HashSet<TWord> with = [], without = [];
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var word = part.TrimStart('-');
            if (Enum.GetNames<TWord>().FirstOrDefault(n => string.Equals(n, word, StringComparison.OrdinalIgnoreCase)) is not { } known)
                throw Problems.InvalidField(name, $"'{name}' must be of {string.Join(", ", Enum.GetNames<TWord>())}, several with commas, each with a leading - to leave it out.");
            (part.StartsWith('-') ? without : with).Add(Enum.Parse<TWord>(known));
        }

        if (with.Count + without.Count == 0) return null;
        return [.. Enum.GetValues<TWord>().Where(w => (with.Count == 0 || with.Contains(w)) && !without.Contains(w))];
    }

    private static (string[] Words, long? Number) WordsOf(HttpRequest request, string name)
    {
        string[] words = [.. (request.QueryText(name) ?? "").Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Distinct()];
        if (words.Length > MostWords || words.Any(static w => w.Length > LongestWord)) throw Problems.InvalidField(name, $"'{name}' may hold {MostWords} words of {LongestWord} characters.");
        if (name == "q" && words.FirstOrDefault(static w => w[0] == '#') is { } shown && long.TryParse(shown.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return ([.. words.Where(w => w != shown)], number);
        return (words, null);
    }

    private static KeyValuePair<string, string>[] LabelsOf(HttpRequest request, string name)
    {
        var values = request.Query[name];
        if (values.Count > MostWords) throw Problems.InvalidField(name, $"'{name}' may be given {MostWords} times.");
        return [.. values.Where(static v => !string.IsNullOrEmpty(v)).Select(v =>
        {
            if (v!.Split('=', 2) is not [{ Length: > 0 } key, var value] || v.Contains('\0')) throw Problems.InvalidField(name, $"'{name}' must be key=value.");
            return KeyValuePair.Create(key, value);
        })];
    }

    private static DateTimeOffset? TimeOf(HttpRequest request, string name)
    {
        if (request.QueryText(name) is not { } text) return null;
        // A + that was not escaped comes as a space; nowhere else is a space part of it.
        if (Rfc3339().IsMatch(text) && DateTimeOffset.TryParse(text.Replace(' ', '+'), CultureInfo.InvariantCulture, DateTimeStyles.None, out var time) && time.UtcDateTime.Year is > 1970 and < 9999) return time;
        throw Problems.InvalidField(name, $"'{name}' must be a time as in 2026-11-21T14:02:11Z.");
    }

    [GeneratedRegex(@"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,7})?([Zz]|[-+ ][0-9]{2}:[0-9]{2})\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Rfc3339();

    private static (Guid[]? Ids, long[]? Numbers) IdsOf(HttpRequest request)
    {
        if (request.QueryText("ids") is not { } text) return (null, null);
        var parts = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length > MostIds) throw Problems.InvalidField("ids", $"'ids' may name {MostIds} jobs.");
        if (parts.All(static p => long.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out _))) return (null, [.. parts.Select(static p => long.Parse(p, CultureInfo.InvariantCulture))]);
        return ([.. parts.Select(static p => (JobId.TryRead(p) ?? throw Problems.InvalidField("ids", "'ids' must be ids of jobs, or their numbers, with commas.")).Value)], null);
    }
}
