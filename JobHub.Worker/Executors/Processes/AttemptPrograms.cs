using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>What was started under one attempt's token and is not known to be gone.</summary>
internal sealed class AttemptPrograms(Guid token)
{
    private readonly Lock gate = new();
    private readonly HashSet<LaunchedProgram> programs = [];
    private readonly Lock sandboxGate = new();
    private readonly Dictionary<string, Sandbox> sandboxes = [];

    public Guid Token => token;
    public byte[] Mark { get; } = Encoding.ASCII.GetBytes($"{Launcher.AttemptVariable}={token}");

    /// <summary>On /proc's clock, before the first program: none of the attempt's processes is older.</summary>
    public long StartTicks { get; } = ProcTable.NowTicks();

    /// <summary>The last pid given out before the first program.</summary>
    public int FirstPid { get; } = ProcTable.LastPid();

    /// <summary>A program ran outside a pid namespace, so its descendants can be anywhere.</summary>
    public bool CanEscape { get; set; }

    /// <summary>Its scratch folder, when a program of it ran in one outside a sandbox.</summary>
    public string? Folder { get; set; }

    public bool Started { get; private set; }
    public long MemoryLimitBytes { get; set; }
    public bool OverLimit { get; set; }

    /// <summary>Made by the first start with a limit, where groups can be made.</summary>
    public AttemptCgroup? Cgroup { get; private set; }

    /// <summary>Whether the limit ended a program of it that ended so. The kernel may end one process and leave the rest, whose good end then means nothing.</summary>
    public bool IsOutOfMemory(bool failed)
    {
        if (Cgroup is not { KilledForMemory: true }) return failed && OverLimit;
        OverLimit = true;
        SampledPeak = Math.Max(SampledPeak, MemoryLimitBytes);
        return true;
    }

    public AttemptCgroup? CgroupOf(Func<AttemptCgroup?> make)
    {
        lock (gate) return Cgroup ??= make();
    }
    public long SampledPeak { get; set; }

    /// <summary>The sandbox of these folders: made by the first start that asks for it, kept until the attempt's end.</summary>
    public Sandbox SandboxFor(string key, Func<Sandbox> open)
    {
        lock (sandboxGate)
        {
            if (!sandboxes.TryGetValue(key, out var sandbox)) sandboxes[key] = sandbox = open();
            return sandbox;
        }
    }

    public Task CloseSandboxesAsync()
    {
        lock (sandboxGate)
        {
            var closing = sandboxes.Values.Select(sandbox => sandbox.CloseAsync()).ToArray();
            sandboxes.Clear();
            return Task.WhenAll(closing);
        }
    }

    public void Add(LaunchedProgram program)
    {
        Started = true;
        lock (gate) programs.Add(program);
    }

    /// <summary>The common good end: nothing of its group is left, and nothing is remembered of it.</summary>
    public void Ended(LaunchedProgram program)
    {
        if (program.GroupLeft) return;
        lock (gate) programs.Remove(program);
    }

    /// <summary>The processes from which all others of the attempt descend, orphans outside a sandbox excepted.</summary>
    public List<int> Roots()
    {
        var roots = new List<int>();
        lock (gate) roots.AddRange(programs.Where(program => program.Alive).Select(program => program.Pid));
        lock (sandboxGate) roots.AddRange(sandboxes.Values.Select(sandbox => sandbox.First));
        return roots;
    }

    /// <summary>Programs that run, or whose group has members left.</summary>
    public LaunchedProgram[] Left()
    {
        lock (gate)
        {
            programs.RemoveWhere(program => !program.LookAgain());
            return [.. programs];
        }
    }
}
