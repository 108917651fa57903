using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Options;
using Npgsql;
using Quartz;

namespace JobHub.Worker.Upkeep;

/// <summary>Looks how much waits and who is idle, and runs the operator's command where <see cref="MachineDecision"/> says so. Of all schedulers one does it.</summary>
[DisallowConcurrentExecution, PersistJobDataAfterExecution]
public sealed class MachinesJob(NpgsqlDataSource database, IOptions<MachineOptions> options, ILogger<MachinesJob> logger) : IJob
{
    private const string LastAt = "last";
    private const int MostOutput = 2000;

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        var data = context.JobDetail.JobDataMap;
        DateTimeOffset? last = data.TryGetString(LastAt, out var text) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, out var at) ? at : null;
        var (load, now) = await ReadAsync(cancellationToken);
        var count = MachineDecision.Of(load, options.Value, now, last);
        if (count == 0) return;
        // Before the command: one that fails is not run again at once.
        data[LastAt] = now.ToString("O", CultureInfo.InvariantCulture);
        var (what, command) = count > 0 ? ("start", options.Value.Start) : ("stop", options.Value.Stop);
        var (code, said) = await RunAsync(command, Math.Abs(count), load, cancellationToken);
        if (code == 0) MachinesLog.Ran(logger, what, Math.Abs(count), load.Waiting, load.Idle.Count, load.Workers, said);
        else MachinesLog.Failed(logger, what, Math.Abs(count), code is { } c ? $"it ended with {c}" : $"it took longer than {options.Value.TimeLimit}", said);
    }

    /// <summary>The load, at one moment of the database's clock.</summary>
    private async Task<(FarmLoad Load, DateTimeOffset Now)> ReadAsync(CancellationToken ct)
    {
        // Rows of other families' tasks are walked over, up to a limit: this only has to know whether much waits.
        await using var command = database.CreateCommand("""
            SELECT (SELECT count(*)::int FROM (SELECT FROM (SELECT task_id FROM live WHERE claimable LIMIT 5 * $1) l JOIN job j ON j.number = l.task_id >> 20 AND j.family = 3 LIMIT $1) w),
                   clock_timestamp(), s.worker, s.busy, s.since
            FROM (SELECT 1) one LEFT JOIN (
                SELECT s.worker, bool_or(EXISTS (SELECT FROM live l WHERE l.session_id = s.id)) AS busy,
                       max(greatest(s.opened_at, (SELECT a.ended_at FROM attempt a WHERE a.session_id = s.id AND a.run IS NOT NULL ORDER BY a.run DESC LIMIT 1))) AS since
                FROM worker_session s WHERE s.ended_at IS NULL AND s.lease_until > clock_timestamp() AND s.slots > 0 GROUP BY s.worker) s ON true
            ORDER BY s.since
            """);
        command.Parameters.AddWithValue(FarmLoad.MostCounted);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var (waiting, now, workers) = (0, DateTimeOffset.MinValue, 0);
        var idle = new List<(string, DateTimeOffset)>();
        while (await reader.ReadAsync(ct))
        {
            (waiting, now) = (reader.GetInt32(0), reader.GetFieldValue<DateTimeOffset>(1));
            if (reader.IsDBNull(2)) continue;
            workers++;
            if (!reader.GetBoolean(3)) idle.Add((reader.GetString(2), reader.GetFieldValue<DateTimeOffset>(4)));
        }

        return (new(waiting, workers, idle), now);
    }

    /// <returns>The exit code, null when the time was over; and what it printed, one line and not much.</returns>
    private async Task<(int? Code, string Said)> RunAsync(string command, int count, FarmLoad load, CancellationToken ct)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", command]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false, WorkingDirectory = "/" };
        // The operator's own command, not the place for the hub's connection and tokens.
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("JobHub", StringComparison.OrdinalIgnoreCase) || k.StartsWith("ConnectionStrings", StringComparison.OrdinalIgnoreCase)).ToArray()) start.Environment.Remove(name);
        foreach (var (name, value) in ((string, int)[])[("WAITING", load.Waiting), ("IDLE", load.Idle.Count), ("WORKERS", load.Workers), ("MACHINES", count)])
            start.Environment[$"JOBHUB_{name}"] = value.ToString(CultureInfo.InvariantCulture);
        start.Environment["JOBHUB_IDLE_WORKERS"] = string.Join('\n', load.Idle.Select(i => i.Worker));
#pragma warning disable RS0030 // The operator's own command of the settings, no program of a job.
        using var process = Process.Start(start)!;
#pragma warning restore RS0030
        process.StandardInput.Close();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(options.Value.TimeLimit);
        var said = Task.WhenAll(ReadAsync(process.StandardOutput, limit.Token), ReadAsync(process.StandardError, limit.Token));
        try
        {
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, string.Join(' ', await said).Trim());
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            ct.ThrowIfCancellationRequested();
            // It may have ended in time and left something behind that holds its output.
            return (process.HasExited && process.ExitCode == 0 ? 0 : null, "");
        }
    }

    private static async Task<string> ReadAsync(StreamReader reader, CancellationToken ct)
    {
        var (kept, buffer) = (new System.Text.StringBuilder(), new char[1024]);
        int n;
        while ((n = await reader.ReadAsync(buffer, ct)) > 0) kept.Append(buffer, 0, Math.Min(n, MostOutput - kept.Length));
        return string.Concat(kept.ToString().Select(c => char.IsControl(c) ? ' ' : c)).Trim();
    }
}

internal static partial class MachinesLog
{
    [LoggerMessage(2312, LogLevel.Information, "The command to {What} {Count} machines has run: {Waiting} jobs wait, {Idle} of {Workers} workers are idle; it said: {Said}")]
    public static partial void Ran(ILogger logger, string what, int count, int waiting, int idle, int workers, string said);

    [LoggerMessage(2313, LogLevel.Warning, "The command to {What} {Count} machines failed: {Reason}; it said: {Said}")]
    public static partial void Failed(ILogger logger, string what, int count, string reason, string said);
}
