using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobHub.Engine.Upkeep;

/// <summary>Carries wake-ups between Apis by NOTIFY on connections of its own, never in a work transaction (NOTIFY serialises commits).</summary>
public sealed class WakeupRelay(NpgsqlDataSource database, Wakeups wakeups, TimeProvider clock, ILogger<WakeupRelay> logger) : BackgroundService
{
    private const string Channel = "jobhub_wake";
    private readonly string _self = Guid.NewGuid().ToString("N");

    /// <inheritdoc />
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(KeepAsync(ListenAsync, stoppingToken), KeepAsync(SpeakAsync, stoppingToken));

    private async Task KeepAsync(Func<CancellationToken, Task> work, CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
        {
            try
            {
                await work(ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault) when (fault is NpgsqlException or TimeoutException or IOException or InvalidOperationException)
            {
                EngineLog.WakeupsInterrupted(logger, fault.Message);
                await Task.Delay(TimeSpan.FromSeconds(1), clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ListenAsync(CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        connection.Notification += (_, e) =>
        {
            var parts = e.Payload.Split(' ');
            if (parts[0] == _self) return;
            foreach (var topic in parts.AsSpan(1)) wakeups.Heard(topic);
        };
        await using (var listen = new NpgsqlCommand($"LISTEN {Channel}", connection)) await listen.ExecuteNonQueryAsync(ct);
        while (!ct.IsCancellationRequested) await connection.WaitAsync(ct);
    }

    private async Task SpeakAsync(CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var notify = new NpgsqlCommand("SELECT pg_notify($1, $2)", connection);
        notify.Parameters.AddWithValue(Channel);
        notify.Parameters.AddWithValue("");
        while (true)
        {
            var next = wakeups.NextOutgoing;
            var topics = wakeups.TakeOutgoing();
            if (topics.Length == 0)
            {
                await next.WaitAsync(ct);
                continue;
            }

            notify.Parameters[1].Value = _self + ' ' + string.Join(' ', topics);
            await notify.ExecuteNonQueryAsync(ct);
            await Task.Delay(TimeSpan.FromMilliseconds(5), clock, ct);
        }
    }
}
