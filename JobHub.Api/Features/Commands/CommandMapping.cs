using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Engine;
using JobHub.Engine.Attempts;
using JobHub.Engine.Events;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Features.Commands;

/// <summary>The status words of this family's wire.</summary>
public enum CommandStatusWord
{
    QUEUED, PENDING, RUNNING, COMPLETE, FAILED,
}

/// <summary>Engine rows in the words of this family.</summary>
public static class CommandMapping
{
    // Rows of one statement for the attempts of a list.
    private const int Page = 500;

    /// <summary>What a caller calls the job: its own id for it, else the hub's.</summary>
    public static string IdOf(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return job.Name ?? job.Id.ToString();
    }

    public static CommandDetails DetailsOf(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return JsonSerializer.Deserialize(job.Details, EngineJson.Default.CommandDetails)!;
    }

    /// <summary>The id of the job's only task.</summary>
    public static long TaskOf(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return new TaskLayout(job.Number, 0, 0, 1, 0).First;
    }

    public static CommandStatusWord StatusOf(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return job.State switch
        {
            JobState.Succeeded => CommandStatusWord.COMPLETE,
            JobState.Failed or JobState.Canceled => CommandStatusWord.FAILED,
            _ => job.Stage switch { JobStage.Running => CommandStatusWord.RUNNING, JobStage.Starting => CommandStatusWord.PENDING, _ => CommandStatusWord.QUEUED },
        };
    }

    /// <summary>Which jobs a word means; with more than one state the caller merges.</summary>
    public static (JobFilter Filter, JobState[] States) FilterOf(CommandStatusWord word, JobFilter filter) => word switch
    {
        CommandStatusWord.QUEUED => (filter with { Stage = JobStage.Waiting }, []),
        CommandStatusWord.PENDING => (filter with { Stage = JobStage.Starting }, []),
        CommandStatusWord.RUNNING => (filter with { Stage = JobStage.Running }, []),
        CommandStatusWord.COMPLETE => (filter, [JobState.Succeeded]),
        _ => (filter, [JobState.Failed, JobState.Canceled]),
    };

    public static CommandWire ToWire(JobView job, AttemptView? last, Waiting? waiting = null)
    {
        ArgumentNullException.ThrowIfNull(job);
        var details = DetailsOf(job);
        var status = StatusOf(job);
        var ending = job.State.IsTerminal ? JobEnding.Of(job.State, job.Error, last) : null;
        return new CommandWire
        {
            JobId = IdOf(job), Command = details.Command, Status = status.ToString(), Gpus = GpusOf(details),
            Created = JobMessage.TimeText(job.CreatedAt), Started = TimeText(job.StartedAt), Ended = TimeText(job.EndedAt),
            ExitCode = ending?.ExitCode, Worker = status == CommandStatusWord.QUEUED ? null : last?.Worker,
            Error = ending?.Type is { } type ? new(type, ending.Message ?? type, ending.Signal) : null,
            Paused = job.State == JobState.Paused ? true : null,
            Waiting = waiting is null ? null : new(waiting.Reason, waiting.Text),
        };
    }

    public static int? GpusOf(CommandDetails details)
    {
        ArgumentNullException.ThrowIfNull(details);
        return details.Gpus > 0 ? details.Gpus : null;
    }

    /// <summary>Jobs with their last attempts, a page of them at a time.</summary>
    public static async IAsyncEnumerable<CommandWire> ToWireAsync(IAsyncEnumerable<JobView> jobs, JobReader reader, [EnumeratorCancellation] CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(reader);
        await foreach (var page in jobs.Chunk(Page).WithCancellation(ct))
        {
            var attempts = await reader.LastAttemptsAsync([.. page.Select(TaskOf)], ct);
            foreach (var job in page) yield return ToWire(job, attempts.GetValueOrDefault(TaskOf(job)));
        }
    }

    public static FolderEntryWire ToWire(FolderEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        return new(entry.Name, entry.IsFolder ? "folder" : "file", entry.Size, TimeText(entry.ModifiedAt));
    }

    private static string? TimeText(DateTimeOffset? time) => time is { } known ? JobMessage.TimeText(known) : null;
}
