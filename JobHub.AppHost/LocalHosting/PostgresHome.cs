using System.Security.Cryptography;
using System.Text;

namespace JobHub.AppHost.LocalHosting;

/// <summary>Where a private cluster may stand, and as whom it runs.</summary>
/// <param name="Folder">Its user can reach this folder.</param>
/// <param name="User">Null = the user we are.</param>
internal sealed record PostgresHome(string Folder, UnixUser? User)
{
    /// <summary>Postgres refuses to run as root: then it is `postgres`, else `nobody`, in a folder which that user can reach.</summary>
    public static async Task<PostgresHome> ResolveAsync(string dataFolder, CancellationToken cancellationToken)
    {
        if (!Unix.IsRoot) return new PostgresHome(dataFolder, null);
        var user = UnixUser.Find("postgres") ?? UnixUser.Find("nobody")
            ?? throw new HubStartException("PostgreSQL must not run as root and there is neither a user `postgres` nor `nobody`.");
        return new PostgresHome(await ReachableFolder.ForAsync(dataFolder, user, cancellationToken), user);
    }
}

/// <summary>A folder in which work of another user can stand.</summary>
internal static class ReachableFolder
{
    /// <summary>The folder itself when <paramref name="user"/> can traverse to it, else its stand-in under /var/lib/jobhub.</summary>
    public static async Task<string> ForAsync(string folder, UnixUser user, CancellationToken cancellationToken)
    {
        // Asked of the system, so that access lists and mounts count too.
        var (code, _) = await HostedProcess.RunAsync(new ProcessPlan("/usr/bin/test", ["-x", folder]) { User = user }, cancellationToken);
        if (code == 0) return folder;
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(folder)))[..16];
        const UnixFileMode Reachable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        Directory.CreateDirectory("/var/lib/jobhub", Reachable);
        return Directory.CreateDirectory(Path.Combine("/var/lib/jobhub", hash), Reachable).FullName;
    }
}
