namespace JobHub.Engine.Projects;

/// <summary>A project as one caller sees it.</summary>
/// <param name="IsMember">He is one of its members.</param>
public sealed record ProjectView(string Id, string Name, string Description, bool IsPublic, DateTimeOffset CreatedAt, bool IsMember);

/// <summary>Typing data of a project.</summary>
/// <param name="Loci">Names of the loci, in the order of the alleles; empty in lists.</param>
public sealed record DatasetView(Guid Id, string Description, DateTimeOffset CreatedAt, string[] Loci, int Profiles, int Isolates);

/// <summary>One profile.</summary>
/// <param name="Alleles">As stored: one a locus, parted by tabs; empty = missing.</param>
public sealed record ProfileView(string Id, int Isolates, string Alleles);

/// <summary>One isolate and the profile it has.</summary>
public sealed record IsolateView(string Id, string Profile);

/// <summary>Section <c>JobHub:Projects</c>: limits of typing data.</summary>
public sealed class TypingOptions
{
    /// <summary>The largest upload in bytes, the form around it included.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 1L << 40)]
    public long UploadLimit { get; init; } = 512L << 20;

    /// <summary>Profiles of a dataset, and isolates of one.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 10_000_000)]
    public int MostRows { get; init; } = 1_000_000;

    /// <summary>Profiles times loci of a dataset: an analysis holds four bytes each in memory.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 1_000_000_000)]
    public long MostAlleles { get; init; } = 100_000_000;

    /// <summary>Loci of a dataset, and columns of a file of isolates.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 100_000)]
    public int MostLoci { get; init; } = 10_000;
}
