using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>The isolation ladder: which step works here, and the sandboxes of the step in force.</summary>
public sealed partial class Launcher
{
    private static readonly string[] Homes = ["/root", "/home", "/run/user"];

    private readonly bool root = Libc.geteuid() == 0;

    private Sandbox SandboxFor(AttemptPrograms attempt, string file, ProgramStart start, IsolationLevel level)
    {
        // Programs below a hidden folder or the host's /tmp are shown at their own path.
        var readable = IsCovered(file) ? file : null;
        var key = string.Join('\0', [start.WorkingFolder, start.TmpFolder ?? "", start.Network ? "n" : "", readable ?? "", .. start.WritableFolders]);
        return attempt.SandboxFor(key, () =>
        {
            var ownTmp = start.TmpFolder is null ? scratch.Create($"tmp-{Guid.NewGuid():N}") : null;
            if (start.TmpFolder is { } given) scratch.Give(given);
            var folders = new SandboxFolders(start.TmpFolder ?? ownTmp!, hidden, readable is null ? [] : [readable], [start.WorkingFolder, .. start.WritableFolders]);
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
            scratch.Remove(seen);
            scratch.Remove(unseen);
        }
    }

    [LoggerMessage(4101, LogLevel.Information, "Programs are isolated by {Isolation}")]
    private partial void IsolationFound(IsolationLevel isolation);

    [LoggerMessage(4102, LogLevel.Warning, "Isolation by {Isolation} does not work here: {Reason}")]
    private partial void StepRefused(IsolationLevel isolation, string reason);
}
