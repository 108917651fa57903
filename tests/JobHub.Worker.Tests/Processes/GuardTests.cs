using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace JobHub.Worker.Tests.Processes;

public sealed class GuardTests : IDisposable
{
    private readonly string root = Path.Combine("/var/tmp", $"jobhub-test-{Guid.NewGuid():N}");
    private readonly string mark = $"3{Random.Shared.Next(10000, 99999)}.5";

    [Theory]
    [InlineData("bubblewrap", "")]
    [InlineData("unshare", "")]
    [InlineData("plain", "")]
    [InlineData("bubblewrap", "nobody")]
    [InlineData("unshare", "nobody")]
    [InlineData("plain", "nobody")]
    public async Task Worker_WhenItIsKilled_LeavesNoProcessAndNoFolder(string step, string user)
    {
        using var worker = Host(step, user);
        var ready = await worker.StandardOutput.ReadLineAsync();
        Assert.True(ready?.StartsWith("ready 5 9 ", StringComparison.Ordinal), ready + await ErrorsOf(worker, ready));
        await LauncherHost.EventuallyAsync(() => Marked() == 6, "all programs run");
        worker.Kill();
        await worker.WaitForExitAsync();
        await LauncherHost.EventuallyAsync(() => Marked() == 0, "every program is gone");
        await LauncherHost.EventuallyAsync(() => Directory.GetFileSystemEntries(root).Length == 0, "the scratch folder is gone");
        var guard = int.Parse(ready!.Split(' ')[^1], CultureInfo.InvariantCulture);
        await LauncherHost.EventuallyAsync(() => !LauncherHost.Runs(guard), "the guard is gone");
    }

    [Fact]
    public async Task Guard_WhenItIsKilled_IsReplacedAndStillGuards()
    {
        using var worker = Host("plain", "");
        var ready = await worker.StandardOutput.ReadLineAsync();
        var guard = int.Parse(ready!.Split(' ')[^1], CultureInfo.InvariantCulture);
        using (var process = Process.GetProcessById(guard)) process.Kill();
        await LauncherHost.EventuallyAsync(() => Guards().Any(pid => pid != guard), "another guard");
        worker.Kill();
        await worker.WaitForExitAsync();
        await LauncherHost.EventuallyAsync(() => Marked() == 0 && Guards().Length == 0, "every program is gone");
    }

    [Fact]
    public async Task Start_AfterAWorkerAndItsGuardDied_RemovesWhatTheyLeft()
    {
        using (var worker = Host("plain", ""))
        {
            var ready = await worker.StandardOutput.ReadLineAsync();
            // Stopped first: it must not replace the guard.
            Signal(worker.Id, "STOP");
            Signal(int.Parse(ready!.Split(' ')[^1], CultureInfo.InvariantCulture), "KILL");
            worker.Kill();
            await worker.WaitForExitAsync();
        }

        Assert.True(Marked() > 0);
        Assert.NotEmpty(Directory.GetFileSystemEntries(root));
        using var next = new LauncherHost(root);
        await LauncherHost.EventuallyAsync(() => Marked() == 0, "every program is gone");
        Assert.Single(Directory.GetDirectories(root));
    }

    public void Dispose()
    {
        if (Directory.Exists(root)) Directory.Delete(root, recursive: true);
    }

    private Process Host(string step, string user)
    {
        Directory.CreateDirectory(root);
        var start = new ProcessStartInfo { FileName = "dotnet", UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        if (user.Length > 0)
        {
            Signal(0, $"chown {user} {root}");
            start.FileName = "setpriv";
            foreach (var word in (string[])["--reuid", "65534", "--regid", "65534", "--clear-groups", "dotnet"]) start.ArgumentList.Add(word);
            start.Environment["HOME"] = root;
            start.Environment["DOTNET_CLI_HOME"] = root;
        }

        foreach (var word in (string[])["exec", typeof(GuardTests).Assembly.Location, root, step, mark]) start.ArgumentList.Add(word);
        return Process.Start(start)!;
    }

    private static async Task<string> ErrorsOf(Process worker, string? ready) => ready is null ? await worker.StandardError.ReadToEndAsync() : "";

    /// <summary>A signal to a pid, or with 0 any command.</summary>
    private static void Signal(int pid, string what)
    {
        using var process = Process.Start("/bin/sh", ["-c", pid == 0 ? what : $"kill -{what} {pid}"]);
        process.WaitForExit();
    }

    private int Marked() => Processes.Count(line => line.Contains($"sleep\0{mark}", StringComparison.Ordinal));

    private int[] Guards() =>
        [.. Directory.GetDirectories("/proc").Select(path => int.TryParse(Path.GetFileName(path), out var pid) ? pid : 0).Where(pid => pid > 0 && CommandLine(pid) is var line && line.Contains("jobhub-guard", StringComparison.Ordinal) && line.Contains(root, StringComparison.Ordinal))];

    private static IEnumerable<string> Processes => Directory.GetDirectories("/proc").Select(path => int.TryParse(Path.GetFileName(path), out var pid) ? CommandLine(pid) : "");

    private static string CommandLine(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/cmdline");
        }
        catch (IOException)
        {
            return "";
        }
    }
}
