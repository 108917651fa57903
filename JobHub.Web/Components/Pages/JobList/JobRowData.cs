using JobHub.Web.Client;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>A row of the list: a job, how deep it is in its tree, and which of its cells have just changed.</summary>
public sealed class JobRowData(HubJob job, int depth, JobRowData? above)
{
    public HubJob Job { get; private set; } = job;
    public int Depth => depth;
    public JobRowData? Above => above;

    /// <summary>It does not match: it is there to show where something is that does.</summary>
    public bool IsPath { get; init; }

    /// <summary>Its children are shown, or asked for.</summary>
    public bool Open { get; set; }

    /// <summary>After the last child that is shown there are more.</summary>
    public string? MoreChildren { get; set; }

    /// <summary>It no longer is what was searched for; it stays until the list is read anew.</summary>
    public bool Gone { get; set; }

    // Counts of changes: a cell whose count moves is made anew, and that shows its tint once.
    public int StateChanges { get; private set; }
    public int ProgressChanges { get; private set; }
    public int Version { get; private set; }

    /// <summary>The job as it is now.</summary>
    public void Set(HubJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        if (job.State != Job.State) StateChanges++;
        if (job.Counted != Job.Counted || job.Progress != Job.Progress) ProgressChanges++;
        Job = job;
        Version++;
    }

    public void Touch() => Version++;
}

/// <summary>What is asked for at once, at its place in the order: its rows, or, when it is out of the window, how many there were.</summary>
/// <param name="at">The number it begins at, where it follows no other page.</param>
/// <param name="backwards">It was read in the opposite order, from what follows it.</param>
public sealed class JobRowsRead(string? after, long? at = null, bool backwards = false)
{
    public string? After => after;
    public long? At => at;
    public bool Backwards => backwards;
    public string? Next { get; set; }
    public List<JobRowData>? Rows { get; set; }
    public int Height { get; set; }
}
