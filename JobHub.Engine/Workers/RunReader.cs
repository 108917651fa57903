using System.Runtime.CompilerServices;
using JobHub.Engine.Attempts;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>A run of a tree's leaf: one attempt, by the number that was drawn when it was given out.</summary>
/// <param name="Outcome">Null while it runs.</param>
/// <param name="Duration">Until its end, or until now.</param>
public sealed record RunView(long Number, string Worker, long Job, string Title, AttemptOutcome? Outcome, DateTimeOffset StartedAt, TimeSpan Duration, string? Project = null);

/// <summary>Filter of runs, by number.</summary>
public sealed record RunFilter
{
    public long? Job { get; init; }
    public string? Worker { get; init; }
    /// <summary>Only those of jobs of these projects; null = of all.</summary>
    public string[]? Projects { get; init; }
    /// <summary>Only those that began no longer ago.</summary>
    public TimeSpan? Within { get; init; }
    /// <summary>Only those with a greater number.</summary>
    public long After { get; init; }
    /// <summary>Null = all, read page by page.</summary>
    public int? Limit { get; init; }
}

/// <summary>Reads the runs of trees' leaves: those that have ended, and those that run.</summary>
public sealed class RunReader(NpgsqlDataSource database)
{
    private const int Page = 1000;

    // Numbers are drawn in the order in which runs begin, but for what is given out at the same moment.
    private const string FirstWithinSql = """
        SELECT least((SELECT min(r.run) FROM (SELECT a.run FROM attempt a WHERE a.run IS NOT NULL AND a.started_at >= clock_timestamp() - $1 ORDER BY a.started_at LIMIT 2000) r),
                     (SELECT min(l.run) FROM live l WHERE l.session_id IS NOT NULL AND l.run > 0 AND l.leased_at >= clock_timestamp() - $1))
        """;

    /// <summary>Runs, ascending. A reader that is slow holds no snapshot open.</summary>
    public async IAsyncEnumerable<RunView> ListAsync(RunFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(filter);
        var (after, left) = (filter.After, filter.Limit ?? int.MaxValue);
        if (filter.Within is { } within)
        {
            await using var command = database.CreateCommand(FirstWithinSql);
            command.Parameters.AddWithValue(within);
            if (await command.ExecuteScalarAsync(ct) is not long first) yield break;
            after = Math.Max(after, first - 1);
        }

        if (filter.Job > long.MaxValue >> 20) yield break;
        while (left > 0)
        {
            // Of pages that are not all the caller's some is left out, so they are read whole.
            var most = filter.Projects is null ? Math.Min(left, Page) : Page;
            var page = await PageAsync(filter, after, most, ct);
            foreach (var run in page)
            {
                if (filter.Projects is { } projects && (run.Project is null || !projects.Contains(run.Project))) continue;
                yield return run;
                if (--left == 0) yield break;
            }

            if (page.Count < most) yield break;
            after = page[^1].Number;
        }
    }

    private async Task<List<RunView>> PageAsync(RunFilter filter, long after, int limit, CancellationToken ct)
    {
        const string columns = "SELECT a.run, a.session_id, a.task_id, a.outcome, a.started_at, a.ended_at FROM attempt a";
        const string page = "a.run > $1 AND a.started_at >= clock_timestamp() - $2 ORDER BY a.run LIMIT $3";
        var ended = filter switch
        {
            { Job: not null } => $"{columns} WHERE a.task_id = $4 AND ($5::text IS NULL OR a.session_id IN (SELECT o.id FROM worker_session o WHERE o.worker = $5)) AND {page}",
            { Worker: not null } => $"SELECT r.* FROM worker_session o CROSS JOIN LATERAL ({columns} WHERE a.session_id = o.id AND {page}) r WHERE o.worker = $5 ORDER BY r.run LIMIT $3",
            _ => $"{columns} WHERE {page}",
        };
        await using var command = database.CreateCommand($"""
            SELECT r.run, coalesce(s.worker, ''), r.task_id >> 20, coalesce(j.title, ''), r.outcome, r.started_at, coalesce(r.ended_at, clock_timestamp()) - r.started_at, j.project
            FROM (SELECT * FROM ({ended}) e
                  UNION ALL
                  SELECT l.run, l.session_id, l.task_id, NULL, l.leased_at, NULL FROM live l
                  WHERE l.session_id IS NOT NULL AND l.run > $1 AND l.leased_at >= clock_timestamp() - $2 AND ($4::bigint IS NULL OR l.task_id = $4)) r
            LEFT JOIN worker_session s ON s.id = r.session_id LEFT JOIN job j ON j.number = r.task_id >> 20
            WHERE $5::text IS NULL OR s.worker = $5
            ORDER BY r.run LIMIT $3
            """);
        command.Parameters.AddWithValue(after);
        command.Parameters.AddWithValue(filter.Within ?? TimeSpan.FromDays(36_500));
        command.Parameters.AddWithValue(limit);
        command.Parameters.Add(new() { Value = filter.Job is { } job ? job << 20 : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
        command.Parameters.Add(new() { Value = (object?)filter.Worker ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var runs = new List<RunView>();
        while (await reader.ReadAsync(ct))
        {
            runs.Add(new(reader.GetInt64(0), reader.GetString(1), reader.GetInt64(2), reader.GetString(3), reader.IsDBNull(4) ? null : (AttemptOutcome)reader.GetInt16(4),
                reader.GetFieldValue<DateTimeOffset>(5), reader.GetTimeSpan(6), reader.IsDBNull(7) ? null : reader.GetString(7)));
        }

        return runs;
    }
}
