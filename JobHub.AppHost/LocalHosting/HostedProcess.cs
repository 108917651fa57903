using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace JobHub.AppHost.LocalHosting;

/// <summary>How to start a process.</summary>
internal sealed record ProcessPlan(string Program, IReadOnlyList<string> Arguments)
{
    /// <summary>Set over the environment of this process; null takes a variable away.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();

    /// <summary>Only root may choose another user.</summary>
    public UnixUser? User { get; init; }

    public string Folder { get; init; } = "/";

    /// <summary>Its standard input stays open as long as this process lives, so that it can notice our death.</summary>
    public bool HoldInput { get; init; }

    /// <summary>Written to its standard input, which is closed then.</summary>
    public string? Input { get; init; }
}

/// <summary>A process in a session of its own: a Ctrl-C at our terminal does not reach it, and its session can be ended as a whole.</summary>
internal sealed class HostedProcess : IDisposable
{
    private const int LongestLine = 8192;
    private static readonly string? SetSid = FindOnPath("setsid");

    private readonly Process process;
    private readonly Task pumps;

    private HostedProcess(Process process, Task pumps, ProcessIdentity identity)
    {
        this.process = process;
        this.pumps = pumps;
        Identity = identity;
        Exited = WaitAsync();
    }

    public ProcessIdentity Identity { get; }

    public int ProcessId => Identity.ProcessId;

    /// <summary>The exit code; 128 + n for a death by signal n.</summary>
    public Task<int> Exited { get; }

    /// <summary>Starts it; <paramref name="line"/> gets what it prints, a line at a time, in pieces of at most 8 KiB.</summary>
    public static HostedProcess Start(ProcessPlan plan, Action<string> line)
    {
        var start = new ProcessStartInfo
        {
            WorkingDirectory = plan.Folder,
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            UseShellExecute = false,
        };
        // Process.Start has no setsid. The tool of that name executes in place for a process that leads no group, so the id stays the same.
        if (SetSid is not null)
        {
            start.FileName = SetSid;
            start.ArgumentList.Add(plan.Program);
        }
        else
        {
            start.FileName = plan.Program;
        }
        foreach (var argument in plan.Arguments) start.ArgumentList.Add(argument);
        if (plan.User is { } user) start.UserName = user.Name;
        foreach (var (name, value) in plan.Environment)
        {
            if (value is null) start.Environment.Remove(name);
            else start.Environment[name] = value;
        }
        var process = new Process { StartInfo = start };
        try
        {
            process.Start();
        }
        catch (Win32Exception e)
        {
            process.Dispose();
            throw new HubStartException($"{plan.Program} cannot be started: {e.Message}");
        }
        var identity = ProcessIdentity.Of(process.Id) ?? new ProcessIdentity(process.Id, "ended");
        if (plan.Input is { } input) process.StandardInput.Write(input);
        if (!plan.HoldInput) process.StandardInput.Close();
        var pumps = Task.WhenAll(PumpAsync(process.StandardOutput, line), PumpAsync(process.StandardError, line));
        return new HostedProcess(process, pumps, identity);
    }

    /// <summary>Runs a tool to its end and returns what it printed (the last 16 KiB).</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(ProcessPlan plan, CancellationToken cancellationToken)
    {
        var output = new StringBuilder();
        using var process = Start(plan, text =>
        {
            lock (output)
            {
                output.AppendLine(text);
                if (output.Length > 2 * LongestLine) output.Remove(0, output.Length - 2 * LongestLine);
            }
        });
        try
        {
            var code = await process.Exited.WaitAsync(cancellationToken);
            await process.pumps.WaitAsync(TimeSpan.FromSeconds(5), cancellationToken);
            lock (output) return (code, output.ToString().Trim());
        }
        catch (OperationCanceledException)
        {
            process.KillSession();
            throw;
        }
    }

    public static string? FindOnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(':', StringSplitOptions.RemoveEmptyEntries)
        .Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    /// <summary>Asks it to end, and ends its whole session when it has not within the grace.</summary>
    /// <returns>True when it ended by itself.</returns>
    public async Task<bool> StopAsync(int signal, TimeSpan grace, CancellationToken hurry)
    {
        if (!Exited.IsCompleted) Unix.Ask(ProcessId, signal);
        var inTime = true;
        try
        {
            await Exited.WaitAsync(grace, hurry);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            inTime = false;
        }
        // Also after a good end: what it left behind in its session ends with it.
        KillSession();
        await Exited;
        await Task.WhenAny(pumps, Task.Delay(TimeSpan.FromSeconds(1), CancellationToken.None));
        return inTime;
    }

    /// <summary>Writes to the input that was held.</summary>
    public void Write(string text)
    {
        process.StandardInput.Write(text);
        process.StandardInput.Flush();
    }

    public void KillSession() => KillSession(ProcessId, includeLeader: !Exited.IsCompleted);

    /// <summary>Kills the leader of a session and all in it.</summary>
    public static void KillSession(int leader, bool includeLeader)
    {
        if (includeLeader) Unix.Signal(leader, Unix.Kill);
        foreach (var member in ProcessStat.All().Where(p => p.Session == leader && p.ProcessId != leader)) Unix.Signal(member.ProcessId, Unix.Kill);
    }

    public void Dispose() => process.Dispose();

    private static async Task PumpAsync(StreamReader reader, Action<string> line)
    {
        var buffer = new char[4096];
        var text = new StringBuilder();
        try
        {
            int count;
            while ((count = await reader.ReadAsync(buffer)) > 0)
            {
                foreach (var c in buffer.AsMemory(0, count).ToArray())
                {
                    if (c != '\n' && text.Length < LongestLine)
                    {
                        if (c != '\r') text.Append(c);
                        continue;
                    }
                    line(text.ToString());
                    text.Clear();
                    if (c != '\n') text.Append(c);
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The pipe went away with the process.
        }
        if (text.Length > 0) line(text.ToString());
    }

    private async Task<int> WaitAsync()
    {
        await process.WaitForExitAsync();
        return process.ExitCode;
    }
}
