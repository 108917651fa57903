using System.Net;

namespace JobHub.Web.Client;

/// <summary>Programs, files and settings of the hub API.</summary>
public sealed class HubData(HubHttp hub)
{
    private const int Page = 100, FolderPage = 500;

    public Task<HubPage<HubArtifact>> ArtifactsAsync(string? text, string? after, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubArtifact>>(HubHttp.Path("/hub/v1/artifacts", ("q", text), ("after", after), ("limit", Page)), ct);

    public Task<HubArtifact?> ArtifactAsync(string name, CancellationToken ct) => hub.FindAsync<HubArtifact>($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}", ct);

    public async Task<HubPage<HubArtifactUse>> UsesAsync(string name, int? version, string? after, CancellationToken ct) =>
        await hub.FindAsync<HubPage<HubArtifactUse>>(HubHttp.Path($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}/jobs", ("version", version), ("after", after), ("limit", 20)), ct) ?? new([], null);

    public Task DeleteArtifactAsync(string name, CancellationToken ct) => hub.DoAsync(HttpMethod.Delete, $"/hub/v1/artifacts/{Uri.EscapeDataString(name)}", null, ct);

    /// <summary>A page of a folder; null when there is nothing at this path.</summary>
    public Task<HubFolder?> FolderAsync(string? project, string path, string? after, CancellationToken ct) =>
        hub.FindAsync<HubFolder>(HubHttp.Path("/hub/v1/files", ("project", project), ("path", path), ("after", after), ("limit", FolderPage)), ct);

    public Task DeleteFileAsync(string? project, string path, bool folder, CancellationToken ct) =>
        hub.DoAsync(HttpMethod.Delete, HubHttp.Path("/hub/v1/files", ("project", project), ("path", folder ? path.TrimEnd('/') + "/" : path), ("recursive", folder ? "true" : null)), null, ct);

    /// <summary>The first bytes of a file, and how many it has; null when it is gone.</summary>
    public Task<(byte[] Head, long Size)?> HeadAsync(string? project, string path, int most, CancellationToken ct) =>
        HeadAtAsync(HubHttp.Path("/hub/v1/files/content", ("project", project), ("path", path)), most, ct);

    /// <summary>The same of what a job left.</summary>
    public Task<(byte[] Head, long Size)?> OutputHeadAsync(string job, string name, int most, CancellationToken ct) =>
        HeadAtAsync(HubHttp.Path($"/hub/v1/jobs/{Uri.EscapeDataString(job)}/outputs/content", ("name", name)), most, ct);

    private async Task<(byte[] Head, long Size)?> HeadAtAsync(string address, int most, CancellationToken ct)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Range = new(0, most - 1);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(TimeSpan.FromSeconds(20));
        try
        {
            using var answer = await hub.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            // Nothing to cut a range from: it is empty.
            if (answer.StatusCode is HttpStatusCode.RequestedRangeNotSatisfiable) return ([], 0);
            if (!answer.IsSuccessStatusCode) return null;
            await using var bytes = await answer.Content.ReadAsStreamAsync(limit.Token);
            var head = new byte[most];
            var count = await bytes.ReadAtLeastAsync(head, most, throwOnEndOfStream: false, limit.Token);
            return (head[..count], answer.Content.Headers.ContentRange?.Length ?? count);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw new HubAwayException("The API does not answer.", e);
        }
    }

    public Task<HubSettings> SettingsAsync(CancellationToken ct) => hub.GetAsync<HubSettings>("/hub/v1/settings", ct);

    public Task<HubPage<HubAccount>> UsersAsync(string? after, CancellationToken ct) => hub.GetAsync<HubPage<HubAccount>>(HubHttp.Path("/hub/v1/users", ("after", after), ("limit", 200)), ct);

    public Task MakeUserAsync(string name, string role, string? password, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, "/hub/v1/users", new { name, role, password }, ct);

    public Task ChangeUserAsync(string name, string? role, bool? disabled, string? password, CancellationToken ct) =>
        hub.DoAsync(HttpMethod.Patch, $"/hub/v1/users/{Uri.EscapeDataString(name)}", new { role, disabled, password }, ct);
}

/// <summary>A version of a program.</summary>
public sealed record HubArtifactVersion(int Version, string Type, long Size, string Hash, DateTimeOffset CreatedAt);

/// <summary>A program in its current version; asked for alone with all of them.</summary>
public sealed record HubArtifact(string Name, int Version, string Type, long Size, string Hash, DateTimeOffset CreatedAt, IReadOnlyList<HubArtifactVersion>? Versions);

/// <summary>A job that was submitted with a program.</summary>
public sealed record HubArtifactUse(string Id, long Number, string? Title, string Project, string State, string Role, DateTimeOffset CreatedAt);

/// <summary>The job that brought or made a file.</summary>
public sealed record HubFileJob(string Id, long Number, string? Title);

/// <summary>A line of a folder.</summary>
public sealed record HubFile(string Name, string Kind, long? Size, DateTimeOffset? ModifiedAt, HubFileJob? Job)
{
    public bool IsFolder => Kind == "folder";
}

/// <summary>A page of a folder.</summary>
public sealed record HubFolder(string Project, string Path, IReadOnlyList<HubFile> Items, string? Next);

/// <summary>A user, for administrators.</summary>
public sealed record HubAccount(string Name, string Role, bool Disabled, bool HasPassword, string? Provider, DateTimeOffset CreatedAt);

/// <summary>What the hub runs with.</summary>
public sealed record HubSettings(
    string Version, string Environment, bool OpenWithoutToken, DateTimeOffset StartedAt, HubSettingsStorage Storage, HubSettingsLimits Limits, HubSettingsRetention Retention,
    HubSettingsWork Work, HubSettingsDelivery Delivery, HubSettingsSignIn SignIn, IReadOnlyList<HubPart> Health);

/// <summary>Its own store.</summary>
public sealed record HubSettingsStorage(string Kind, bool AnyFile);

/// <summary>Sizes in bytes.</summary>
public sealed record HubSettingsLimits(long ArtifactBytes, long FileBytes, int FilesPerJob, long KeptBytes, int KeptFiles, long DatasetBytes, int DatasetRows, int DatasetLoci, int Webhooks);

/// <summary>In seconds.</summary>
public sealed record HubSettingsRetention(double Jobs, double IdempotencyKeys, double DeliveredWebhooks, double DeadWebhooks);

/// <summary>Leases and retries.</summary>
public sealed record HubSettingsWork(double LeaseSeconds, int LostAttempts, int OutOfMemoryAttempts, double RetryBackoffSeconds);

/// <summary>Who is told of jobs.</summary>
public sealed record HubSettingsDelivery(string Messages, bool Mail, bool Webhooks);

/// <summary>Where accounts may come from.</summary>
public sealed record HubSettingsSignIn(IReadOnlyList<string> Providers);

/// <summary>How a part of the hub is.</summary>
public sealed record HubPart(string Name, string State, double Milliseconds, string Message);
