using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Worker.Agent;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime.Trees;
using Microsoft.Extensions.Options;
using LeasedAttempt = JobHub.Worker.Agent.LeasedAttempt;

namespace JobHub.Worker.Runtime;

/// <summary>
/// One attempt from claim to result: folder, body, stop, and the end of everything it started. When this returns no process and no folder of the attempt is left,
/// and its log is durable or inside the result.
/// </summary>
public sealed class AttemptRunner(
    AgentClient client, IProgramLauncher launcher, ScratchFolders scratch, ProgramCache programs, AttemptBodies bodies, RootPlan roots, GpuPool gpus, IOptions<WorkerOptions> options,
    TimeProvider clock, ILogger<AttemptRunner> logger)
{
    // What a clean program left running gets this long after SIGTERM.
    private static readonly TimeSpan LeftoverGrace = TimeSpan.FromSeconds(1);
    // A stopping worker must be gone within 10 s, its results reported.
    private static readonly TimeSpan DrainGrace = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan StoppedKeepTime = TimeSpan.FromMinutes(1);

    /// <summary>Null when nothing is to be reported: the lease is lost.</summary>
    public async Task<AttemptResult?> RunAsync(LeasedAttempt attempt)
    {
        var spec = attempt.Spec;
        using var log = new LogSpool(options.Value.SpoolPath);
        attempt.Log = log;
        string? folder = null;
        Task? kill = null;
        AttemptContext? context = null;
        AttemptResult result;
        try
        {
            using var store = new AttemptStore(client, programs, spec, attempt.Session, options.Value.SpoolPath, options.Value.StorePatience, clock);
            // Bodies may block in a read or write of a pipe: the end of their programs is what frees them, so it begins with the stop and not after it.
            using var onStop = attempt.Stopping.UnsafeRegister(_ => kill = launcher.EndAllAsync(spec.Token, GraceOf(attempt.Reason), CancellationToken.None), null);
            // Losing the lease cuts short a grace that was given before: another worker may run the task from now on.
            using var onLost = attempt.LeaseLost.UnsafeRegister(_ => _ = launcher.EndAllAsync(spec.Token, TimeSpan.Zero, CancellationToken.None), null);
            using var timeout = spec.TimeoutSeconds is { } seconds
                ? clock.CreateTimer(_ => attempt.Stop(StopReason.TimedOut), null, TimeSpan.FromSeconds(Math.Min(Math.Max(seconds, 0), 30 * 86400)), Timeout.InfiniteTimeSpan)
                : null;
            try
            {
                folder = scratch.Create(spec.Token.ToString("N"));
                context = new AttemptContext
                {
                    Spec = spec, Store = store, Launcher = launcher, ScratchFolder = folder, Log = log, BufferBytes = options.Value.SlotBufferBytes,
                    SocketSlots = options.Value.SocketSlots ?? Environment.ProcessorCount, Grace = options.Value.Grace,
                    Files = spec.Command?.Tree is null ? null : new AttemptFiles(client, attempt.Session, spec.Token, options.Value.StorePatience, clock), Roots = roots,
                    Gpus = spec.Kind == TaskKind.Command ? gpus : null, Clock = clock, Network = options.Value.CommandNetwork ?? true,
                };
                attempt.Context = context;
                var body = await bodies.Of(spec).RunAsync(context, attempt.Stopping);
                result = attempt.TryConclude() ? Succeeded(spec, context, body) : Stopped(attempt, body.Exit);
            }
            catch (Exception e)
            {
                result = attempt.TryConclude() ? Failed(spec, e) : Stopped(attempt, (e as AttemptFailedException)?.Exit);
            }
            if (kill is not null) await kill;
            await launcher.EndAllAsync(spec.Token, attempt.Reason is null ? LeftoverGrace : GraceOf(attempt.Reason), CancellationToken.None);
            context?.GpuShare?.Dispose();
            if (context is { Tree.IsReady: true, Files: not null }) result = await KeepFilesAsync(attempt, context, result);
        }
        catch (Exception e) when (e is AttemptLostException or SessionEndedException) { return Unreported(spec); }
        finally
        {
            context?.GpuShare?.Dispose();
            context?.Tree?.Dispose();
            if (folder is not null) scratch.Remove(folder);
            attempt.Context = null;
        }
        if (attempt.Reason == StopReason.LeaseLost) return Unreported(spec);
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(attempt.LeaseLost);
            if (attempt.Reason == StopReason.WorkerStopping) limit.CancelAfter(DrainGrace);
            var content = await log.FinishAsync((size, gaps, body) => client.PutLogAsync(attempt.Session, spec.Token, size, gaps, body, limit.Token));
            if (content is not null) result = result with { Log = content };
        }
        catch (Exception e) when (e is AttemptLostException or SessionEndedException) { return Unreported(spec); }
        catch (Exception e)
        {
            // What the program did stands, also when its words are lost: all of them are one gap.
            if (attempt.Reason == StopReason.LeaseLost) return Unreported(spec);
            logger.LogNotKept(spec.Token, e.Message);
            result = result with { Log = new LogContent(null, null, log.Size, [new LogGap(0, log.Size)]) };
        }
        finally { attempt.Log = null; }
        return attempt.Reason == StopReason.LeaseLost ? Unreported(spec) : result with { Seconds = clock.GetElapsedTime(attempt.StartedAt).TotalSeconds };
    }

    /// <summary>Sends what the command made, whatever its end, unless nobody is to hear of it.</summary>
    private async Task<AttemptResult> KeepFilesAsync(LeasedAttempt attempt, AttemptContext context, AttemptResult result)
    {
        if (attempt.Reason is StopReason.LeaseLost or StopReason.WorkerStopping) return result;
        var capture = new TreeCapture(context.Tree!, context.Files!, scratch.ProgramUid, context.Log);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(attempt.LeaseLost);
        using var hurry = attempt.Hurry.UnsafeRegister(_ => limit.CancelAfter(DrainGrace), null);
        // Whoever stopped it waits for its end.
        if (attempt.Reason is not null) limit.CancelAfter(StoppedKeepTime);
        try
        {
            await capture.RunAsync(limit.Token);
            return result with { Files = capture.Sent };
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            // Another worker runs it again and keeps all of its files.
            if (attempt.Reason is StopReason.LeaseLost or StopReason.WorkerStopping) return Stopped(attempt, null);
            context.Log.Write(Encoding.UTF8.GetBytes($"jobhub: the attempt was stopped; files that could not be sent within {StoppedKeepTime.TotalSeconds:0} s are not kept\n"));
            return result with { Files = capture.Sent };
        }
        catch (Exception e) when (e is not (AttemptLostException or SessionEndedException))
        {
            // The cause of a failure stands; of a success, its files are a part.
            context.Log.Write(Encoding.UTF8.GetBytes($"jobhub: not all files could be kept: {e.Message}\n"));
            return result.Outcome == AttemptOutcome.Succeeded ? Failed(context.Spec, e) with { Files = capture.Sent } : result with { Files = capture.Sent };
        }
    }

    /// <summary>
    /// Nobody hears of the attempt, so it can be no winner. Its file is removed here too: a worker that was frozen writes after the hub has discarded what there was.
    /// </summary>
    private AttemptResult? Unreported(AttemptSpec spec)
    {
        if ((spec.Map?.Output ?? spec.Reduce?.Output ?? spec.Analysis?.Output)?.Path is not { } path) return null;
        try { File.Delete(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { logger.OutputNotRemoved(spec.Token, e.Message); }
        return null;
    }

    private TimeSpan GraceOf(StopReason? reason) => reason switch
    {
        StopReason.LeaseLost => TimeSpan.Zero,
        StopReason.WorkerStopping => options.Value.Grace < DrainGrace ? options.Value.Grace : DrainGrace,
        _ => options.Value.Grace,
    };

    private static AttemptResult Succeeded(AttemptSpec spec, AttemptContext context, BodyResult body) => With(new AttemptResult
    {
        Token = spec.Token, TaskId = spec.TaskId, Outcome = AttemptOutcome.Succeeded, Output = body.Output, PartitionOffsets = body.PartitionOffsets,
        Counters = context.Counters.IsEmpty ? null : new Dictionary<string, long>(context.Counters),
    }, body.Exit);

    /// <summary>An attempt that was stopped before its body had ended.</summary>
    internal static AttemptResult Stopped(LeasedAttempt attempt, ProgramExit? exit)
    {
        var (outcome, type, message) = attempt.Reason switch
        {
            StopReason.CancelRequested => (AttemptOutcome.Canceled, ErrorTypes.Canceled, "Canceled on request."),
            StopReason.TimedOut => (AttemptOutcome.TimedOut, ErrorTypes.Timeout, attempt.Spec.TimeoutSeconds is { } t ? $"The attempt ran longer than {t} s." : "The attempt ran longer than allowed."),
            StopReason.WorkerStopping => (AttemptOutcome.Interrupted, ErrorTypes.Interrupted, "The worker is stopping."),
            StopReason.Paused => (AttemptOutcome.Interrupted, ErrorTypes.Paused, "The job was paused while it ran."),
            StopReason.Restarted => (AttemptOutcome.Interrupted, ErrorTypes.Restarted, "The job was taken back to run again."),
            StopReason.Superseded => (AttemptOutcome.Canceled, ErrorTypes.Superseded, "Another attempt of the task was first."),
            // Not reported: the runner answers null.
            _ => (AttemptOutcome.Lost, "lease-lost", "The lease is lost."),
        };
        return With(new AttemptResult { Token = attempt.Spec.Token, TaskId = attempt.Spec.TaskId, Outcome = outcome, Error = new AttemptError(type, message) }, exit);
    }

    private AttemptResult Failed(AttemptSpec spec, Exception e)
    {
        var cause = e switch
        {
            AttemptFailedException own => own,
            ProgramStartException start => new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, start.Message),
            FileNotFoundException missing => new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputMissing, missing.Message),
            HubException { Transient: false } refused => new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreRefused, refused.Message),
            _ when Faults.IsTransient(e) => new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreUnavailable, e.Message),
            _ when Faults.IsDiskFull(e) => new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.DiskFull, "The worker's disk is full."),
            IOException or UnauthorizedAccessException => new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.DiskFault, e.Message),
            OutOfMemoryException => new AttemptFailedException(AttemptOutcome.OutOfMemory, ErrorTypes.OutOfMemory, "The worker has no memory for the attempt's buffers."),
            _ => null,
        };
        if (cause is null)
        {
            logger.AttemptBroke(e, spec.Token, spec.TaskName);
            cause = new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Internal, "The worker failed while it ran the attempt; its log has the reason.");
        }
        return With(new AttemptResult
        {
            Token = spec.Token, TaskId = spec.TaskId, Outcome = cause.Outcome, Error = new AttemptError(cause.Type, cause.Message), LostRun = cause.LostRun,
        }, cause.Exit);
    }

    private static AttemptResult With(AttemptResult result, ProgramExit? exit) => exit is null ? result : result with
    {
        ExitCode = exit.Code, Signal = exit.Signal, CpuSeconds = exit.CpuSeconds, PeakMemoryBytes = exit.PeakMemoryBytes,
    };
}
