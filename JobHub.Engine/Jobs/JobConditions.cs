using System.Text.Json;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>A <see cref="JobFilter"/> as SQL over <c>job j</c>; its stage needs the deltas <c>d</c> and the leases <c>h</c> that <see cref="JobReader"/> joins.</summary>
internal static class JobConditions
{
    /// <summary>Numbers of jobs that have begun, folded or not: what runs is bounded by the slots.</summary>
    public const string Begun = "SELECT task_id >> 20 FROM live WHERE session_id IS NOT NULL UNION ALL SELECT job FROM ledger WHERE position IS NULL AND started_at IS NOT NULL";

    /// <summary>What a job reads as, without a join.</summary>
    public const string Word = $"""
        CASE WHEN j.state >= 4 THEN j.state WHEN j.stop = 1 THEN 3 WHEN j.paused THEN 2 WHEN j.state = 1 OR j.number IN ({Begun}) THEN 1 ELSE 0 END
        """;

    // Tasks that have not ended, unfolded deltas counted.
    private const string Open = """
        (j.maps + j.reduces + j.commands + j.analyses - j.succeeded - j.failed - j.canceled - j.skipped
         - coalesce(d.succeeded, 0) - coalesce(d.failed, 0) - coalesce(d.canceled, 0) - coalesce(d.skipped, 0))
        """;

    // Jobs with an attempt on a worker, and the groups above them.
    private const string OnWorker = """
        j.number = ANY (ARRAY(
            WITH RECURSIVE up AS (
                SELECT DISTINCT l.task_id >> 20 AS number FROM live l JOIN worker_session s ON s.id = l.session_id WHERE s.worker = ?
                UNION
                SELECT p.parent FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.number OFFSET 0) p WHERE p.parent IS NOT NULL)
            SELECT number FROM up))
        """;

    // A job fails by the last attempt of the task that its error names; the task's number is in its name.
    private const string FailedWith = """
        j.state = 5 AND (SELECT a.exit_code FROM attempt a WHERE a.task_id = (j.number << 20) + substring(j.error->>'taskId' FROM '-[a-z]-([0-9]{1,7})$')::bigint
            + CASE WHEN j.error->>'taskId' ~ '-r-[0-9]+$' THEN j.maps ELSE 0 END ORDER BY a.number DESC LIMIT 1) = ?
        """;

    /// <summary>The WHERE of a filter, its page included.</summary>
    public static string Of(JobFilter filter, NpgsqlParameterCollection parameters)
    {
        // One of a tree that is being deleted is gone already.
        var where = new List<string> { "j.deleted_at IS NULL" };
        void Where(string condition, object value)
        {
            parameters.AddWithValue(value);
            where.Add(condition.Replace("?", "$" + parameters.Count, StringComparison.Ordinal));
        }

        if (filter.Ended is { } ended) where.Add(ended ? "j.state >= 4" : "j.state < 4");
        switch (filter.Stage)
        {
            case JobStage.Waiting: where.Add($"j.state < 4 AND j.stop <> 1 AND coalesce(h.leased, 0) + coalesce(h.running, 0) = 0 AND {Open} > 0"); break;
            case JobStage.Starting: where.Add("j.state < 4 AND j.stop <> 1 AND coalesce(h.running, 0) = 0 AND h.leased > 0"); break;
            case JobStage.Running: where.Add($"j.state < 4 AND (j.stop = 1 OR h.running > 0 OR coalesce(h.leased, 0) + coalesce(h.running, 0) = 0 AND {Open} = 0)"); break;
        }

        if (filter.Parent == 0) where.Add("j.parent IS NULL");
        else if (filter.Parent is { } parent) Where("j.parent = ?", parent);
        if (filter.Family is { } family) Where("j.family = ?", (short)family);
        if (filter.Families is { } families) Where("j.family = ANY (?)", families.Select(static f => (short)f).ToArray());
        if (filter.Project is { } project) Where("j.project = ?", project);
        if (filter.NotProject is { } notProject) Where("j.project <> ?", notProject);
        if (filter.OnlyUnmade) where.Add(Unmade("j"));
        if (filter.Projects is { } projects) Where("j.project = ANY (?)", projects);
        if (filter.User is { } user) Where("j.caller = ?", user);
        if (filter.NotUser is { } notUser) Where("j.caller IS DISTINCT FROM ?", notUser);
        foreach (var word in filter.Words) Where("strpos(lower(left(j.title, 1000)), lower(?)) > 0", word);
        foreach (var word in filter.NotWords) Where("strpos(lower(left(coalesce(j.title, ''), 1000)), lower(?)) = 0", word);
        foreach (var label in filter.Labels) Where("j.labels @> ?::jsonb", LabelOf(label));
        foreach (var label in filter.NotLabels) Where("NOT j.labels @> ?::jsonb", LabelOf(label));
        if (filter.Worker is { } worker) Where(OnWorker, worker);
        if (filter.CreatedAfter is { } createdAfter) Where("j.created_at >= ?", createdAfter.ToUniversalTime());
        if (filter.CreatedBefore is { } createdBefore) Where("j.created_at < ?", createdBefore.ToUniversalTime());
        if (filter.EndedAfter is { } endedAfter) Where("j.ended_at >= ?", endedAfter.ToUniversalTime());
        if (filter.EndedBefore is { } endedBefore) Where("j.ended_at < ?", endedBefore.ToUniversalTime());
        if (filter.MinPriority is { } least) Where("j.priority >= ?", (short)least);
        if (filter.MaxPriority is { } most) Where("j.priority <= ?", (short)most);
        if (filter.Cause is { } cause) Where("j.state = 5 AND j.error->>'type' = ?", cause);
        if (filter.ExitCode is { } code) Where(FailedWith, code);
        if (filter.Ids is { } ids) Where("j.id = ANY (?)", ids);
        if (filter.Numbers is { } numbers) Where("j.number = ANY (?)", numbers);
        if (filter.ByWords) where.Add($"j.number = ANY (ARRAY({WordedSql(filter, parameters)}))");
        var after = filter.After is { } id ? Add(parameters, id.Value) : 0;
        if (after > 0) where.Add($"j.number < coalesce((SELECT number FROM job WHERE id = ${after}), 0)");
        if (filter.Order is JobOrder.HighestPriority or JobOrder.LowestPriority) where.Add("j.state < 4");
        if (filter.Order is JobOrder.LastEnded or JobOrder.FirstEnded) where.Add("j.ended_at IS NOT NULL");
        if (filter.Place is { } place) where.Add(PageOf(filter, place, parameters));
        if (filter.States is { } states) where.Add(StatesOf(states));
        if (filter.State is { } state) where.Add(StateOf(state, filter, after));
        return " WHERE " + string.Join(" AND ", where);
    }

    /// <summary>The ORDER BY of a filter.</summary>
    public static string OrderOf(JobFilter filter) => " ORDER BY " + filter.Order switch
    {
        JobOrder.HighestPriority => "j.priority DESC, j.number DESC",
        JobOrder.LowestPriority => "j.priority, j.number",
        JobOrder.LastEnded => "j.ended_at DESC, j.number DESC",
        JobOrder.FirstEnded => "j.ended_at, j.number",
        JobOrder.Oldest => filter.ByCreation ? "j.created_at, j.number" : "j.number",
        _ => filter.ByCreation ? "j.created_at DESC, j.number DESC" : "j.number DESC",
    };

    /// <summary>The place of a job in a filter's order.</summary>
    public static JobPlace PlaceOf(JobFilter filter, JobView job) => new(
        filter.Order switch
        {
            JobOrder.HighestPriority or JobOrder.LowestPriority => job.Priority,
            JobOrder.LastEnded or JobOrder.FirstEnded => Microseconds(job.EndedAt ?? job.CreatedAt),
            _ => filter.ByCreation ? Microseconds(job.CreatedAt) : 0,
        },
        job.Number);

    /// <summary>The condition on <c>job_words</c> that a filter's titles, labels and user make, or null when they make none that the index knows.</summary>
    public static string? WordsOf(JobFilter filter, NpgsqlParameterCollection parameters)
    {
        var words = new List<string>();
        foreach (var word in filter.Words.Where(static w => w.Length >= 3)) words.Add($"title_grams(${Add(parameters, word)})");
        string[] whole = [.. filter.Labels.Select(static l => $"label {Cut(l.Key)}={Cut(l.Value)}"), .. filter.User is { } user ? (string[])[$"user {Cut(user)}"] : []];
        if (whole.Length > 0) words.Add($"${Add(parameters, whole)}::text[]");
        return words.Count == 0 ? null : $"words @> ({string.Join(" || ", words)})";

        static string Cut(string text)
        {
            var end = 0;
            // As Postgres' left: by characters, of which some are two of ours.
            for (var n = 0; n < 300 && end < text.Length; n++) end += char.IsSurrogatePair(text, end) ? 2 : 1;
            return text[..end];
        }
    }

    /// <summary>In a project that somebody made is what this leaves out.</summary>
    public static string Unmade(string job) => $"({job}.project = 'default' OR NOT EXISTS (SELECT FROM project p WHERE p.id = {job}.project))";

    private static int Add(NpgsqlParameterCollection parameters, object value)
    {
        parameters.AddWithValue(value);
        return parameters.Count;
    }

    // What upkeep has not made words of yet is looked at too.
    private static string WordedSql(JobFilter filter, NpgsqlParameterCollection parameters) => $"""
        SELECT w.job FROM job_words w WHERE {WordsOf(filter, parameters)}
        UNION ALL SELECT l.job FROM ledger l WHERE l.kind = 'job-submitted' AND l.position > (SELECT m.position FROM job_words_made m)
        UNION ALL SELECT l.job FROM ledger l WHERE l.kind = 'job-submitted' AND l.position IS NULL
        """;

    private static string PageOf(JobFilter filter, JobPlace place, NpgsqlParameterCollection parameters)
    {
        var number = Add(parameters, place.Number);
        switch (filter.Order)
        {
            case JobOrder.HighestPriority: return $"(j.priority, j.number) < (${Add(parameters, (short)place.Value)}, ${number})";
            case JobOrder.LowestPriority: return $"(j.priority, j.number) > (${Add(parameters, (short)place.Value)}, ${number})";
        }

        var (column, first) = (filter.Order is JobOrder.LastEnded or JobOrder.FirstEnded ? "j.ended_at" : "j.created_at", filter.Order is JobOrder.Oldest or JobOrder.FirstEnded ? ">" : "<");
        if (filter.Order is JobOrder.Newest or JobOrder.Oldest && !filter.ByCreation) return $"j.number {first} ${number}";
        var time = Add(parameters, DateTimeOffset.UnixEpoch.AddTicks(place.Value * TimeSpan.TicksPerMicrosecond));
        // The first half is what an index without the number can use.
        return $"{column} {first}= ${time} AND ({column}, j.number) {first} (${time}, ${number})";
    }

    private static string StatesOf(IReadOnlyList<JobState> states)
    {
        var ended = string.Join(", ", states.Where(static s => s.IsTerminal).Select(static s => (short)s));
        JobState[] open = [.. states.Where(static s => !s.IsTerminal).Distinct()];
        // Whether it has begun matters only where running and queued part ways.
        var word = open.Contains(JobState.Running) == open.Contains(JobState.Queued) ? "CASE WHEN j.stop = 1 THEN 3 WHEN j.paused THEN 2 ELSE 0 END" : Word;
        var ofOpen = open.Length switch { 0 => null, 4 => "j.state < 4", _ => $"j.state < 4 AND {word} IN ({string.Join(", ", open.Select(static s => (short)s))})" };
        var ofEnded = ended.Length == 0 ? null : $"j.state IN ({ended})";
        return ofOpen is null ? ofEnded ?? "false" : ofEnded is null ? ofOpen : $"({ofOpen} OR {ofEnded})";
    }

    private static string StateOf(JobState state, JobFilter filter, int after)
    {
        switch (state)
        {
            // A job reads as canceling from the request on and as running from the first lease on: state alone does not say it.
            case JobState.Canceling: return "j.state < 4 AND j.stop = 1";
            case JobState.Paused: return "j.state < 4 AND j.stop <> 1 AND j.paused";
            case JobState.Running:
                // By number from what runs, which the slots bound, and not by a walk over everything that waits.
                var ofRoots = filter.Parent == 0 ? " AND r.parent IS NULL" : "";
                var first = filter.Place is null && filter.Order == JobOrder.Newest && filter.IsCounted && filter is { Limit: not null, Family: null, Families: null, States: null, Project: null, NotProject: null, Projects: null };
                var newest = first ? $" ORDER BY r.number DESC LIMIT {filter.Limit}" : "";
                var unmade = filter.OnlyUnmade ? $" AND {Unmade("r")}" : "";
                var before = after == 0 ? "" : $" AND r.number < coalesce((SELECT number FROM job WHERE id = ${after}), 0)";
                return $"""
                    j.state < 4 AND j.stop <> 1 AND NOT j.paused AND j.number = ANY(
                        ARRAY(SELECT r.number FROM job r WHERE r.state = 1 AND r.stop <> 1 AND NOT r.paused{ofRoots}{unmade}{before}{newest}) || ARRAY({Begun}))
                    """;
            case JobState.Queued: return $"j.state = 0 AND j.stop <> 1 AND NOT j.paused AND j.number NOT IN ({Begun})";
            default: return $"j.state = {(short)state}";
        }
    }

    private static string LabelOf(KeyValuePair<string, string> label) => JsonSerializer.Serialize(new Dictionary<string, string> { [label.Key] = label.Value }, EngineJson.Default.DictionaryStringString);

    private static long Microseconds(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
}
