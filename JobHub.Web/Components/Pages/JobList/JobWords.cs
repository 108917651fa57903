using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.WebUtilities;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>One filter of a list of jobs, as its address names it (<c>state</c>, <c>-label</c>, <c>age</c>) and with its value.</summary>
public sealed record JobTerm(string Name, string Value)
{
    /// <summary>What the chip says before the value.</summary>
    public string Word => Name switch
    {
        "q" => "title", "-q" => "not title", "minPriority" => "priority ≥", "maxPriority" => "priority ≤", "createdAfter" => "made since", "createdBefore" => "made before",
        "endedAfter" => "ended since", "endedBefore" => "ended before", "parent" => "in group", "exitCode" => "exit code", _ when Name.StartsWith('-') => "not " + Name[1..], _ => Name,
    };

    public string Shown => Name is "state" or "family" ? Value.Replace(",", ", ", StringComparison.Ordinal) : Name is "age" or "ended" ? Value : Value.Length > 60 ? Value[..60] + "…" : Value;
}

/// <summary>
/// The filters, the order and the view of a list of jobs. The page's address holds them by the names of the hub's own, plus times that move along (<c>age=&gt;1h</c>, <c>ended=today</c>);
/// a visitor writes them as words (<c>state:running -label:nightly=yes age&gt;1h #48213 title words</c>).
/// </summary>
public sealed partial record JobWords(IReadOnlyList<JobTerm> Terms, string? Sort, bool Flat)
{
    public const string Active = "queued,running,paused,canceling", Ended = "succeeded,failed,canceled";

    private static readonly string[] Names =
        ["state", "family", "project", "-project", "user", "-user", "worker", "label", "-label", "cause", "exitCode", "age", "ended", "minPriority", "maxPriority", "createdAfter", "createdBefore", "endedAfter", "endedBefore", "parent", "ids", "-q", "q"];

    /// <summary>Reads the query of an address; words in <c>q</c> that name another filter become that filter.</summary>
    public static JobWords Read(string query)
    {
        var values = QueryHelpers.ParseQuery(query);
        var words = new JobWords([], values.TryGetValue("sort", out var sort) ? sort.ToString() : null, values.TryGetValue("flat", out var flat) && flat == "true");
        foreach (var name in Names)
        {
            if (!values.TryGetValue(name, out var many)) continue;
            foreach (var value in many.OfType<string>().Where(static v => v.Length > 0)) words = name == "q" ? words.Add(value) : words.With(new(name, value));
        }

        return words;
    }

    /// <summary>A text is searched in groups too, and what it finds there stands below the groups it is in.</summary>
    public bool ShowsPaths => !Flat && this["q"] is not null && this["parent"] is null;

    /// <summary>What is in groups is asked for too.</summary>
    public bool LooksInGroups => Flat || ShowsPaths;

    /// <summary>The list is in an order of numbers, and any number is a place in it.</summary>
    public bool ByNumber => Sort is null or "number" && !ShowsPaths && !Terms.Any(static t => t.Name is "age" or "createdAfter" or "createdBefore");

    public bool IsEmpty => Terms.Count == 0;

    public string? this[string name] => Terms.FirstOrDefault(t => t.Name == name)?.Value;

    /// <summary>All terms are of states that have not ended.</summary>
    public bool OnlyOpen => this["state"] is { } states && states.Split(',').All(static s => Active.Contains(s, StringComparison.OrdinalIgnoreCase));

    /// <summary>All terms are of states that have ended.</summary>
    public bool OnlyEnded => this["state"] is { } states && states.Split(',').All(static s => Ended.Contains(s, StringComparison.OrdinalIgnoreCase));

    public JobWords Without(JobTerm term) => (this with { Terms = [.. Terms.Where(t => t != term)] }).Sound();

    public JobWords By(string? sort) => (this with { Sort = sort }).Sound();

    /// <summary>A term more; most replace the one there was.</summary>
    public JobWords With(JobTerm term)
    {
        var many = term.Name is "label" or "-label";
        if (term.Name is "q" or "-q" && this[term.Name] is { } before && before != term.Value) term = term with { Value = $"{before} {term.Value}" };
        return (this with { Terms = [.. Terms.Where(t => many ? t != term : t.Name != term.Name), term] }).Sound();
    }

    /// <summary>What a visitor wrote, added.</summary>
    public JobWords Add(string text)
    {
        var words = this;
        foreach (Match found in Word().Matches(text ?? ""))
        {
            var (not, name, value) = (found.Groups["not"].Length > 0, found.Groups["name"].Value.ToLowerInvariant(), found.Groups["value"].Value.Trim('"'));
            var (op, plain) = (found.Groups["op"].Value, found.Value.Trim('"'));
            JobTerm? term = (name, op) switch
            {
                ("state", ":") => new("state", not ? "-" + value.Replace(",", ",-", StringComparison.Ordinal) : value == "active" ? Active : value == "ended" ? Ended : value),
                ("family", ":") => new("family", not ? "-" + value.Replace(",", ",-", StringComparison.Ordinal) : value),
                ("user" or "project", ":") => new(not ? "-" + name : name, value),
                ("label", ":") when value.Contains('=', StringComparison.Ordinal) => new(not ? "-label" : "label", value),
                ("worker" or "cause", ":") when !not => new(name, value),
                ("exit", ":") when !not && byte.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _) => new("exitCode", value),
                ("age" or "ended", "<" or ">") when !not && SpanOf(value) is not null => new(name, op + value),
                ("ended", ":") when value == "today" => new(name, value),
                ("priority", ">=") => new("minPriority", value),
                ("priority", "<=") => new("maxPriority", value),
                _ => null,
            };
            if (term is { Value.Length: 0 }) continue;
            words = words.With(term ?? (not && plain.Length > 1 ? new("-q", plain[1..].Trim('"')) : new("q", plain)));
        }

        return words;
    }

    /// <summary>The same list at an address of this page.</summary>
    public string Address(string path = "/jobs")
    {
        var query = Terms.Select(static t => $"{t.Name}={Uri.EscapeDataString(t.Value)}").ToList();
        if (Sort is not null) query.Add("sort=" + Sort);
        if (Flat) query.Add("flat=true");
        return query.Count == 0 ? path : path + "?" + string.Join('&', query);
    }

    /// <summary>The same list as the hub is asked for it.</summary>
    public IReadOnlyList<(string Name, object? Value)> Asked(DateTimeOffset now)
    {
        var asked = new List<(string, object?)>();
        foreach (var term in Terms)
        {
            var span = term.Value.Length > 1 ? SpanOf(term.Value[1..]) : null;
            asked.Add((term.Name, term.Value[0], span) switch
            {
                ("age", '>', { } old) => ("createdBefore", Time(now - old)),
                ("age", '<', { } young) => ("createdAfter", Time(now - young)),
                ("ended", '>', { } old) => ("endedBefore", Time(now - old)),
                ("ended", '<', { } young) => ("endedAfter", Time(now - young)),
                ("ended", _, _) => ("endedAfter", Time(new DateTimeOffset(now.UtcDateTime.Date, TimeSpan.Zero))),
                _ => (term.Name, term.Value),
            });
        }

        if (Sort is not null) asked.Add(("sort", Sort));
        if (LooksInGroups) asked.Add(("flat", "true"));
        return asked;

        static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
    }

    // An order that the states no longer allow is dropped.
    private JobWords Sound() => Sort is "-priority" or "priority" && !OnlyOpen || Sort is "-ended" or "ended" && !OnlyEnded ? this with { Sort = null } : this;

    private static TimeSpan? SpanOf(string text)
    {
        if (text.Length < 2 || !int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var n) || n > 10_000) return null;
        return text[^1] switch { 's' => TimeSpan.FromSeconds(n), 'm' => TimeSpan.FromMinutes(n), 'h' => TimeSpan.FromHours(n), 'd' => TimeSpan.FromDays(n), _ => null };
    }

    [GeneratedRegex("""(?<not>-)?(?:(?<name>[A-Za-z]+)(?<op>:|>=|<=|>|<)(?<value>"[^"]*"|[^\s"]+(?:"[^"]*")?)|"[^"]+"|\S+)""", RegexOptions.ExplicitCapture, 200)]
    private static partial Regex Word();
}
