using System.Security.Cryptography;
using JobHub.AppHost.LocalHosting;

namespace JobHub.AppHost;

/// <summary>The data folder: where each part of the hub keeps what it has.</summary>
internal sealed record HubFolder(string Root, string Scratch)
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public string AdminToken => Path.Combine(Root, "admin-token");
    public string WorkerToken => Path.Combine(Root, "worker-token");
    public string PostgresPassword => Path.Combine(Root, "postgres-password");
    public string Secrets => Path.Combine(Root, "secrets.key");
    public string Store => Path.Combine(Root, "store");
    public string Worker => Path.Combine(Root, "worker");
    public string WebKeys => Path.Combine(Root, "web-keys");
    public string Run => Path.Combine(Root, "run");
    public string Log => Path.Combine(Root, "hub.log");

    /// <summary>Makes what is missing. Tokens are made once and kept over restarts.</summary>
    public static async Task<HubFolder> OpenAsync(string root, CancellationToken cancellationToken)
    {
        try
        {
            // As root, Postgres and programs run as other users: they may pass through, and see nothing on the way.
            if (!Directory.Exists(root)) Directory.CreateDirectory(root, Unix.IsRoot ? OwnerOnly | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute : OwnerOnly);
            var programs = Unix.IsRoot && UnixUser.Find("nobody") is { } nobody ? await ReachableFolder.ForAsync(root, nobody, cancellationToken) : root;
            var folder = new HubFolder(root, Path.Combine(programs, "scratch"));
            foreach (var part in new[] { folder.Store, folder.Worker, folder.WebKeys, folder.Run }) Directory.CreateDirectory(part, OwnerOnly);
            Directory.CreateDirectory(folder.Scratch, Unix.IsRoot ? OwnerOnly | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute : OwnerOnly);
            ReadOrMake(folder.AdminToken);
            ReadOrMake(folder.WorkerToken);
            return folder;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HubStartException($"The data folder {root} cannot be used: {e.Message}");
        }
    }

    /// <summary>A secret of 256 random bits in a file that only its owner reads.</summary>
    /// <returns>The secret, and whether it was made now.</returns>
    public static (string Secret, bool IsNew) ReadOrMake(string file)
    {
        if (File.Exists(file) && File.ReadAllText(file).Trim() is { Length: > 0 } kept) return (kept, false);
        var secret = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        // Renamed into place: a start that is cut off leaves no half secret behind.
        var partial = $"{file}.{Environment.ProcessId}";
        File.Delete(partial);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
        using (var writer = new StreamWriter(partial, options)) writer.Write(secret);
        File.Move(partial, file, overwrite: true);
        return (secret, true);
    }
}
