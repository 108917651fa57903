namespace JobHub.Api.Features.Hub;

/// <summary>A version of a program. Types: executable or streaming; the hash is SHA-256 in lower-case hex.</summary>
public record HubArtifactVersion(int Version, string Type, long Size, string Hash, DateTimeOffset CreatedAt);

/// <summary>A program in its current version.</summary>
public sealed record HubArtifact(string Name, int Version, string Type, long Size, string Hash, DateTimeOffset CreatedAt)
{
    /// <summary>Of one program: its versions, newest first, the first hundred.</summary>
    public IReadOnlyList<HubArtifactVersion>? Versions { get; init; }
}

/// <summary>A page of programs; <paramref name="Next"/> is the next page's <c>after</c>, absent on the last.</summary>
public sealed record HubArtifactPage(IReadOnlyList<HubArtifact> Items, string? Next);

/// <summary>A job that was submitted with a version of a program.</summary>
/// <param name="Role">mapper, reducer or combiner.</param>
public sealed record HubArtifactUse(string Id, long Number, string? Title, string Project, string State, string Role, DateTimeOffset CreatedAt);

/// <summary>A page of such jobs, newest first. It may be short, even empty, and have a next one.</summary>
public sealed record HubArtifactUsePage(IReadOnlyList<HubArtifactUse> Items, string? Next);

/// <summary>The job that brought or made a file.</summary>
public sealed record HubFileJob(string Id, long Number, string? Title);

/// <summary>A line of a folder.</summary>
/// <param name="Kind">file or folder; a folder has neither size nor time.</param>
public sealed record HubFile(string Name, string Kind, long? Size, DateTimeOffset? ModifiedAt, HubFileJob? Job);

/// <summary>A page of a folder, in the order of bytes.</summary>
public sealed record HubFolder(string Project, string Path, IReadOnlyList<HubFile> Items, string? Next);

/// <summary>A file that was uploaded.</summary>
public sealed record HubUploadedFile(string Project, string Path, long Size);

/// <summary>A project.</summary>
/// <param name="Member">The caller is a member.</param>
/// <param name="MayChange">The caller may change it and what it holds.</param>
public sealed record HubProject(string Id, string Name, string Description, string Visibility, DateTimeOffset CreatedAt, bool Member, bool MayChange, int Members, int Datasets)
{
    /// <summary>Of one project: the members' names; for members and admins.</summary>
    public IReadOnlyList<string>? Users { get; init; }

    /// <summary>Of one project: its jobs by how they stand.</summary>
    public HubProjectJobs? Jobs { get; init; }
}

/// <summary>Jobs of a project, trees as one. With <paramref name="More"/> the newest ten thousand alone are counted.</summary>
public sealed record HubProjectJobs(int Open, int Succeeded, int Failed, int Canceled, bool More);

/// <summary>A page of projects.</summary>
public sealed record HubProjectPage(IReadOnlyList<HubProject> Items, string? Next);

/// <summary>What the hub runs with, as far as its users may know: no address, no key, no path.</summary>
/// <param name="Environment">development or production.</param>
/// <param name="OpenWithoutToken">Programs of this machine need no token.</param>
public sealed record HubSettings(
    string Version, string Environment, bool OpenWithoutToken, DateTimeOffset StartedAt, HubSettingsStorage Storage, HubSettingsLimits Limits, HubSettingsRetention Retention,
    HubSettingsWork Work, HubSettingsDelivery Delivery, HubSettingsSignIn SignIn, IReadOnlyList<HubPart> Health);

/// <summary>Kind: files or s3. AnyFile: jobs may name any file that the hub may read.</summary>
public sealed record HubSettingsStorage(string Kind, bool AnyFile);

/// <summary>Sizes in bytes.</summary>
public sealed record HubSettingsLimits(long ArtifactBytes, long FileBytes, int FilesPerJob, long KeptBytes, int KeptFiles, long DatasetBytes, int DatasetRows, int DatasetLoci, int Webhooks);

/// <summary>In seconds.</summary>
public sealed record HubSettingsRetention(double Jobs, double IdempotencyKeys, double DeliveredWebhooks, double DeadWebhooks);

/// <summary>Seconds of a worker's lease, and how often an attempt may be lost before its task fails.</summary>
public sealed record HubSettingsWork(double LeaseSeconds, int LostAttempts, int OutOfMemoryAttempts, double RetryBackoffSeconds);

/// <summary>Messages: off, final or all. Which other ways there are to hear of jobs.</summary>
public sealed record HubSettingsDelivery(string Messages, bool Mail, bool Webhooks);

/// <summary>Names of the providers that accounts may come from.</summary>
public sealed record HubSettingsSignIn(IReadOnlyList<string> Providers);

/// <summary>A part of the hub: how it is (ok, slow or away), how long it took to answer, and what that means in words.</summary>
public sealed record HubPart(string Name, string State, double Milliseconds, string Message);
