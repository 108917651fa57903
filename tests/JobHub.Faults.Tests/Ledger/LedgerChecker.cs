using System.Globalization;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;

namespace JobHub.Faults.Tests.Ledger;

/// <summary>
/// Reads the programs' ledger, the database, the store and the machine after a run and says what does not hold (L1 to L10). L5 and L9 come with a
/// <see cref="HubWatch"/>, which has to have looked while it happened.
/// </summary>
public sealed class LedgerChecker(FaultHub hub)
{
    private readonly List<string> findings = [];

    public long Lost { get; private set; }

    public long Doubled { get; private set; }

    public int DuplicateStarts { get; private set; }

    /// <summary>Everything that does not hold; empty when all is well.</summary>
    /// <param name="jobs">Ended jobs, each with the text it counted; null where no result is expected.</param>
    public async Task<IReadOnlyList<string>> CheckAsync(IReadOnlyDictionary<string, WordCount?> jobs, HubWatch? watch = null)
    {
        foreach (var (id, text) in jobs) await CheckJobAsync(id, text);
        await CheckTasksAsync();
        CheckStarts();
        await CheckStoreAsync();
        await CheckMachineAsync();
        await CheckEventsAsync(watch);
        if (watch is not null) findings.AddRange(watch.Findings);
        foreach (var id in jobs.Keys.Where(id => findings.Exists(f => f.Contains(id, StringComparison.Ordinal))).ToArray()) await TellAsync(id);
        return findings;
    }

    /// <summary>What happened to the tasks of a job with more than one attempt: for whoever has to find out why.</summary>
    private async Task TellAsync(string id)
    {
        var maps = await hub.CountAsync($"SELECT maps FROM job WHERE id = '{id}'");
        var rows = await hub.QueryAsync($"""
            SELECT at, index, what FROM (
                SELECT at, (payload->>'task')::int AS index, kind || ' ' || payload::text AS what FROM ledger JOIN job j ON j.number = job WHERE j.id = '{id}' AND payload->>'task' IS NOT NULL
                UNION ALL SELECT at, (t->>0)::int, kind || ' ' || (payload->>'state') || ' attempt ' || (t->>1) FROM ledger JOIN job j ON j.number = job, jsonb_array_elements(payload->'tasks') t
                    WHERE j.id = '{id}' AND kind = 'tasks-ended'
                UNION ALL SELECT leased_or_started, index, what FROM (SELECT a.started_at AS leased_or_started, (task_id & 1048575)::int AS index,
                    format('attempt %s token %s session %s outcome %s until %s', a.number, a.token, a.session_id, a.outcome, a.ended_at) AS what
                    FROM attempt a JOIN job j ON j.number = task_id >> 20 WHERE j.id = '{id}') a) r
            WHERE index IN (SELECT (task_id & 1048575)::int FROM attempt a JOIN job j ON j.number = task_id >> 20 WHERE j.id = '{id}' AND a.number > 1) ORDER BY index, at
            """, r => string.Create(CultureInfo.InvariantCulture, $"  {(r.GetInt32(1) < maps ? "m" : "r")} {r.GetInt32(1)} {r.GetDateTime(0):HH:mm:ss.fff} {r.GetString(2)}"));
        findings.AddRange(rows);
    }

    private async Task CheckJobAsync(string id, WordCount? text)
    {
        var number = await hub.CountAsync($"SELECT number FROM job WHERE id = '{id}'");
        await ExpectAsync("L1: an end more or less than one", 1, $"SELECT count(*) FROM ledger WHERE job = {number} AND kind = 'job-ended'");
        await ExpectAsync("L1: not ended", 1, $"SELECT count(*) FROM job WHERE number = {number} AND state >= 4");
        await ExpectAsync("L1: still queued", 0, $"SELECT count(*) FROM live WHERE task_id >> 20 = {number}");
        await ExpectAsync("L10: submissions on record", 1, $"SELECT count(*) FROM ledger WHERE job = {number} AND kind = 'job-submitted'");
        await ExpectAsync("L10: a cancel without its record", 0,
            $"SELECT count(*) FROM job j WHERE number = {number} AND cancel_requested_at IS NOT NULL AND NOT EXISTS (SELECT FROM ledger l WHERE l.job = j.number AND l.kind = 'job-cancel-requested')");
        var output = hub.OutputOf(id);
        var left = Directory.Exists(output) ? Directory.GetFileSystemEntries(output, "*", SearchOption.AllDirectories) : [];
        if (text is null)
        {
            if (left.Length > 0) findings.Add($"L4: job {id} left {string.Join(", ", left)}");
            return;
        }

        var job = await hub.JobAsync(id);
        if (job.GetProperty("state").GetString() != "Succeeded")
        {
            findings.Add($"L1: job {id} is {job}");
            return;
        }

        var (lost, doubled) = text.Compare(output);
        Lost += lost;
        Doubled += doubled;
        if (lost + doubled > 0) findings.Add($"L2: job {id} lost {lost} words and has {doubled} too many");
        var reducers = await hub.CountAsync($"SELECT reduces FROM job WHERE number = {number}");
        var expected = Enumerable.Range(0, (int)reducers).Select(i => string.Create(CultureInfo.InvariantCulture, $"part-{i:D5}")).Append("_SUCCESS");
        var unexpected = left.Select(Path.GetFileName).Except(expected).ToArray();
        if (unexpected.Length > 0) findings.Add($"L4: the output of job {id} has also {string.Join(", ", unexpected)}");
        var records = job.GetProperty("counters").GetProperty("map_input_records").GetInt64();
        if (records != text.Lines) findings.Add($"L5: job {id} counts {records} records of {text.Lines}");
        await CheckLogsAsync(id, number);
    }

    /// <summary>The log of each mapper that won, to the byte; of those that were ended, a beginning of it.</summary>
    private async Task CheckLogsAsync(string id, long number)
    {
        var attempts = await hub.QueryAsync(
            $"SELECT (a.task_id & 1048575)::int, a.number, a.outcome, a.log_inline FROM attempt a JOIN job j ON j.number = a.task_id >> 20 WHERE j.number = {number} AND (a.task_id & 1048575) < j.maps",
            r => (Task: $"{id}-m-{r.GetInt32(0)}", Number: r.GetInt32(1), Outcome: r.GetInt16(2), Log: r.IsDBNull(3) ? "" : System.Text.Encoding.UTF8.GetString((byte[])r.GetValue(3))));
        foreach (var (task, attempt, outcome, kept) in attempts)
        {
            var whole = WordCount.LogOf(task, attempt);
            // The fault may hit a child of the mapper's shell (its sleep): the shell says so and goes on.
            var log = kept.Replace("Killed\n", "", StringComparison.Ordinal);
            // An outcome of 7 is of a winner whose output vanished later.
            if (outcome is 0 or 7 ? log != whole : !whole.StartsWith(log, StringComparison.Ordinal)) findings.Add($"L7: the log of {task} attempt {attempt} ({outcome}) is '{kept}'");
        }
    }

    private async Task CheckTasksAsync()
    {
        // Of a task that was made to run again, only what came after counts.
        await ExpectAsync("L2: tasks with more than one successful attempt", 0, """
            SELECT count(*) FROM (SELECT task_id FROM attempt a JOIN job j ON j.number = a.task_id >> 20 WHERE outcome = 0 AND a.number > j.charged_from GROUP BY task_id HAVING count(*) > 1) d
            """);
        await ExpectAsync("L3: winners that are not their task's one successful attempt", 0, """
            SELECT count(*) FROM task t WHERE t.winner IS NOT NULL AND NOT EXISTS (
                SELECT FROM attempt a WHERE a.task_id = t.id AND a.token = t.winner AND a.number = t.attempt AND a.outcome = 0)
            """);
        await ExpectAsync("L3: successful attempts that are not the winner", 0,
            "SELECT count(*) FROM attempt a JOIN job j ON j.number = a.task_id >> 20 WHERE a.outcome = 0 AND a.number > j.charged_from AND NOT EXISTS (SELECT FROM task t WHERE t.id = a.task_id AND t.winner = a.token)");
        await ExpectAsync("L4: commits left open", 0, "SELECT count(*) FROM task WHERE pending IS NOT NULL");
        await EventuallyAsync("L4: pending bytes not discarded", "SELECT count(*) FROM discard");
        await EventuallyAsync("L4: uploads left open", "SELECT count(*) FROM upload");
        await EventuallyAsync("L4: clean-ups of jobs open", "SELECT count(*) FROM job WHERE cleanup");
    }

    private void CheckStarts()
    {
        var starts = hub.Ledger.Lines.Where(l => l.Word == "start").ToList();
        foreach (var twice in starts.GroupBy(s => s.Token).Where(g => g.Count() > 1)) findings.Add($"L3: token {twice.Key} of {twice.First().Task} started {twice.Count()} times");
        foreach (var same in starts.GroupBy(s => (s.Task, s.Attempt)).Where(g => g.Select(s => s.Token).Distinct().Count() > 1)) findings.Add($"L3: the number of attempt {same.Key} was used again");
        DuplicateStarts = starts.Count - starts.Select(s => s.Task).Distinct().Count();
    }

    private async Task CheckStoreAsync()
    {
        string[] Temporary() =>
        [
            .. Directory.EnumerateFiles(hub.Store, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(hub.Store, f))
                .Where(f => !f.Contains("artifacts/", StringComparison.Ordinal) && !f.Contains("logs/", StringComparison.Ordinal) || f.Contains(".tmp", StringComparison.Ordinal))
        ];
        try
        {
            await Eventually.TrueAsync(() => Temporary().Length == 0, "a store without temporary objects", TimeSpan.FromSeconds(30));
        }
        catch (TimeoutException)
        {
            findings.Add($"L4: the store has {string.Join(", ", Temporary().Take(10))}");
        }
    }

    private async Task CheckMachineAsync()
    {
        var tokens = hub.Ledger.Lines.Select(l => l.Token).ToHashSet();
        int[] Processes() => [.. ProgramProcesses.All().Where(p => tokens.Contains(p.Token)).Select(p => p.Id)];
        string[] Folders() =>
        [
            .. Directory.Exists(hub.Scratch) ? Directory.EnumerateDirectories(hub.Scratch, "*", SearchOption.AllDirectories).Where(f => Guid.TryParse(Path.GetFileName(f), out var token) && tokens.Contains(token)) : []
        ];
        try
        {
            await Eventually.TrueAsync(() => Processes().Length == 0 && Folders().Length == 0, "the end of all programs", TimeSpan.FromSeconds(30));
        }
        catch (TimeoutException)
        {
            findings.Add($"L6: processes {string.Join(", ", Processes())} and folders {string.Join(", ", Folders())} of ended attempts are left");
        }
    }

    private async Task CheckEventsAsync(HubWatch? watch)
    {
        await EventuallyAsync("L9: events without a position", "SELECT count(*) FROM ledger WHERE position IS NULL");
        await ExpectAsync("L9: positions given twice", 0, "SELECT count(*) FROM (SELECT position FROM ledger GROUP BY position HAVING count(*) > 1) d");
        findings.AddRange(await hub.QueryAsync("""
            SELECT format('L9: events of job %s out of order: %s', job, (SELECT string_agg(concat_ws(' ', seq, kind, payload, succeeded, failed), '; ' ORDER BY position) FROM ledger l WHERE l.job = o.job)) FROM (
                SELECT job, seq, lag(seq) OVER (PARTITION BY job ORDER BY position) AS before FROM ledger) o
            WHERE before > seq
            """, r => r.GetString(0)));
        if (watch is null) return;
        var all = await hub.QueryAsync("SELECT position FROM ledger WHERE position IS NOT NULL", r => r.GetInt64(0));
        try
        {
            await Eventually.TrueAsync(() => all.Except(watch.Positions).LongCount() == 0, "every event on the stream", TimeSpan.FromSeconds(20));
        }
        catch (TimeoutException)
        {
            var missed = all.Except(watch.Positions).ToArray();
            findings.Add($"L9: the stream of events missed {missed.Length}: {string.Join(", ", missed.Take(10))}");
        }
    }

    private async Task ExpectAsync(string what, long expected, string sql)
    {
        var found = await hub.CountAsync(sql);
        if (found != expected) findings.Add($"{what}: {found}");
    }

    private async Task EventuallyAsync(string what, string sql)
    {
        try
        {
            await Eventually.TrueAsync(async () => await hub.CountAsync(sql) == 0, what, TimeSpan.FromSeconds(30));
        }
        catch (TimeoutException)
        {
            findings.Add($"{what}: {await hub.CountAsync(sql)}");
        }
    }
}
