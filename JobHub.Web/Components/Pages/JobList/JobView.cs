namespace JobHub.Web.Components.Pages.JobList;

/// <summary>A saved filter: a name for what an address of the list asks for.</summary>
public sealed record JobView(string Name, JobWords Words)
{
    public bool Is(JobWords words) => Words.Flat == words.Flat && Finds(words);

    /// <summary>The same jobs in the same order, as a tree or flat.</summary>
    public bool Finds(JobWords words)
    {
        ArgumentNullException.ThrowIfNull(words);
        return words.Sort == Words.Sort && words.Terms.Count == Words.Terms.Count && words.Terms.All(Words.Terms.Contains);
    }
}
