using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>Runs one program of a streaming attempt: a thread for each of its pipes, and the end of all of them as one answer.</summary>
/// <param name="role">mapper, combiner or reducer: named when it fails.</param>
/// <param name="alone">The only program of the attempt: what it leaves running may be ended by the attempt's mark.</param>
internal sealed class StreamingProgram(AttemptContext context, string role, ProgramSpec program, bool alone)
{
    /// <summary>How long a program's children may hold its output open after it has ended, without printing.</summary>
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(1);

    private Task? _stopping;

    /// <summary>Returns after the program has ended with status 0 and its pipes were read to the end. All threads have ended when this returns or throws.</summary>
    public async Task<ProgramExit> RunAsync(string[] arguments, Action<ProgramInput> feed, Action<ProgramOutput> drain, CancellationToken ct)
    {
        var file = await context.Store.ProgramAsync(program, ct);
        using var running = Start(file, arguments);
        var input = new ProgramInput(running.Stdin!, running.Exit);
        var output = new ProgramOutput(running.Stdout);
        var errors = new ErrorReader(context);
        var feeding = StopOnFault(running, OwnThread.RunAsync($"{role} stdin", () => Feed(running, input, feed)));
        var draining = StopOnFault(running, OwnThread.RunAsync($"{role} stdout", () => drain(output)));
        var reading = StopOnFault(running, OwnThread.RunAsync($"{role} stderr", () => errors.Read(new ProgramOutput(running.Stderr!))));
        await using (ct.Register(() => Stop(running)))
        {
            // Buffers are freed by our callers: every thread must have ended, whatever failed. The causes are judged below, in their order.
            var all = Task.WhenAll(feeding, draining, reading, running.Exit).ContinueWith(
                _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            await Task.WhenAny(running.Exit, all);
            await EndLingeringAsync(running, output, all);
            await all;
        }

        if (_stopping is not null) await _stopping;
        ct.ThrowIfCancellationRequested();
        await draining;
        await feeding;
        await reading;
        var exit = await running.Exit;
        Judge(exit, errors.LastLine);
        return exit;
    }

    private RunningProgram Start(string file, string[] arguments)
    {
        try
        {
            return context.Launcher.Start(new ProgramStart
            {
                File = file,
                Arguments = arguments,
                Environment = StreamingEnvironment.Of(context),
                WorkingFolder = context.ScratchFolder,
                Token = context.Spec.Token,
                MemoryLimitBytes = context.Spec.MemoryLimitBytes,
                PipeStdin = true,
            });
        }
        catch (ProgramStartException problem)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, $"The {role} {program.Name} cannot be started: {problem.Message}");
        }
    }

    private static void Feed(RunningProgram running, ProgramInput input, Action<ProgramInput> feed)
    {
        try
        {
            feed(input);
        }
        catch (InputClosedException)
        {
            // Like `head`: the exit status tells whether it was content.
        }
        finally
        {
            running.Stdin!.Dispose();
        }
    }

    private async Task StopOnFault(RunningProgram running, Task work)
    {
        try
        {
            await work;
        }
        catch
        {
            Stop(running);
            throw;
        }
    }

    private void Stop(RunningProgram running)
    {
        lock (this)
        {
            _stopping ??= alone ? context.Launcher.EndAllAsync(context.Spec.Token, context.Grace, CancellationToken.None) : running.StopAsync(context.Grace);
        }
    }

    private async Task EndLingeringAsync(RunningProgram running, ProgramOutput output, Task all)
    {
        while (alone && !all.IsCompleted && _stopping is null)
        {
            var reads = output.Reads;
            var delay = Task.Delay(Linger);
            if (await Task.WhenAny(all, delay) == delay && output.Reads == reads && output.IsWaiting) Stop(running);
        }
    }

    private void Judge(ProgramExit exit, string lastLine)
    {
        var because = lastLine.Length > 0 ? $": {lastLine}" : ".";
        if (exit.OutOfMemory)
            throw new AttemptFailedException(AttemptOutcome.OutOfMemory, ErrorTypes.OutOfMemory, $"The {role} {program.Name} used more memory than allowed{because}") { Exit = exit };
        if (exit.Signal is { } signal)
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Signal, $"The {role} {program.Name} was ended by signal {signal}{because}") { Exit = exit };
        if (exit.Code is not 0)
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.ExitCode, $"The {role} {program.Name} ended with exit code {exit.Code}{because}") { Exit = exit };
    }
}

/// <summary>The environment of streaming programs: ours, Hadoop Streaming's names, and what the job set, which wins.</summary>
internal static class StreamingEnvironment
{
    private const string Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    public static Dictionary<string, string> Of(AttemptContext context)
    {
        var spec = context.Spec;
        // JOBHUB_ATTEMPT, the mark, is the launcher's.
        var environment = new Dictionary<string, string>
        {
            ["PATH"] = Path,
            ["HOME"] = context.ScratchFolder,
            ["TMPDIR"] = context.Launcher.Isolation == IsolationLevel.Plain ? context.ScratchFolder : "/tmp",
            ["JOBHUB_JOB_ID"] = spec.JobId.ToString("D"),
            ["JOBHUB_TASK_ID"] = spec.TaskName,
            ["JOBHUB_ATTEMPT_NUMBER"] = $"{spec.Attempt}",
            ["JOBHUB_PARTITION"] = $"{spec.Reduce?.Partition ?? spec.Index}",
            ["mapreduce_job_id"] = spec.JobId.ToString("D"),
            ["mapreduce_task_id"] = spec.TaskName,
            ["mapreduce_task_partition"] = $"{spec.Reduce?.Partition ?? spec.Index}",
        };
        if (spec.Map is { } map)
        {
            environment["mapreduce_map_input_file"] = map.InputPath;
            environment["mapreduce_map_input_start"] = $"{map.Start}";
            environment["mapreduce_map_input_length"] = $"{map.End - map.Start}";
        }

        foreach (var (name, value) in spec.Environment) environment[name] = value;
        return environment;
    }
}
