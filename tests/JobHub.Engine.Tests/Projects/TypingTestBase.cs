using System.Text;
using JobHub.Engine.Projects;
using JobHub.Engine.Storage;
using JobHub.Testing;
using Npgsql;
using Xunit;

namespace JobHub.Engine.Tests.Projects;

/// <summary>An engine without upkeep of its own, a project and a dataset in it.</summary>
public abstract class TypingTestBase : IAsyncLifetime
{
    protected const string Project = "lab";

    protected static readonly CancellationToken Ct = CancellationToken.None;

    protected EngineHost Engine { get; private set; } = null!;

    protected Guid Dataset { get; private set; }

    protected DatasetStore Store => Engine.Get<DatasetStore>();

    protected virtual Dictionary<string, string?>? Settings => null;

    public virtual async Task InitializeAsync()
    {
        Engine = await EngineHost.StartAsync(upkeep: false, settings: Settings);
        await ExecuteAsync($"INSERT INTO project (id, name, visibility) VALUES ('{Project}', 'Lab', 0)");
        Dataset = await Store.CreateAsync(Project, "Test", Ct);
    }

    public virtual async Task DisposeAsync() => await Engine.DisposeAsync();

    protected async Task ExecuteAsync(string sql)
    {
        await using var command = Engine.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    protected Task<UploadResult> PutAsync(string text, bool add = false) => SendAsync(Encoding.UTF8.GetBytes(text), add, isolates: false);

    protected Task<UploadResult> PutIsolatesAsync(string text, bool add = false) => SendAsync(Encoding.UTF8.GetBytes(text), add, isolates: true);

    protected Task<UploadResult> SendAsync(byte[] bytes, bool add = false, bool isolates = false) => SendAsync(new MemoryStream(bytes), add, isolates);

    protected async Task<UploadResult> SendAsync(Stream file, bool add = false, bool isolates = false)
    {
        await using var upload = await OpenAsync(add, isolates);
        await upload.ReadAsync(file, Ct);
        return await upload.CommitAsync(Ct);
    }

    protected async Task<DatasetUpload> OpenAsync(bool add = false, bool isolates = false)
    {
        var uploads = Engine.Get<DatasetUploads>();
        return (isolates ? await uploads.IsolatesAsync(Project, Dataset, add, Ct) : await uploads.ProfilesAsync(Project, Dataset, add, Ct))!;
    }

    /// <summary>What is stored: id, isolates and alleles of each profile, with <c>|</c> for tabs.</summary>
    protected async Task<string[]> StoredAsync() =>
        [.. (await Store.ProfilesAsync(Project, Dataset, 0, 100_000, Ct))!.Select(static p => $"{p.Id}:{p.Isolates}:{p.Alleles.Replace('\t', '|')}")];

    protected async Task<string> RefusedAsync(byte[] bytes, bool add = false, bool isolates = false) =>
        (await Assert.ThrowsAsync<TypingRefusedException>(() => SendAsync(bytes, add, isolates))).Code;

    protected async Task<string> SnapshotTextAsync(string key)
    {
        await using var stream = await Engine.Stores.Hub.OpenReadAsync(new ObjectPath(Engine.Stores.HubBucket, key), 0, null, Ct);
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync();
    }

    /// <summary>Rows of all revisions, pointed to or not.</summary>
    protected Task<long> RowsAsync(string table) => Engine.CountAsync($"SELECT count(*) FROM {table}");
}
