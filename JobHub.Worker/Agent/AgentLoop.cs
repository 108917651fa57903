using JobHub.Engine.Protocol;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime;
using Microsoft.Extensions.Options;

namespace JobHub.Worker.Agent;

/// <summary>The agent: one session after another, and the outbox beside them all.</summary>
public sealed class AgentLoop(
    AgentClient client, AttemptRunner runner, IProgramLauncher launcher, Outbox outbox, HubAddress hub, IOptions<WorkerOptions> options, IHostApplicationLifetime host,
    TimeProvider clock, ILogger<AgentLoop> logger)
    : BackgroundService
{
    private static readonly TimeSpan FlushTime = TimeSpan.FromSeconds(2);

    /// <summary>The session in force; null while there is none.</summary>
    public long? Session { get; private set; }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var settings = options.Value;
        logger.WorkerStarts(settings.Name, settings.SlotCount, IsolationName(launcher.Isolation), hub.Base);
        using var sending = new CancellationTokenSource();
        var sender = Task.Run(() => outbox.SendAsync(sending.Token), CancellationToken.None);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (await OpenAsync(stoppingToken) is not { } open) break;
                Session = open.Answer.Session;
                using var session = new WorkerSession(open.Answer, open.SentAt, settings.SlotCount, client, runner, outbox, host.StopApplication, clock, logger);
                await session.RunAsync(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested) { break; }
            catch (Exception e)
            {
                // Nothing a session meets may end the worker.
                logger.LoopBroke(e);
                await Task.Delay(TimeSpan.FromSeconds(1), clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            finally { Session = null; }
        }
        using var flush = new CancellationTokenSource(FlushTime);
        await outbox.WhenEmptyAsync(flush.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await sending.CancelAsync();
        await sender.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // The lease counts from the sending of the call that was answered, not from the tries before it.
    private async Task<(SessionOpened Answer, long SentAt)?> OpenAsync(CancellationToken ct)
    {
        var settings = options.Value;
        var request = new OpenSession(
            settings.Name, Environment.MachineName, settings.SlotCount, settings.OfferedCpus, settings.OfferedMemoryBytes, settings.OfferedGpus,
            [.. settings.Affinity.Select(line => line.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))],
            settings.Mounts ?? (hub.IsLoopback ? ["/"] : []), IsolationName(launcher.Isolation), typeof(AgentLoop).Assembly.GetName().Version?.ToString(3) ?? "0");
        var backoff = new Backoff(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(5));
        while (!ct.IsCancellationRequested)
        {
            try
            {
                var sentAt = clock.GetTimestamp();
                var opened = await client.OpenAsync(request, ct);
                var shares = await ProveAsync(opened, ct);
                logger.SessionOpen(opened.Session, opened.LeaseSeconds, shares);
                return (opened, sentAt);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested) { return null; }
            catch (Exception e)
            {
                // The hub is not up yet, the token is not written yet, the answer was lost (that session runs out by itself): all the same to us.
                logger.SessionNotOpened(e.Message);
                await Task.Delay(backoff.Next(), clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        return null;
    }

    // Reading the hub's nonce file proves that its folder is ours too; without the proof everything goes by URL.
    private async Task<bool> ProveAsync(SessionOpened opened, CancellationToken ct)
    {
        if (opened.ProofPath is not { } path) return false;
        string text;
        try
        {
            if (new FileInfo(path) is not { Exists: true, Length: <= 4096 }) return false;
            text = await File.ReadAllTextAsync(path, ct);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return false; }
        return await client.ProveAsync(opened.Session, text, ct);
    }

    internal static string IsolationName(IsolationLevel level) => level switch
    {
        IsolationLevel.Bubblewrap => "bubblewrap", IsolationLevel.Unshare => "unshare", _ => "plain",
    };
}
