namespace JobHub.Worker.Tests.Processes;

/// <summary>The test assembly run as a program: a worker process with a launcher, that a test can kill.</summary>
public static class DyingHost
{
    /// <summary>What the programs sleep for is the test's mark, by which it finds them in the process table.</summary>
    public static async Task Main(string[] arguments)
    {
        if (arguments is not [var root, var step, var mark]) return;
        using var host = new LauncherHost(root, new KeyValuePair<string, string?>("JobHub:Worker:Isolation", step));
        var (left, _, _) = await host.RunAsync(host.Shell("exit 5") with { Sandbox = true });
        var (killed, _, _) = await host.RunAsync(host.Shell("kill -9 $$") with { Sandbox = true });
        foreach (var sandbox in (bool[])[true, false])
        {
            var start = host.Shell($"trap '' TERM; (setsid sleep {mark} &) ; (setsid sh -c 'trap \"\" TERM; sleep {mark}; :' &) ; echo ready; sleep {mark}") with { Sandbox = sandbox, MemoryLimitBytes = sandbox ? 0 : 1L << 30 };
            LauncherHost.Read(host.Launcher.Start(start), new byte[16]);
        }

        Console.WriteLine($"ready {left.Code} {killed.Signal} {host.GuardPid}");
        if (await Console.In.ReadLineAsync() == "end") return;
        await Task.Delay(Timeout.Infinite);
    }
}
