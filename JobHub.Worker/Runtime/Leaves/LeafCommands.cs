using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Worker.Executors.Processes;
using Microsoft.Extensions.Options;

namespace JobHub.Worker.Runtime.Leaves;

/// <summary>How the command of a tree's leaf is started on this worker: its folder, its `$(NAME)`, and the sandbox and user of the settings.</summary>
public sealed class LeafCommands(IOptions<LeafOptions> options, ScratchFolders scratch)
{
    private readonly RunAsTemplate? _runAs = RunAsTemplate.Parse(options.Value.RunAs);
    private readonly string[] _writable = [.. options.Value.WritablePaths.Select(p => Path.GetFullPath(p).TrimEnd('/'))];

    /// <summary>Throws <see cref="ProgramStartException"/>, in words for the job's owner.</summary>
    /// <param name="start">`sh -c` with the whole environment of the command.</param>
    internal ProgramStart Prepare(AttemptContext context, CommandSpec command, LeafSpec leaf, ProgramStart start)
    {
        var dir = Placeholders.Fill(leaf.Dir, start.Environment);
        var line = Placeholders.Fill(command.Command, start.Environment);
        var folder = dir is "" or "." ? context.ScratchFolder : Path.Combine(context.ScratchFolder, dir);
        if (dir.Contains('\0', StringComparison.Ordinal) || !Directory.Exists(folder))
            throw new ProgramStartException($"The folder {Shown(leaf.Dir, dir)} does not exist on this worker.{(File.Exists(folder) ? " It is a file." : "")}");
        start = start with { Arguments = ["-c", line], WorkingFolder = folder };
        if (options.Value.Sandbox) start = InSandbox(context, start, folder);
        if (_runAs is null || leaf.User.Length == 0) return start;
        // The mark by which its processes are found again must outlive a program that clears the environment.
        var environment = new Dictionary<string, string>(start.Environment) { [Launcher.AttemptVariable] = start.Token.ToString(), [Launcher.WorkerVariable] = scratch.Instance.ToString() };
        return _runAs.Apply(start with { Environment = environment }, leaf.User, line, folder, context.ScratchFolder);
    }

    private ProgramStart InSandbox(AttemptContext context, ProgramStart start, string folder)
    {
        // Only bubblewrap makes the machine read-only.
        if (context.Launcher.Isolation != IsolationLevel.Bubblewrap)
            throw new ProgramStartException("This worker is to run farm commands in a sandbox (JobHub:Worker:Farm:Sandbox) and has no bubblewrap that works.");
        string[] writable = [context.ScratchFolder, .. _writable.Where(Directory.Exists)];
        var full = Path.GetFullPath(folder);
        // What is below /tmp is another folder inside.
        if (full.StartsWith("/tmp/", StringComparison.Ordinal) && !writable.Any(path => full == path || full.StartsWith(path + "/", StringComparison.Ordinal)))
            throw new ProgramStartException($"The folder {folder} cannot be seen by farm commands, which this worker runs in a sandbox; JobHub:Worker:Farm:WritablePaths has those that can.");
        return start with { Sandbox = true, Network = true, OwnsWorkingFolder = false, WritableFolders = writable };
    }

    private static string Shown(string written, string filled) => written == filled ? $"'{filled}'" : $"'{filled}' ('{written}')";
}
