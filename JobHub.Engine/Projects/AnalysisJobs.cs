using System.Text.Json;
using JobHub.Engine.Analyses;
using JobHub.Engine.Jobs;
using Npgsql;

namespace JobHub.Engine.Projects;

/// <summary>A job that makes an analysis, as its project's list shows it.</summary>
/// <param name="Made">The analysis exists.</param>
/// <param name="Progress">0..1.</param>
/// <param name="EndedAt">Null until it has ended.</param>
public sealed record AnalysisJob(JobId Id, JobState State, bool Made, AnalysisDetails Details, double Progress, DateTimeOffset CreatedAt, DateTimeOffset? EndedAt, JobError? Error);

/// <summary>Reads the jobs of projects.</summary>
public sealed class AnalysisJobs(NpgsqlDataSource database)
{
    // The task's row is in the queue until it ends; a job of this family has one task.
    private const string Columns = """
        SELECT j.id, j.state, coalesce(a.made, false), j.details::text, coalesce(l.progress, 0), j.created_at, CASE WHEN j.state >= 4 THEN j.ended_at ELSE a.made_at END, j.error::text
        FROM picked p
        CROSS JOIN LATERAL (SELECT * FROM job WHERE job.number = p.number OFFSET 0) j
        LEFT JOIN LATERAL (SELECT made_at IS NOT NULL AS made, made_at FROM analysis WHERE analysis.id = (j.details->>'analysis')::uuid OFFSET 0) a ON true
        LEFT JOIN LATERAL (SELECT max(progress) AS progress FROM live WHERE task_id = j.number << 20) l ON true
        ORDER BY j.number
        """;

    /// <summary>A page of a project's jobs, oldest first. Pages before it cost entries of an index, no rows.</summary>
    public async Task<IReadOnlyList<AnalysisJob>> ListAsync(string project, long page, int size, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"""
            WITH picked AS MATERIALIZED (SELECT number FROM job WHERE project = $1 AND family = 2 ORDER BY number OFFSET $2 LIMIT $3) {Columns}
            """);
        command.Parameters.AddWithValue(project);
        command.Parameters.AddWithValue(page * size);
        command.Parameters.AddWithValue(size);
        return await ReadAsync(command, ct);
    }

    /// <summary>One job of a project, or null.</summary>
    public async Task<AnalysisJob?> FindAsync(string project, JobId id, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"WITH picked AS MATERIALIZED (SELECT number FROM job WHERE id = $1 AND project = $2 AND family = 2) {Columns}");
        command.Parameters.AddWithValue(id.Value);
        command.Parameters.AddWithValue(project);
        return (await ReadAsync(command, ct)).FirstOrDefault();
    }

    private static async Task<List<AnalysisJob>> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        var jobs = new List<AnalysisJob>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var made = reader.GetBoolean(2);
            jobs.Add(new(new(reader.GetGuid(0)), (JobState)reader.GetInt16(1), made, JsonSerializer.Deserialize(reader.GetString(3), EngineJson.Default.AnalysisDetails)!,
                made ? 1 : reader.GetFloat(4), reader.GetFieldValue<DateTimeOffset>(5), reader.IsDBNull(6) ? null : reader.GetFieldValue<DateTimeOffset>(6),
                reader.IsDBNull(7) ? null : JsonSerializer.Deserialize(reader.GetString(7), EngineJson.Default.JobError)));
        }

        return jobs;
    }
}
