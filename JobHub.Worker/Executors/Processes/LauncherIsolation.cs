using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>The isolation ladder: which step works here, and the sandboxes of the step in force.</summary>
public sealed partial class Launcher
{
    private static readonly string[] Homes = ["/root", "/home", "/run/user"];

    private readonly bool root = Libc.geteuid() == 0;

    private Sandbox SandboxFor(AttemptPrograms attempt, string file, ProgramStart start, IsolationLevel level)
    {
        if (start.Tree is { } tree) return attempt.SandboxFor("tree", () => Sandbox.Open(level, tree, start.Network, root, StartHolder));
        // Programs below a hidden folder or the host's /tmp are shown at their own path.
        var readable = IsCovered(file) ? file : null;
        var key = string.Join('\0', [start.WorkingFolder, start.OwnsWorkingFolder ? "" : "r", start.TmpFolder ?? "", start.Network ? "n" : "", readable ?? "", .. start.WritableFolders]);
        return attempt.SandboxFor(key, () =>
        {
            var ownTmp = start.TmpFolder is null ? scratch.Create($"tmp-{Guid.NewGuid():N}") : null;
            if (start.TmpFolder is { } given) scratch.Give(given);
            var folders = new SandboxFolders(start.TmpFolder ?? ownTmp!, hidden, readable is null ? [] : [readable], start.OwnsWorkingFolder ? [start.WorkingFolder, .. start.WritableFolders] : start.WritableFolders);
            return Sandbox.Open(level, folders, start.Network, root, StartHolder, ownTmp);
        });
    }

    private LaunchedProgram StartHolder(string name, IReadOnlyList<string> arguments) => StartOwn(name, arguments, [$"{WorkerVariable}={scratch.Instance}"]);

    /// <summary>A program that serves the worker itself and no attempt.</summary>
    private LaunchedProgram StartOwn(string name, IReadOnlyList<string> arguments, IReadOnlyList<string> environment)
    {
        var start = new ProgramStart { File = name, Environment = new Dictionary<string, string>(), WorkingFolder = "/", Token = Guid.Empty, PipeStdin = true };
        List<ReadOnlyMemory<byte>> argv = [.. arguments.Prepend(name).Select(word => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(word))];
        return Start(name.Contains('/') ? name : FindOnPath(name, null), argv, [.. environment, $"PATH={DefaultPath}"], start, attempt: null, sandbox: null);
    }

    private bool IsCovered(string path)
    {
        var full = Path.GetFullPath(path);
        return full.StartsWith("/tmp/", StringComparison.Ordinal) || hidden.Any(folder => full.StartsWith(folder + "/", StringComparison.Ordinal));
    }

    /// <summary>How the roots of trees are put together here.</summary>
    /// <param name="more">Further paths that are not to be seen.</param>
    internal RootPlan PlanRoots(IEnumerable<string> more) => new(options.ShownFolders?.Select(Path.GetFullPath) ?? ProcessOptions.DefaultShownFolders, [.. hidden, .. more], runAs);

    private string[] HiddenFolders()
    {
        IEnumerable<string> folders = [scratch.Root, .. options.HiddenFolders.Select(Path.GetFullPath), .. options.HideHomes ? Homes : []];
        return [.. folders.Select(folder => folder.TrimEnd('/')).Where(folder => folder.Length > 0 && Directory.Exists(folder)).Distinct().OrderBy(folder => folder.Length)];
    }

    private IsolationLevel FindIsolation()
    {
        IsolationLevel[] steps = options.Isolation switch
        {
            IsolationChoice.Plain => [],
            IsolationChoice.Bubblewrap => [IsolationLevel.Bubblewrap],
            IsolationChoice.Unshare => [IsolationLevel.Unshare],
            _ => [IsolationLevel.Bubblewrap, IsolationLevel.Unshare],
        };
        var reasons = new List<string>();
        foreach (var step in steps)
        {
            try
            {
                Try(step);
                return step;
            }
            catch (ProgramStartException e)
            {
                reasons.Add($"{step}: {e.Message}");
                StepRefused(step, e.Message);
            }
        }

        return options.Isolation is IsolationChoice.Auto or IsolationChoice.Plain
            ? IsolationLevel.Plain
            : throw new InvalidOperationException($"JobHub:Worker:Isolation asks for a step that does not work here. {string.Join(' ', reasons)}");
    }

    /// <summary>A real program in a real sandbox, which must see its own folders and not the next one's.</summary>
    private void Try(IsolationLevel step)
    {
        var seen = scratch.Create($"try-{Guid.NewGuid():N}");
        var unseen = scratch.Create($"try-{Guid.NewGuid():N}");
        var start = new ProgramStart
        {
            File = "/bin/sh", Arguments = ["-c", "test -d \"$0\" && test ! -e \"$1\" && : > /tmp/x && : > x && echo works", seen, unseen], Environment = new Dictionary<string, string>(),
            WorkingFolder = seen, Token = Guid.NewGuid(), MergeStderr = true,
        };
        try
        {
            Try(start, step);
        }
        finally
        {
            scratch.Remove(seen);
            scratch.Remove(unseen);
        }

        TryTree(step);
    }

    /// <summary>The same for a tree, which asks more of the tools.</summary>
    private void TryTree(IsolationLevel step)
    {
        var folder = scratch.Create($"try-{Guid.NewGuid():N}");
        try
        {
            var plan = PlanRoots([]);
            plan.MakeWritable(folder, "/job", 0x1ed);
            plan.MakeWritable(folder, "/var/tmp", 0x1ff);
            var tree = new TreeRoot(folder, plan.Compose(folder, [], _ => { }), null, [], 1 << 20);
            var start = new ProgramStart
            {
                File = "/bin/sh", Arguments = ["-c", "test ! -e \"$0\" && : > x && : > /dev/null && : > /dev/shm/x && test ! -e /dev/fd/9 && test -r /proc/self/stat && ! (: > /usr/x) 2>&- && echo works", folder],
                Environment = new Dictionary<string, string>(), WorkingFolder = "/job", Token = Guid.NewGuid(), MergeStderr = true, Network = true, Tree = tree,
            };
            Try(start, step);
        }
        catch (IOException e)
        {
            throw new ProgramStartException($"a root of its own cannot be put together: {e.Message}", e);
        }
        finally
        {
            scratch.Remove(folder);
        }
    }

    private void Try(ProgramStart start, IsolationLevel step)
    {
        try
        {
            using var program = Start(start, step);
            using var output = new StreamReader(new FileStream(program.Stdout, FileAccess.Read, 1, isAsync: false));
            var said = output.ReadToEnd().Trim();
            if (said != "works") throw new ProgramStartException($"a program in it does not see what it should: {said}");
        }
        finally
        {
            // Threads of the launcher complete this; nothing of the caller is needed for it.
#pragma warning disable VSTHRD002
            EndAllAsync(start.Token, TimeSpan.Zero, CancellationToken.None).GetAwaiter().GetResult();
#pragma warning restore VSTHRD002
        }
    }

    [LoggerMessage(4101, LogLevel.Information, "Programs are isolated by {Isolation}; memory limits are kept by {Memory}")]
    private partial void IsolationFound(IsolationLevel isolation, string memory);

    [LoggerMessage(4103, LogLevel.Warning, "Program {Pid} could not be moved into its control group; its memory is sampled")]
    private partial void GroupRefused(int pid);

    [LoggerMessage(4102, LogLevel.Warning, "Isolation by {Isolation} does not work here: {Reason}")]
    private partial void StepRefused(IsolationLevel isolation, string reason);
}
