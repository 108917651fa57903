using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Agent;
using JobHub.Worker.Executors.Processes;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Trees;

/// <summary>The files of one attempt on the hub: those to place, and those it sends back.</summary>
internal sealed class AttemptFiles(AgentClient client, long session, Guid token, TimeSpan patience, TimeProvider clock)
{
    private const int FilesAtOnce = 500;
    private const int ShrinksBorne = 3;
    private const int FailuresBorne = 3;
    // A grant is renewed by asking for its file again, which is the first one after the file before it.
    private readonly ConditionalWeakTable<ObjectGrant, Place> _places = [];

    private sealed record Place(string Path, string? Before);

    public async IAsyncEnumerable<TreeFile> ListAsync([EnumeratorCancellation] CancellationToken ct)
    {
        string? after = null, before = null;
        do
        {
            var page = await client.FilesAsync(session, token, after, FilesAtOnce, ct);
            foreach (var file in page.Files)
            {
                if (file.Source.Url is not null) _places.AddOrUpdate(file.Source, new Place(file.Path, before));
                before = file.Path;
                yield return file;
            }
            after = page.Next;
        } while (after is not null);
    }

    /// <summary>The bytes of a file that has no local path.</summary>
    public async Task<Stream> OpenAsync(TreeFile file, CancellationToken ct) =>
        file.Source.Url is null ? throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, "The grant names neither a path nor a URL.")
        : await RangedReadStream.OpenAsync(client, file.Source, 0, file.Size, RefreshAsync, clock, patience, ct);

    /// <summary>Sends a file as it is now. Null when it was taken, else why it is left out.</summary>
    public async Task<string?> SendAsync(string path, SafeFileHandle file, CancellationToken ct)
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5));
        long? failingSince = null;
        var failures = 0;
        for (var shrinks = 0; ;)
        {
            var facts = FolderHandle.FactsOf(file) ?? throw new IOException("An open file cannot be looked at.");
            using var content = new TreeFileContent(file, facts.Size);
            try
            {
                await client.PutFileAsync(session, token, path, facts.IsExecutable, content, ct);
                return null;
            }
            catch (Exception) when (content.Broken is { } broken && !ct.IsCancellationRequested)
            {
                // Something outside a sandbox still writes it, or the disk does not give it back.
                if (++shrinks >= ShrinksBorne) return broken;
            }
            catch (HubException e) when (e.Status is HttpStatusCode.BadRequest or HttpStatusCode.RequestEntityTooLarge or HttpStatusCode.Conflict or HttpStatusCode.UnprocessableEntity)
            {
                return $"the hub does not take it: {e.Message}";
            }
            catch (Exception e) when (Faults.IsTransient(e))
            {
                // One try at a large file may take longer than the patience lasts; that alone is no reason to give up.
                failingSince ??= clock.GetTimestamp();
                if (++failures >= FailuresBorne && clock.GetElapsedTime(failingSince.Value) > patience)
                    throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreUnavailable, $"The file {path} could not be sent for {patience.TotalSeconds:0} s: {e.Message}");
                await Task.Delay(backoff.Next(), clock, ct);
            }
        }
    }

    private async Task<ObjectGrant> RefreshAsync(ObjectGrant old, CancellationToken ct)
    {
        if (!_places.TryGetValue(old, out var place)) return old;
        var page = await client.FilesAsync(session, token, place.Before, 1, ct);
        if (page.Files is not [var again] || again.Path != place.Path) throw new FileNotFoundException($"The file {place.Path} is not there any more.");
        _places.AddOrUpdate(again.Source, place);
        return again.Source;
    }

    /// <summary>What a problem answer says, or its head.</summary>
    internal static string Reason(string body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return json.RootElement.TryGetProperty("detail", out var detail) ? detail.GetString() ?? body : body;
        }
        catch (JsonException) { return body; }
    }
}
