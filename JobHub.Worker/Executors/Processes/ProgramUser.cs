using System.Globalization;

namespace JobHub.Worker.Executors.Processes;

/// <summary>The unprivileged user that programs run as.</summary>
internal static class ProgramUser
{
    /// <summary>Ids of a user given by name or number; null when the worker is not root (then programs are the worker's own user) or none is wanted.</summary>
    public static (int Uid, int Gid)? Resolve(string name)
    {
        if (name.Length == 0 || Libc.geteuid() != 0) return null;
        var number = int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var uid);
        foreach (var line in File.ReadLines("/etc/passwd"))
        {
            var fields = line.Split(':');
            if (fields.Length < 4 || !int.TryParse(fields[2], out var entryUid) || !int.TryParse(fields[3], out var gid)) continue;
            if (number ? entryUid == uid : fields[0] == name) return Checked(entryUid, gid);
        }

        return number ? Checked(uid, uid) : throw new InvalidOperationException($"JobHub:Worker:RunAs names the user '{name}', which /etc/passwd does not have. Give a user or a uid.");

        (int, int)? Checked(int u, int g) => u == 0 ? null : (u, g);
    }
}
