using System.Globalization;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Control groups for attempts with a limit, below the group this worker itself is in: memory is counted and enforced by the kernel. Version 2 or 1, whichever lets us
/// make one; found out by making one. A worker's groups carry its pid and start, so that another knows when they are left over.
/// </summary>
internal sealed class Cgroups : IDisposable
{
    private const string Prefix = "jobhub-";
    private const string Mounts = "/sys/fs/cgroup";

    private readonly int version;
    private readonly string memory;
    private readonly string? cpu;

    private Cgroups(int version, string memory, string? cpu) => (this.version, this.memory, this.cpu) = (version, memory, cpu);

    /// <summary>In words, for the start line.</summary>
    public string Name => $"cgroup v{version}";

    /// <summary>Null where none can be made, with the reasons.</summary>
    public static Cgroups? Find(out string reason)
    {
        var own = new Dictionary<string, string>();
        try
        {
            foreach (var line in File.ReadLines("/proc/self/cgroup"))
            {
                // hierarchy:controllers:path; version 2 names no controllers.
                var fields = line.Split(':', 3);
                foreach (var controller in fields[1].Split(',')) own[controller] = fields[2];
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            reason = e.Message;
            return null;
        }

        var name = OwnName();
        var reasons = new List<string>();
        foreach (var root in (ReadOnlySpan<string>)[Mounts, Mounts + "/unified"])
        {
            if (!own.TryGetValue("", out var path) || !Has(root + path + "/cgroup.controllers", "memory")) continue;
            if (Try(() => Version2(root + path, name), reasons) is { } found)
            {
                reason = "";
                return found;
            }
        }

        if (own.TryGetValue("memory", out var memoryPath) && Directory.Exists($"{Mounts}/memory{memoryPath}") && Try(() => Version1(memoryPath, own.GetValueOrDefault("cpu"), name), reasons) is { } old)
        {
            reason = "";
            return old;
        }

        reason = reasons.Count == 0 ? "there is no memory controller" : string.Join("; ", reasons);
        return null;
    }

    /// <summary>A group for one attempt; 0 = no limit of that kind. Null when it cannot be made just now.</summary>
    public AttemptCgroup? Create(Guid token, long memoryBytes, int cpus)
    {
        var folders = new List<string>();
        try
        {
            var own = Path.Combine(memory, token.ToString("N"));
            Make(own);
            folders.Add(own);
            if (memoryBytes > 0) Limit(own, memoryBytes);
            if (cpus > 0 && version == 2 && Has(Path.Combine(memory, "cgroup.subtree_control"), "cpu")) Write(own, "cpu.weight", Math.Clamp(100L * cpus, 1, 10_000));
            if (cpus > 0 && version == 1 && cpu is not null)
            {
                var share = Path.Combine(cpu, token.ToString("N"));
                Make(share);
                folders.Add(share);
                Write(share, "cpu.shares", Math.Clamp(1024L * cpus, 2, 262_144));
            }

            return new AttemptCgroup(folders, version);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            foreach (var folder in folders) _ = Libc.rmdir(folder);
            return null;
        }
    }

    public void Dispose()
    {
        foreach (var folder in new[] { memory, cpu }.OfType<string>()) _ = Libc.rmdir(folder);
    }

    internal static void Write(string folder, string file, long value) => Write(folder, file, value.ToString(CultureInfo.InvariantCulture));

    internal static void Write(string folder, string file, string value)
    {
        // Opened without creating: a file that a kernel does not have must not be made (and cannot).
        using var handle = File.OpenHandle(Path.Combine(folder, file), FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        RandomAccess.Write(handle, System.Text.Encoding.ASCII.GetBytes(value), 0);
    }

    private static Cgroups Version1(string memoryPath, string? cpuPath, string name)
    {
        var parent = $"{Mounts}/memory{memoryPath.TrimEnd('/')}";
        RemoveLeftovers(parent);
        var memory = Path.Combine(parent, name);
        Make(memory);
        TryOne(memory);
        string? cpu = null;
        var cpuParent = $"{Mounts}/cpu{cpuPath?.TrimEnd('/')}";
        if (cpuPath is not null && Directory.Exists(cpuParent))
        {
            try
            {
                RemoveLeftovers(cpuParent);
                cpu = Path.Combine(cpuParent, name);
                Make(cpu);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                cpu = null;
            }
        }

        return new Cgroups(1, memory, cpu);
    }

    private static Cgroups Version2(string parent, string name)
    {
        RemoveLeftovers(parent);
        if (!Has(Path.Combine(parent, "cgroup.subtree_control"), "memory")) Delegate(parent, name);
        var memory = Path.Combine(parent, name);
        Make(memory);
        Enable(memory);
        TryOne(memory);
        return new Cgroups(2, memory, null);
    }

    /// <summary>Groups that hold processes have no limited children, the root excepted: this process moves to a leaf of its own when it is alone.</summary>
    private static void Delegate(string parent, string name)
    {
        var leaf = Path.Combine(parent, $"{name}-agent");
        var isRoot = !File.Exists(Path.Combine(parent, "cgroup.type"));
        if (!isRoot)
        {
            Make(leaf);
            Write(leaf, "cgroup.procs", Environment.ProcessId);
        }

        try
        {
            Enable(parent);
        }
        catch (IOException) when (!isRoot)
        {
            Write(parent, "cgroup.procs", Environment.ProcessId);
            _ = Libc.rmdir(leaf);
            throw;
        }
    }

    private static void Enable(string folder)
    {
        Write(folder, "cgroup.subtree_control", "+memory");
        try
        {
            if (Has(Path.Combine(folder, "cgroup.controllers"), "cpu")) Write(folder, "cgroup.subtree_control", "+cpu");
        }
        catch (IOException)
        {
            // Memory is what must hold.
        }
    }

    private static void TryOne(string folder)
    {
        var one = Path.Combine(folder, "try");
        Make(one);
        try
        {
            Limit(one, 64 << 20);
        }
        finally
        {
            _ = Libc.rmdir(one);
        }
    }

    private static void Limit(string folder, long bytes)
    {
        if (File.Exists(Path.Combine(folder, "memory.max")))
        {
            Write(folder, "memory.max", bytes);
            Optional("memory.swap.max", 0);
            Optional("memory.oom.group", 1);
            return;
        }

        Write(folder, "memory.limit_in_bytes", bytes);
        Optional("memory.memsw.limit_in_bytes", bytes);

        // Not every kernel counts swap.
        void Optional(string file, long value)
        {
            try
            {
                if (File.Exists(Path.Combine(folder, file))) Write(folder, file, value);
            }
            catch (IOException)
            {
                // The limit itself holds.
            }
        }
    }

    /// <summary>Groups of workers that live no more: what still runs in them is ended.</summary>
    private static void RemoveLeftovers(string parent)
    {
        foreach (var folder in Directory.EnumerateDirectories(parent, Prefix + "*"))
        {
            var parts = Path.GetFileName(folder).Split('-');
            if (parts.Length < 3 || !int.TryParse(parts[1], out var pid) || !long.TryParse(parts[2], out var start)) continue;
            if (ProcTable.Read(pid) is { } living && living.StartTicks == start) continue;
            foreach (var inner in Directory.EnumerateDirectories(folder))
            {
                AttemptCgroup.KillAll(inner);
                _ = Libc.rmdir(inner);
            }

            _ = Libc.rmdir(folder);
        }
    }

    private static string OwnName() => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{ProcTable.Read(Environment.ProcessId)?.StartTicks ?? 0}");

    private static void Make(string folder)
    {
        // The worker's own folder may have been taken for a leftover; mkdir of both is cheap.
        if (Directory.CreateDirectory(folder).Exists) return;
        throw new IOException($"{folder} cannot be made.");
    }

    private static bool Has(string file, string word)
    {
        try
        {
            return File.ReadAllText(file).Split([' ', '\n']).Contains(word, StringComparer.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static Cgroups? Try(Func<Cgroups> find, List<string> reasons)
    {
        try
        {
            return find();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            reasons.Add(e.Message);
            return null;
        }
    }
}
