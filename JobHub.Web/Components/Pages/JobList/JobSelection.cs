using JobHub.Web.Client;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>The jobs a visitor has chosen: by their rows, or all that match.</summary>
public sealed class JobSelection
{
    private readonly Dictionary<string, HubJob> jobs = [];

    /// <summary>All that match, whether their rows have been read or not.</summary>
    public bool All { get; private set; }

    /// <summary>Moves with each change of what is chosen.</summary>
    public int Version { get; private set; }

    public int Count => jobs.Count;

    public bool Any => All || jobs.Count > 0;

    public IReadOnlyCollection<HubJob> Jobs => jobs.Values;

    public bool Has(HubJob job) => All || jobs.ContainsKey(job.Id);

    public void Set(HubJob job, bool chosen)
    {
        All = false;
        Version++;
        if (chosen) jobs[job.Id] = job;
        else jobs.Remove(job.Id);
    }

    /// <summary>The rows that are shown, all or none; not those that only show a way.</summary>
    public void Toggle(IReadOnlyList<JobRowData> shown)
    {
        var rows = shown.Where(static r => !r.IsPath).ToList();
        var none = All || rows.TrueForAll(r => jobs.ContainsKey(r.Job.Id));
        Clear();
        if (none) return;
        foreach (var row in rows) jobs[row.Job.Id] = row.Job;
    }

    public void TakeAll()
    {
        All = true;
        Version++;
    }

    public void Clear()
    {
        All = false;
        Version++;
        jobs.Clear();
    }

    /// <summary>What a chosen job has become.</summary>
    public void Refresh(HubJob job)
    {
        if (jobs.ContainsKey(job.Id)) jobs[job.Id] = job;
    }
}
