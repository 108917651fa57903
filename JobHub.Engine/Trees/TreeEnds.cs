using System.Text.Json;
using JobHub.Engine.Jobs;
using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>The end of a job of a tree, for whoever is to be told.</summary>
/// <param name="Position">Of its event.</param>
/// <param name="User">Never empty.</param>
/// <param name="State">As it ended then; it may have begun again.</param>
/// <param name="Leaves">Of a group: all below, and how many of them have failed by now.</param>
public sealed record TreeEnd(
    long Position, long Number, Guid Id, string Title, string User, bool IsGroup, JobState State, DateTimeOffset? StartedAt, DateTimeOffset At, int Leaves, int Failed, string? Error);

/// <summary>A stretch of the ledger.</summary>
/// <param name="Upto">All events up to this position are covered.</param>
/// <param name="Newest">The ledger's last position.</param>
public sealed record TreeEndPage(List<TreeEnd> Ends, long Upto, long Newest);

/// <summary>The ends of trees' jobs in the ledger: those with a user, and of one user's only the topmost. A thousand frames of one shot are one end.</summary>
public static class TreeEnds
{
    // One statement walks over at most this many events.
    private const int Stride = 20_000;

    private const string PageSql = """
        WITH edge AS MATERIALIZED (SELECT least($1 + $2, position) AS upto, position AS newest FROM relay)
        SELECT edge.upto, edge.newest, e.position, e.at, e.state, j.number, j.id, j.title, j.details->'ofTree'->>'user', j.is_group, j.started_at, j.leaves, j.leaves_failed, j.error::text, e.is_wanted
        FROM edge
        LEFT JOIN LATERAL (
            SELECT l.position, l.at, l.payload->>'state' AS state, l.job,
                o.family = 3 AND o.deleted_at IS NULL AND coalesce(o.details->'ofTree'->>'user', '') <> '' AND NOT EXISTS (
                    WITH RECURSIVE above AS (
                        SELECT p.number, p.parent, p.details FROM job p WHERE p.number = o.parent
                        UNION ALL
                        SELECT p.number, p.parent, p.details FROM above a JOIN job p ON p.number = a.parent)
                    SELECT FROM above WHERE above.details->'ofTree'->>'user' = o.details->'ofTree'->>'user') AS is_wanted
            FROM ledger l JOIN job o ON o.number = l.job
            WHERE l.position > $1 AND l.position <= edge.upto AND l.kind = 'job-ended' ORDER BY l.position LIMIT $3) e ON true
        LEFT JOIN job j ON j.number = e.job
        ORDER BY e.position
        """;

    /// <summary>The next ends after a position; at most <paramref name="limit"/>, perhaps none though there are more.</summary>
    public static async Task<TreeEndPage> ReadAsync(NpgsqlConnection connection, long after, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(connection);
        await using var command = new NpgsqlCommand(PageSql, connection) { Parameters = { new() { Value = after }, new() { Value = (long)Stride }, new() { Value = limit } } };
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var (upto, newest, last, seen) = (reader.GetInt64(0), reader.GetInt64(1), after, 0);
        var ends = new List<TreeEnd>();
        do
        {
            if (reader.IsDBNull(2)) break;
            seen++;
            last = reader.GetInt64(2);
            if (reader.IsDBNull(14) || !reader.GetBoolean(14)) continue;
            var error = reader.IsDBNull(13) ? null : JsonSerializer.Deserialize(reader.GetString(13), EngineJson.Default.JobError)?.Message;
            ends.Add(new(last, reader.GetInt64(5), reader.GetGuid(6), reader.IsDBNull(7) ? "" : reader.GetString(7), reader.GetString(8), reader.GetBoolean(9),
                Enum.TryParse<JobState>(reader.IsDBNull(4) ? null : reader.GetString(4), out var state) ? state : JobState.Failed,
                reader.IsDBNull(10) ? null : reader.GetFieldValue<DateTimeOffset>(10), reader.GetFieldValue<DateTimeOffset>(3), reader.GetInt32(11), reader.GetInt32(12), error));
        }
        while (await reader.ReadAsync(ct));
        return new(ends, seen == limit ? last : Math.Max(upto, after), newest);
    }
}
