using System.Buffers;
using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime.Leaves;
using JobHub.Worker.Runtime.Trees;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime;

/// <summary>A command line by `sh -c`, all it prints into the log.</summary>
/// <param name="leaves">How this worker runs commands of farm jobs.</param>
public sealed class CommandBody(LeafCommands leaves) : IAttemptBody
{
    private const int ReadBytes = 64 * 1024;
    private const string DefaultFolder = "/job";
    private static readonly Dictionary<string, string> EmptyEnvironment = [];
    // How long an ended program's pipe may stay open before what it left behind is ended to close it.
    private static readonly TimeSpan PipeTime = TimeSpan.FromMilliseconds(200);

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec;
        var command = spec.Command ?? throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, "The attempt has no command.");
        ct.ThrowIfCancellationRequested();
        if (context.Gpus is { } gpus)
        {
            context.GpuShare = await gpus.TakeAsync(spec.Gpus, ct)
                ?? throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, $"The command needs {spec.Gpus} GPUs and this worker has {gpus.Count}.");
        }
        var start = command.Tree is { } limits ? await InTreeAsync(context, command, limits, ct) : InScratch(context, command);
        RunningProgram program;
        try { program = context.Launcher.Start(command.Leaf is { } leaf ? leaves.Prepare(context, command, leaf, start) : start); }
        catch (ProgramStartException e)
        {
            // Who looks at a farm job looks at its log.
            if (command.Leaf is not null) context.Log.Write(Encoding.UTF8.GetBytes($"jobhub: {e.Message}\n"));
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, e.Message);
        }
        using (program)
        {
            // One pool thread blocks in read() for each running command; the pool's minimum is set for that at start.
            var output = Task.Run(() => CopyOutput(program.Stdout, context, command.Leaf is { } of ? new ProgressReader(ProgressPattern.Of(of.ProgressPattern)) : null), CancellationToken.None);
            // A reader that broke must not leave the program waiting on a full pipe.
            if (await Task.WhenAny(output, program.Exit) == output && output.IsFaulted) await context.Launcher.EndAllAsync(spec.Token, TimeSpan.Zero, CancellationToken.None);
            var exit = await program.Exit;
            if (!output.IsCompleted && await Task.WhenAny(output, Task.Delay(PipeTime, CancellationToken.None)) != output)
            {
                // Something it started holds the pipe. A command is over when its shell is.
                await context.Launcher.EndAllAsync(spec.Token, TimeSpan.FromSeconds(1), CancellationToken.None);
            }
            await output;
            ct.ThrowIfCancellationRequested();
            ThrowOnFailure(exit);
            return new BodyResult(null, null, exit);
        }
    }

    internal static void ThrowOnFailure(ProgramExit exit)
    {
        if (exit.OutOfMemory) throw new AttemptFailedException(AttemptOutcome.OutOfMemory, ErrorTypes.OutOfMemory, "The program was killed for using more memory than allowed.") { Exit = exit };
        if (exit.Signal is { } signal) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Signal, $"The program was ended by signal {signal}.") { Exit = exit };
        if (exit.Code != 0) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.ExitCode, $"The program ended with exit code {exit.Code}.") { Exit = exit };
    }

    private static ProgramStart InScratch(AttemptContext context, CommandSpec command)
    {
        var folder = command.WorkingFolder ?? context.ScratchFolder;
        return StartOf(context, command) with
        {
            Environment = EnvironmentOf(context, command.Sandbox, folder), WorkingFolder = folder, Sandbox = command.Sandbox,
            WritableFolders = command.WorkingFolder is null ? [] : [command.WorkingFolder],
        };
    }

    private static async Task<ProgramStart> InTreeAsync(AttemptContext context, CommandSpec command, TreeSpec limits, CancellationToken ct)
    {
        if (context is not { Files: { } files, Roots: { } roots }) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, "This worker cannot give a command files of its own.");
        var sandboxed = command.Sandbox && context.Launcher.Isolation != IsolationLevel.Plain;
        var builder = new TreeBuilder(context, files, roots, sandboxed);
        var folder = builder.Resolve(command.WorkingFolder ?? DefaultFolder);
        var treeFolder = Path.Combine(context.ScratchFolder, "tree");
        // The program's user owns the scratch folder and so both of these.
        roots.MakeWritable(context.ScratchFolder, "/tree", 0x1ed);
        roots.MakeWritable(context.ScratchFolder, "/tmp", 0x3ff);
        var tree = await builder.BuildAsync(treeFolder, folder, limits, ct);
        TreeRoot? root = null;
        if (sandboxed) root = builder.Root(tree, folder, Path.Combine(context.ScratchFolder, "tmp"), context.GpuShare?.Devices ?? []);
        else context.Log.Write("jobhub: this command runs without a sandbox: its files are below $JOBHUB_ROOT, and it sees what the worker's program user may see of the machine\n"u8);
        ct.ThrowIfCancellationRequested();
        tree.IsReady = true;
        var environment = EnvironmentOf(context, sandbox: true, sandboxed ? folder : treeFolder + folder.TrimEnd('/'));
        environment["JOBHUB_ROOT"] = sandboxed ? "/" : treeFolder;
        if (!sandboxed) environment.TryAdd("TMPDIR", treeFolder + "/tmp");
        return StartOf(context, command) with { Environment = environment, WorkingFolder = sandboxed ? folder : treeFolder + folder, Sandbox = sandboxed, Tree = root };
    }

    private static ProgramStart StartOf(AttemptContext context, CommandSpec command) => new()
    {
        File = "/bin/sh", Arguments = ["-c", command.Command], Environment = EmptyEnvironment, WorkingFolder = context.ScratchFolder, Token = context.Spec.Token, Network = context.Network, MergeStderr = true,
        MemoryLimitBytes = context.Spec.MemoryLimitBytes, Cpus = context.Spec.Cpus,
    };

    private static Dictionary<string, string> EnvironmentOf(AttemptContext context, bool sandbox, string folder)
    {
        var spec = context.Spec;
        var result = new Dictionary<string, string>();
        // Commands that ask for the worker's own view get its environment, without what configures the hub itself.
        if (!sandbox) foreach (var (name, value) in Inherited) result[name] = value;
        result.TryAdd("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        result.TryAdd("LANG", "C.UTF-8");
        if (sandbox) result["HOME"] = folder;
        result["JOBHUB_JOB_ID"] = spec.JobId.ToString();
        result["JOBHUB_TASK_ID"] = spec.TaskName;
        result["JOBHUB_ATTEMPT_NUMBER"] = spec.Attempt.ToString(System.Globalization.CultureInfo.InvariantCulture);
        if (spec.Cpus > 0) result["OMP_NUM_THREADS"] = spec.Cpus.ToString(System.Globalization.CultureInfo.InvariantCulture);
        foreach (var (name, value) in spec.Environment) result[name] = value;
        // Not the job's to choose: the others are other attempts'.
        if (context is { Gpus.Count: > 0, GpuShare.Indexes: { } indexes })
        {
            result["CUDA_VISIBLE_DEVICES"] = string.Join(',', indexes);
            if (indexes.Count > 0) result["NVIDIA_VISIBLE_DEVICES"] = result["CUDA_VISIBLE_DEVICES"];
        }
        return result;
    }

    private static readonly KeyValuePair<string, string>[] Inherited =
    [
        .. Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>()
            .Select(e => KeyValuePair.Create((string)e.Key, (string?)e.Value ?? ""))
            .Where(e => !e.Key.StartsWith("JobHub", StringComparison.OrdinalIgnoreCase) && !e.Key.StartsWith("ConnectionStrings", StringComparison.OrdinalIgnoreCase)
                && !e.Key.StartsWith("services__", StringComparison.OrdinalIgnoreCase) && !e.Key.StartsWith("OTEL_", StringComparison.Ordinal)
                && !e.Key.StartsWith("Parameters__", StringComparison.OrdinalIgnoreCase)
                && !e.Key.StartsWith("ASPNETCORE_", StringComparison.Ordinal) && !e.Key.StartsWith("DOTNET_", StringComparison.Ordinal)),
    ];

    // read(2) itself: RandomAccess refuses pipes, and a FileStream for each command is not free.
    private static unsafe void CopyOutput(SafeFileHandle pipe, AttemptContext context, ProgressReader? progress)
    {
        const int interrupted = 4;
        var buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
        var held = false;
        try
        {
            pipe.DangerousAddRef(ref held);
            fixed (byte* start = buffer)
            {
                while (true)
                {
                    var n = (int)Libc.read((int)pipe.DangerousGetHandle(), start, buffer.Length);
                    if (n > 0)
                    {
                        context.Log.Write(buffer.AsSpan(0, n));
                        if (progress?.Read(buffer.AsSpan(0, n)) == true) context.Fraction = progress.Fraction ?? 0;
                    }
                    else if (n == 0 || System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != interrupted) return;
                }
            }
        }
        finally
        {
            if (held) pipe.DangerousRelease();
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
