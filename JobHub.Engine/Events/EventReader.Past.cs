using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Events;

/// <summary>Which past events are asked for.</summary>
/// <param name="Before">Older ones than this position only; null: from the newest on.</param>
/// <param name="Projects">Of these projects' jobs and of no job only; null: of all.</param>
/// <param name="OnlyUnmade">Only of projects that nobody made.</param>
/// <param name="Project">Of these only this one's jobs.</param>
/// <param name="After">Newer ones than this position only.</param>
public sealed record PastEvents(JobId? Job, string? Kind, long? Before, string[]? Projects, bool OnlyUnmade, int Limit, string? Project = null, long? After = null);

public sealed partial class EventReader
{
    /// <summary>Positions that one page looks through at most: a page of something rare may be empty and not the last.</summary>
    public const int PageReach = 20_000;

    /// <summary>Past events, newest first, and the position to go on before; null when there are no older ones.</summary>
    public async Task<(IReadOnlyList<HubEvent> Items, long? Next)> PastAsync(PastEvents asked, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(asked);
        await using var connection = await database.OpenConnectionAsync(ct);
        var (least, last) = await EndsAsync(connection, ct);
        var before = Math.Min(asked.Before ?? long.MaxValue, last + 1);
        // One job's events lie together; all others are reached by position, a stretch at a time.
        least = Math.Max(least, asked.After + 1 ?? least);
        var from = asked.Job is null ? Math.Max(least, before - PageReach) : least;
        var statement = new NpgsqlBatchCommand($"""
            SELECT e.position, e.at, e.kind, j.id, e.payload::text, j.project FROM ledger e LEFT JOIN job j ON j.number = e.job
            WHERE e.position < $1 AND e.position >= $2
            {(asked.Job is null ? "" : "AND e.job = (SELECT number FROM job WHERE id = $4)")}
            {(asked.Kind is null ? "" : "AND e.kind = $5")}
            {(asked.Projects is null ? "" : "AND (e.job = 0 OR j.project = ANY ($6))")}
            {(asked.OnlyUnmade ? "AND (e.job = 0 OR j.project = 'default' OR (j.project IS NOT NULL AND NOT EXISTS (SELECT FROM project p WHERE p.id = j.project)))" : "")}
            {(asked.Project is null ? "" : "AND j.project = $7")}
            ORDER BY e.position DESC LIMIT $3
            """);
        statement.Parameters.Add(new() { Value = before });
        statement.Parameters.Add(new() { Value = from });
        statement.Parameters.Add(new() { Value = asked.Limit + 1 });
        statement.Parameters.Add(new() { Value = (object?)asked.Job?.Value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid });
        statement.Parameters.Add(new() { Value = (object?)asked.Kind ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        statement.Parameters.Add(new() { Value = (object?)asked.Projects ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        statement.Parameters.Add(new() { Value = (object?)asked.Project ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
        var events = new List<HubEvent>();
        while (await reader.ReadAsync(ct)) events.Add(Read(reader));
        if (events.Count <= asked.Limit) return (events, from > least ? from : null);
        events.RemoveAt(asked.Limit);
        return (events, events[^1].Position);
    }

    /// <summary>The first position that is kept and the newest.</summary>
    private static async Task<(long Least, long Last)> EndsAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(
            "SELECT coalesce((SELECT position FROM ledger WHERE position IS NOT NULL ORDER BY position LIMIT 1), 0), position FROM relay", connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return (reader.GetInt64(0), reader.GetInt64(1));
    }

    private static HubEvent Read(NpgsqlDataReader reader) => new(reader.GetInt64(0), reader.GetFieldValue<DateTimeOffset>(1), reader.GetString(2),
        reader.IsDBNull(3) ? null : reader.GetGuid(3), reader.IsDBNull(4) ? "{}" : reader.GetString(4), reader.IsDBNull(5) ? null : reader.GetString(5));
}
