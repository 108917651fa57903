namespace JobHub.AppHost.LocalHosting;

/// <summary>Keeps one process running: a death is a line on the console and a new start, later each time it dies young.</summary>
internal sealed class Supervisor(
    string name, string? address, int stopSignal, Func<CancellationToken, Task<HostedProcess>> start, HubConsole console, RunRecords records)
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan FirstBackoff = TimeSpan.FromSeconds(0.2);
    private static readonly TimeSpan LongestBackoff = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LongLife = TimeSpan.FromSeconds(30);

    private readonly CancellationTokenSource stopping = new();
    private Task loop = Task.CompletedTask;
    private HostedProcess? current;

    public string Name => name;

    public string? Address => address;

    /// <summary>Deaths so far.</summary>
    public int Deaths { get; private set; }

    /// <summary>Starts it. From then on it is kept running until <see cref="StopAsync"/>.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        Take(await start(cancellationToken));
        loop = KeepAsync();
    }

    /// <summary>Asks it to end, and ends it after the grace, with all of its session.</summary>
    public async Task StopAsync(CancellationToken hurry)
    {
        await stopping.CancelAsync();
        await loop;
        if (current is not null)
        {
            if (!await current.StopAsync(stopSignal, Grace, hurry)) console.Say($"{name} did not end in time and was killed");
            current.Dispose();
        }
        records.Remove(name);
        stopping.Dispose();
    }

    private void Take(HostedProcess started)
    {
        current = started;
        records.Write(name, started.Identity, address);
    }

    private async Task KeepAsync()
    {
        var clock = TimeProvider.System;
        var backoff = FirstBackoff;
        var since = clock.GetTimestamp();
        var stopped = Task.Delay(Timeout.Infinite, stopping.Token);
        while (true)
        {
            if (await Task.WhenAny(current!.Exited, stopped) == stopped) return;
            // What it had started in its session must not live beside its successor.
            current.KillSession();
            Deaths++;
            if (clock.GetElapsedTime(since) > LongLife) backoff = FirstBackoff;
            var how = Describe(await current.Exited);
            while (true)
            {
                console.Say($"{name} {how}; it is started again in {backoff.TotalSeconds:0.#} s");
                try
                {
                    await Task.Delay(backoff, stopping.Token);
                    backoff = backoff * 2 < LongestBackoff ? backoff * 2 : LongestBackoff;
                    since = clock.GetTimestamp();
                    Take(await start(stopping.Token));
                    break;
                }
                catch (OperationCanceledException)
                {
                    return;
                }
                catch (Exception e) when (e is HubStartException or IOException)
                {
                    Deaths++;
                    how = $"did not start ({e.Message})";
                }
            }
        }
    }

    private static string Describe(int exitCode) => exitCode switch
    {
        128 + Unix.Kill => "was killed (SIGKILL)",
        128 + Unix.Terminate => "was ended (SIGTERM)",
        > 128 => $"was ended by signal {exitCode - 128}",
        _ => $"ended with exit code {exitCode}",
    };
}
