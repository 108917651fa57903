using System.Buffers;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Agent;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime;

/// <summary>Turns faults of the local disk into the attempt's outcome.</summary>
internal static class DiskFaults
{
    public static AttemptFailedException Of(Exception e, string what) => Faults.IsDiskFull(e)
        ? new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.DiskFull, $"The disk is full: {what}.")
        : new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.DiskFault, $"{what} failed: {e.Message}");
}

/// <summary>
/// Collects writes in blocks from the pool and hands full ones to <see cref="PutAsync"/> on another thread, one or more in flight; the bytes are hashed there too, in order,
/// so that the producer is not slowed by either.
/// </summary>
internal abstract class BlockWriter(int blockBytes, int inFlight, bool hash) : IOutputWriter
{
    private readonly IncrementalHash? _hash = hash ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;
    private readonly SemaphoreSlim _free = new(inFlight);
    private readonly CancellationTokenSource _abandon = new();
    private readonly List<Task> _running = [];
    private Task _hashed = Task.CompletedTask;
    private byte[]? _block;
    private int _filled;
    private bool _finished;

    protected long Size { get; private set; }
    protected int Blocks { get; private set; }

    /// <summary>Stores block <paramref name="index"/> (from 0) that begins at <paramref name="offset"/>.</summary>
    protected abstract Task PutAsync(int index, long offset, ReadOnlyMemory<byte> block, CancellationToken ct);

    protected abstract Task<PendingOutput> EndAsync(string? sha256, CancellationToken ct);

    /// <summary>A store of parts wants at least one, also of an empty object.</summary>
    protected virtual bool EmptyNeedsBlock => false;

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken ct)
    {
        while (!bytes.IsEmpty)
        {
            _block ??= ArrayPool<byte>.Shared.Rent(blockBytes);
            var n = Math.Min(blockBytes - _filled, bytes.Length);
            bytes.Span[..n].CopyTo(_block.AsSpan(_filled));
            _filled += n;
            bytes = bytes[n..];
            if (_filled == blockBytes) await SendBlockAsync(ct);
        }
    }

    public async Task<PendingOutput> FinishAsync(CancellationToken ct)
    {
        if (_filled > 0 || (Size == 0 && EmptyNeedsBlock)) await SendBlockAsync(ct);
        await Task.WhenAll(_running).WaitAsync(ct);
        await _hashed.WaitAsync(ct);
        var result = await EndAsync(_hash is null ? null : Convert.ToHexStringLower(_hash.GetHashAndReset()), ct);
        _finished = true;
        return result;
    }

    private async Task SendBlockAsync(CancellationToken ct)
    {
        await _free.WaitAsync(ct);
        for (var i = _running.Count - 1; i >= 0; i--)
        {
            if (!_running[i].IsCompleted) continue;
            await _running[i]; // throws what went wrong with an earlier block
            _running.RemoveAt(i);
        }
        var (block, length) = (_block ?? ArrayPool<byte>.Shared.Rent(1), _filled);
        var (index, offset) = (Blocks++, Size);
        Size += length;
        (_block, _filled) = (null, 0);
        var before = _hashed;
        // Hashing goes in order and beside the store's own work; the block is given back when both are done.
        var hashed = _hash is null ? Task.CompletedTask : Task.Run(async () =>
        {
            await before;
            _hash.AppendData(block, 0, length);
        });
        _hashed = hashed;
        _running.Add(Task.Run(async () =>
        {
            try { await PutAsync(index, offset, block.AsMemory(0, length), _abandon.Token); }
            finally
            {
                await hashed;
                ArrayPool<byte>.Shared.Return(block);
                _free.Release();
            }
        }));
    }

    public async ValueTask DisposeAsync()
    {
        if (!_finished) await _abandon.CancelAsync();
        try { await Task.WhenAll(_running); }
        catch (Exception) when (!_finished) { /* told before, or of no interest: the bytes are abandoned */ }
        if (_block is { } left) ArrayPool<byte>.Shared.Return(left);
        _block = null;
        _hash?.Dispose();
        _abandon.Dispose();
        _free.Dispose();
        await CloseAsync();
        GC.SuppressFinalize(this);
    }

    protected virtual ValueTask CloseAsync() => ValueTask.CompletedTask;
}

/// <summary>A new, attempt-named file on the folder shared with the hub. Never deleted here: the hub does that, after reading which attempt won.</summary>
internal sealed class FileOutputWriter : BlockWriter
{
    private readonly string _path;
    private readonly bool _durable;
    private readonly SafeFileHandle _file;

    public FileOutputWriter(string path, bool durable) : base(1 << 20, 2, durable)
    {
        (_path, _durable) = (path, durable);
        try
        {
            if (Path.GetDirectoryName(path) is { Length: > 0 } folder) Directory.CreateDirectory(folder);
            _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw DiskFaults.Of(e, "Creating the output file"); }
    }

    protected override Task PutAsync(int index, long offset, ReadOnlyMemory<byte> block, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        try { RandomAccess.Write(_file, block.Span, offset); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw DiskFaults.Of(e, "Writing the output"); }
        return Task.CompletedTask;
    }

    protected override async Task<PendingOutput> EndAsync(string? sha256, CancellationToken ct)
    {
        try
        {
            if (_durable) await Task.Run(() => RandomAccess.FlushToDisk(_file), ct);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw DiskFaults.Of(e, "Making the output durable"); }
        return new PendingOutput(Size, sha256, _path, null, null);
    }

    protected override ValueTask CloseAsync()
    {
        _file.Dispose();
        return ValueTask.CompletedTask;
    }
}

/// <summary>An open multipart upload: two parts in flight, each tried again on its own.</summary>
internal sealed class MultipartOutputWriter(AgentClient client, string uploadUrl, UploadOpened upload, bool durable)
    : BlockWriter(checked((int)upload.PartSize), 2, durable)
{
    private const int UrlsAtOnce = 16;
    private readonly Dictionary<int, string> _urls = upload.PartUrls.Select((url, i) => (url, i)).ToDictionary(x => x.i + 1, x => x.url);
    private readonly SortedDictionary<int, string> _etags = [];
    private readonly SemaphoreSlim _asking = new(1);

    public static async Task<MultipartOutputWriter> OpenAsync(AgentClient client, OutputGrant grant, CancellationToken ct) =>
        new(client, grant.UploadUrl!, await client.OpenUploadAsync(grant.UploadUrl!, ct), grant.Durable);

    protected override bool EmptyNeedsBlock => true;

    protected override async Task PutAsync(int index, long offset, ReadOnlyMemory<byte> block, CancellationToken ct)
    {
        var part = index + 1;
        var etag = await client.RetryAsync(async t =>
        {
            using var answer = await client.SendGrantedAsync(HttpMethod.Put, await UrlAsync(part, t), r => r.Content = new ReadOnlyMemoryContent(block), t);
            if (answer.StatusCode == System.Net.HttpStatusCode.Forbidden)
            {
                // Out of date: the next try asks for another.
                lock (_urls) _urls.Remove(part);
                throw new HubException(System.Net.HttpStatusCode.ServiceUnavailable, "The store refused a part's URL.");
            }
            if (!answer.IsSuccessStatusCode)
                throw new HubException(answer.StatusCode, $"The store answered {(int)answer.StatusCode} to part {part}: {await AgentClient.HeadOfAsync(answer, t)}");
            return answer.Headers.ETag?.ToString() ?? throw new HubException(System.Net.HttpStatusCode.BadGateway, "The store gave no ETag.");
        }, ct);
        lock (_etags) _etags[part] = etag;
    }

    private async Task<string> UrlAsync(int part, CancellationToken ct)
    {
        lock (_urls) if (_urls.TryGetValue(part, out var known)) return known;
        await _asking.WaitAsync(ct);
        try
        {
            lock (_urls) if (_urls.TryGetValue(part, out var known)) return known;
            var more = await client.PostAgainAsync(uploadUrl + "/parts", new PartUrlsRequest(upload.UploadId, part, UrlsAtOnce),
                AgentJson.Default.PartUrlsRequest, AgentJson.Default.StringArray, ct);
            if (more.Length == 0) throw new HubException(System.Net.HttpStatusCode.BadGateway, "The hub gave no URL for a part.");
            lock (_urls) for (var i = 0; i < more.Length; i++) _urls[part + i] = more[i];
            return more[0];
        }
        finally { _asking.Release(); }
    }

    protected override Task<PendingOutput> EndAsync(string? sha256, CancellationToken ct) =>
        Task.FromResult(new PendingOutput(Size, sha256, null, upload.UploadId, [.. _etags.Values]));

    protected override ValueTask CloseAsync()
    {
        _asking.Dispose();
        return ValueTask.CompletedTask;
    }
}

/// <summary>
/// One PUT of the whole stream to the hub. The bytes wait in an unlinked file first: a stream cannot be sent again, and a dropped connection must not cost the attempt.
/// </summary>
internal sealed class PutOutputWriter : BlockWriter
{
    private readonly AgentClient _client;
    private readonly string _url;
    private readonly SafeFileHandle _file;

    public PutOutputWriter(AgentClient client, string url, string spoolFolder) : base(1 << 20, 2, hash: false)
    {
        (_client, _url) = (client, url);
        try
        {
            Directory.CreateDirectory(spoolFolder);
            var path = Path.Combine(spoolFolder, $"{Guid.NewGuid():N}.put");
            _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw DiskFaults.Of(e, "Creating the output's spool file"); }
    }

    protected override Task PutAsync(int index, long offset, ReadOnlyMemory<byte> block, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        try { RandomAccess.Write(_file, block.Span, offset); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw DiskFaults.Of(e, "Writing the output"); }
        return Task.CompletedTask;
    }

    protected override async Task<PendingOutput> EndAsync(string? sha256, CancellationToken ct)
    {
        var pending = await _client.PutOutputAsync(_url, () => new FileContent(_file, Size), ct);
        return pending.Size == Size ? pending
            : throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreUnavailable, $"The hub kept {pending.Size} of {Size} bytes.");
    }

    protected override ValueTask CloseAsync()
    {
        _file.Dispose();
        return ValueTask.CompletedTask;
    }

    private sealed class FileContent : HttpContent
    {
        private readonly SafeFileHandle _file;
        private readonly long _size;

        public FileContent(SafeFileHandle file, long size)
        {
            (_file, _size) = (file, size);
            Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        }

        protected override async Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context)
        {
            var buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
            try
            {
                for (long at = 0; at < _size;)
                {
                    var n = RandomAccess.Read(_file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, _size - at)), at);
                    if (n <= 0) throw new IOException("The output's spool file cannot be read back.");
                    await stream.WriteAsync(buffer.AsMemory(0, n));
                    at += n;
                }
            }
            finally { ArrayPool<byte>.Shared.Return(buffer); }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = _size;
            return true;
        }
    }
}
