using System.Runtime.CompilerServices;
using JobHub.Engine.Files;
using JobHub.Engine.Storage;

namespace JobHub.Engine.MapReduce;

/// <summary>What an input path meant at submit: its objects in key order, 0-byte ones included.</summary>
/// <param name="Files">Of an input among the project's files: these very versions, which the job keeps.</param>
public sealed record InputPlan(IReadOnlyList<InputObject> Objects, long TotalSize, IReadOnlyList<JobFile> Files);

/// <summary>Finds a job's input with the caller's credentials, so that a wrong path or key is refused at submit with the reason.</summary>
public sealed class InputPlanner(StoreRegistry stores, FileSpace files)
{
    /// <summary>A store that has not answered by then is unreachable.</summary>
    public static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(5);

    // A submission waits for it.
    private static readonly TimeSpan ListLimit = TimeSpan.FromSeconds(20);

    private const int PageOfFiles = 1000;

    /// <summary>
    /// HEAD of one object, or a listing when the path ends with a slash or its last part has a <c>*</c>. Throws <see cref="StoreException"/>: NotFound (also an empty match),
    /// AccessDenied, Unreachable, EndpointNotAllowed, InvalidPath; <see cref="TooManySplitsException"/> when there are more objects than a job may have maps.
    /// </summary>
    /// <param name="project">Whose files are meant by <c>project:///</c>.</param>
    public async Task<InputPlan> PlanAsync(string inputPath, bool useSsl, StorageCredentials? credentials, string project, CancellationToken ct)
    {
        var address = ObjectAddress.Parse(inputPath, useSsl);
        if (address.Kind == AddressKind.Project) return await OfProjectAsync(address, project, ct);
        if (address.HasBucket && (address.Bucket.Length == 0 || (address.IsFolder && !inputPath.EndsWith('/'))))
        {
            throw new StoreException(StoreFault.InvalidPath, $"\"{address}\" names no object: add a key, or end it with a slash for all objects.", transient: false);
        }

        var (store, path) = stores.Open(address, credentials);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(AnswerLimit);
        try
        {
            if (address.IsFolder || address.Pattern is not null) return await ListAsync(store, address, limit);
            var found = await store.HeadAsync(path, limit.Token) ?? throw Missing($"{address} does not exist.");
            return new InputPlan([new InputObject(address.ToString(), found.Size, found.ETag)], found.Size, []);
        }
        catch (OperationCanceledException e) when (!ct.IsCancellationRequested)
        {
            throw new StoreException(StoreFault.Unreachable, $"{address.Endpoint?.ToString() ?? "The store"} did not answer within {AnswerLimit.TotalSeconds} s.", transient: true, e);
        }
    }

    private static async Task<InputPlan> ListAsync(IObjectStore store, ObjectAddress address, CancellationTokenSource limit)
    {
        var objects = new List<InputObject>();
        long total = 0;
        var withBytes = 0;
        await foreach (var found in store.ListAsync(address.ListPrefix(), limit.Token))
        {
            // The limit is for each answer of the store, not for a long listing as a whole.
            limit.CancelAfter(AnswerLimit);
            if (!address.Matches(found.Key)) continue;
            // Consoles make such empty objects to show a folder.
            if (found.Size == 0 && found.Key.EndsWith('/')) continue;
            if (found.Size > 0 && ++withBytes > SplitPlan.MaxMaps)
            {
                throw new TooManySplitsException(null, $"{address} has more than {SplitPlan.MaxMaps} objects.");
            }

            if (found.Key.EndsWith('/')) throw new StoreException(StoreFault.InvalidPath, $"{found.Key} is an object whose name ends with a slash.", transient: false);
            // Empty ones matter only as "there is a match"; a million of them are not kept.
            if (found.Size == 0 && objects.Count >= SplitPlan.MaxMaps) continue;
            objects.Add(new InputObject(address.WithKey(found.Key).ToString(), found.Size, found.ETag));
            total = checked(total + found.Size);
        }

        return objects.Count > 0 ? new InputPlan(objects, total, []) : throw Missing($"Nothing matches {address}.");
    }

    /// <summary>Files of a project are rows: their bytes never change, and stay as long as the job that was given them.</summary>
    private async Task<InputPlan> OfProjectAsync(ObjectAddress address, string project, CancellationToken ct)
    {
        if (FilePath.Read("/" + address.Key, null, out var path) is { } reason) throw new StoreException(StoreFault.InvalidPath, $"{address}: {reason}", transient: false);
        if (address is { IsFolder: false, Pattern: null })
            return PlanOf([await files.FindAsync(project, FileSpace.Space, path, ct) ?? throw Missing($"{address} does not exist: project {project} has no file {path.Value}.")]);
        var found = new List<StoredFile>();
        var withBytes = 0;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(ListLimit);
        try
        {
            await foreach (var file in address.Pattern is null ? BelowAsync(project, path, limit.Token) : files.FilesAsync(project, FileSpace.Space, path, address.ListPrefix().Key[address.Key.Length..], limit.Token))
            {
                if (!address.Matches(file.Path.Value[1..])) continue;
                if (file.Size > 0 && ++withBytes > SplitPlan.MaxMaps) throw new TooManySplitsException(null, $"{address} has more than {SplitPlan.MaxMaps} objects.");
                // As in a store: empty ones matter only as "there is a match".
                if (file.Size > 0 || found.Count < SplitPlan.MaxMaps) found.Add(file);
            }
        }
        catch (OperationCanceledException e) when (!ct.IsCancellationRequested)
        {
            throw new StoreException(StoreFault.Unreachable, $"What {address} means was not found within {ListLimit.TotalSeconds} s: name a folder with fewer files below it.", transient: true, e);
        }

        return found.Count > 0 ? PlanOf(found) : throw Missing($"Nothing of project {project} matches {address}.");

        InputPlan PlanOf(List<StoredFile> read) => new(
            [.. read.Select(file => new InputObject(address.WithKey(file.Path.Value[1..]).ToString(), file.Size, file.ETag))], read.Sum(static file => file.Size),
            [.. read.Where(static file => file.Size > 0).Select(static file => new JobFile(file.Path, file.Object, file.Size, file.Executable, Uploaded: false))]);
    }

    private async IAsyncEnumerable<StoredFile> BelowAsync(string project, FilePath folder, [EnumeratorCancellation] CancellationToken ct)
    {
        for (string? after = null; ;)
        {
            var page = await files.PageAsync(project, FileSpace.Space, folder, after, PageOfFiles, ct);
            foreach (var file in page) yield return file;
            if (page.Count < PageOfFiles) yield break;
            after = page[^1].Path.Value;
        }
    }

    private static StoreException Missing(string message) => new(StoreFault.NotFound, message, transient: false);
}
