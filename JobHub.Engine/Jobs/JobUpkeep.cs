using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>Keeps what lists of jobs are searched and counted by: adds up the changes of counts, and makes words of what was submitted.</summary>
public sealed class JobUpkeep(NpgsqlDataSource database)
{
    private const int Batch = 500;

    // A change is taken and added in one statement: whoever reads sees it on one side or the other.
    private const string AddSql = """
        WITH taken AS (
            DELETE FROM job_count_change WHERE ctid = ANY (ARRAY(SELECT ctid FROM job_count_change LIMIT 20000))
            RETURNING project, family, root, state, jobs)
        INSERT INTO job_count (project, family, root, state, jobs)
        SELECT project, family, root, state, sum(jobs) FROM taken GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT (project, family, root, state) DO UPDATE SET jobs = job_count.jobs + excluded.jobs
        """;

    private const string WordsSql = """
        WITH next AS MATERIALIZED (
            SELECT position, job FROM ledger WHERE kind = 'job-submitted' AND position > (SELECT position FROM job_words_made) ORDER BY position LIMIT 500),
        made AS (
            INSERT INTO job_words (job, words)
            SELECT j.number, words_of_job(j.title, j.caller, j.labels) FROM next n CROSS JOIN LATERAL (SELECT * FROM job WHERE number = n.job OFFSET 0) j
            ON CONFLICT (job) DO NOTHING),
        moved AS (UPDATE job_words_made SET position = (SELECT max(position) FROM next) WHERE EXISTS (SELECT FROM next))
        SELECT count(*)::int FROM next
        """;

    /// <summary>Adds the changes of counts to the counts. One process at a time; the others find the lock taken and go on.</summary>
    public async Task AddCountsAsync(CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (!await TakeAsync(connection, 740754, ct)) return;
        await using (var command = new NpgsqlCommand(AddSql, connection)) await command.ExecuteNonQueryAsync(ct);
        await transaction.CommitAsync(ct);
    }

    /// <summary>Makes words of the jobs submitted since the last time.</summary>
    public async Task MakeWordsAsync(CancellationToken ct)
    {
        for (var made = Batch; made == Batch;)
        {
            await using var connection = await database.OpenConnectionAsync(ct);
            await using var transaction = await connection.BeginTransactionAsync(ct);
            if (!await TakeAsync(connection, 740755, ct)) return;
            await using (var command = new NpgsqlCommand(WordsSql, connection)) made = (int)(await command.ExecuteScalarAsync(ct))!;
            await transaction.CommitAsync(ct);
        }
    }

    private static async Task<bool> TakeAsync(NpgsqlConnection connection, int key, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new($"SELECT pg_try_advisory_xact_lock({key})"), new(KeyedPlans.Sql) } };
        return await batch.ExecuteScalarAsync(ct) is true;
    }
}
