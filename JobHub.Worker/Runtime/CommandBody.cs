using System.Buffers;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Executors.Processes;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime;

/// <summary>A command line by `sh -c`, all it prints into the log.</summary>
public sealed class CommandBody : IAttemptBody
{
    private const int ReadBytes = 64 * 1024;
    // How long an ended program's pipe may stay open before what it left behind is ended to close it.
    private static readonly TimeSpan PipeTime = TimeSpan.FromMilliseconds(200);

    public async Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct)
    {
        var spec = context.Spec;
        var command = spec.Command ?? throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, "The attempt has no command.");
        var folder = command.WorkingFolder ?? context.ScratchFolder;
        ct.ThrowIfCancellationRequested();
        RunningProgram program;
        try
        {
            program = context.Launcher.Start(new ProgramStart
            {
                File = "/bin/sh", Arguments = ["-c", command.Command], Environment = EnvironmentOf(spec, command.Sandbox, folder), WorkingFolder = folder, Token = spec.Token,
                Sandbox = command.Sandbox, Network = true, MergeStderr = true, MemoryLimitBytes = spec.MemoryLimitBytes,
                WritableFolders = command.WorkingFolder is null ? [] : [command.WorkingFolder],
            });
        }
        catch (ProgramStartException e) { throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, e.Message); }
        using (program)
        {
            // One pool thread blocks in read() for each running command; the pool's minimum is set for that at start.
            var output = Task.Run(() => CopyOutput(program.Stdout, context.Log), CancellationToken.None);
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

    private static Dictionary<string, string> EnvironmentOf(AttemptSpec spec, bool sandbox, string folder)
    {
        var result = new Dictionary<string, string>();
        // Commands that ask for the worker's own view get its environment, without what configures the hub itself.
        if (!sandbox) foreach (var (name, value) in Inherited) result[name] = value;
        result.TryAdd("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        result.TryAdd("LANG", "C.UTF-8");
        if (sandbox) result["HOME"] = folder;
        result["JOBHUB_JOB_ID"] = spec.JobId.ToString();
        result["JOBHUB_TASK_ID"] = spec.TaskName;
        foreach (var (name, value) in spec.Environment) result[name] = value;
        return result;
    }

    private static readonly KeyValuePair<string, string>[] Inherited =
    [
        .. Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>()
            .Select(e => KeyValuePair.Create((string)e.Key, (string?)e.Value ?? ""))
            .Where(e => !e.Key.StartsWith("JobHub", StringComparison.OrdinalIgnoreCase) && !e.Key.StartsWith("ConnectionStrings", StringComparison.OrdinalIgnoreCase)
                && !e.Key.StartsWith("services__", StringComparison.OrdinalIgnoreCase) && !e.Key.StartsWith("OTEL_", StringComparison.Ordinal)
                && !e.Key.StartsWith("ASPNETCORE_", StringComparison.Ordinal) && !e.Key.StartsWith("DOTNET_", StringComparison.Ordinal)),
    ];

    // read(2) itself: RandomAccess refuses pipes, and a FileStream for each command is not free.
    private static unsafe void CopyOutput(SafeFileHandle pipe, ILogSink log)
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
                    if (n > 0) log.Write(buffer.AsSpan(0, n));
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
