using System.Buffers.Binary;
using System.Numerics;
using System.Text.Json;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Agent;

/// <summary>
/// Completions on their way to the hub. Each is appended to one file before it is sent and forgotten when the hub has answered it; what an earlier worker process left is sent once more.
/// A record is [length][crc32c][session][token][JSON]; a torn tail is dropped. Not synced to disk: what a crash of the machine loses, the lease gives back.
/// </summary>
public sealed class Outbox : IDisposable
{
    private const int BatchRecords = 500;
    private const int BatchBytes = 4 << 20;
    private const int HeaderBytes = 4 + 4 + 8 + 16;
    private const long CompactAbove = 4 << 20;
    // Under a stream of tiny tasks results gather, for this long a result of the last batch and at most so long; a single one goes at once.
    private static readonly TimeSpan GatherEach = TimeSpan.FromMilliseconds(4);
    private static readonly TimeSpan GatherMost = TimeSpan.FromMilliseconds(60);

    private readonly AgentClient _client;
    private readonly ILogger<Outbox> _logger;
    private readonly TimeProvider _clock;
    private readonly Lock _gate = new();
    private readonly LinkedList<Record> _waiting = [];
    private readonly SemaphoreSlim _added = new(0, 1);
    private readonly string _path;
    private SafeFileHandle? _file;
    private long _end, _lastSent;
    private TimeSpan _gather = GatherEach;
    private TaskCompletionSource? _empty;

    private sealed record Record(long Session, Guid Token, ReadOnlyMemory<byte> Json);

    public Outbox(AgentClient client, string path, TimeProvider clock, ILogger<Outbox> logger)
    {
        (_client, _path, _clock, _logger) = (client, path, clock, logger);
        Load();
        WorkerMetrics.ObserveOutbox(() => Count);
    }

    /// <summary>Told what became of a result: session, token, answer. Called from the sending loop.</summary>
    public Action<long, Guid, CompletionAnswer>? Answered { get; set; }

    public int Count { get { lock (_gate) return _waiting.Count; } }

    /// <summary>Keeps a result until the hub has answered it.</summary>
    public void Add(long session, AttemptResult result)
    {
        var record = new Record(session, result.Token, JsonSerializer.SerializeToUtf8Bytes(result, AgentJson.Default.AttemptResult));
        lock (_gate)
        {
            Append(record);
            _waiting.AddLast(record);
        }
        Wake();
    }

    /// <summary>Completes when nothing waits any more.</summary>
    public Task WhenEmptyAsync(CancellationToken ct)
    {
        lock (_gate)
        {
            if (_waiting.Count == 0) return Task.CompletedTask;
            _empty ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _empty.Task.WaitAsync(ct);
        }
    }

    /// <summary>Sends until cancelled.</summary>
    public async Task SendAsync(CancellationToken ct)
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(2));
        var most = BatchRecords;
        while (!ct.IsCancellationRequested)
        {
            List<Record> batch;
            try { batch = await NextAsync(most, ct); }
            catch (OperationCanceledException) { return; }
            try
            {
                var answers = await _client.CompleteAsync(batch[0].Session, [.. batch.Select(r => r.Json)], ct);
                _lastSent = _clock.GetTimestamp();
                _gather = batch.Count * GatherEach < GatherMost ? batch.Count * GatherEach : GatherMost;
                Forget(batch, answers);
                backoff.Reset();
                most = BatchRecords;
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested) { return; }
            catch (SessionEndedException) { Forget(batch, [.. batch.Select(_ => CompletionAnswer.Lost)]); }
            catch (HubException e) when (!e.Transient && e.Status is not (System.Net.HttpStatusCode.Unauthorized or System.Net.HttpStatusCode.Forbidden))
            {
                // One result the hub cannot take must not hold back the others: send singly until it is found.
                if (batch.Count > 1) most = 1;
                else
                {
                    _logger.ResultRefused(batch[0].Token, e.Message);
                    Forget(batch, [CompletionAnswer.Lost]);
                }
            }
            catch (Exception e)
            {
                // Unclear: perhaps it was taken. Sent again as it is; the hub answers AlreadyAccepted then.
                _logger.ResultsUnanswered(batch.Count, e.Message);
                await Task.Delay(backoff.Next(), _clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task<List<Record>> NextAsync(int most, CancellationToken ct)
    {
        while (true)
        {
            int count;
            lock (_gate) count = _waiting.Count;
            if (count > 0)
            {
                var sinceLast = _clock.GetElapsedTime(_lastSent);
                if (count < BatchRecords && sinceLast < _gather) await Task.Delay(_gather - sinceLast, _clock, ct);
                return Take(most);
            }
            await _added.WaitAsync(ct);
        }
    }

    private List<Record> Take(int most)
    {
        var batch = new List<Record>();
        lock (_gate)
        {
            var bytes = 0;
            foreach (var record in _waiting)
            {
                if (batch.Count == most || (batch.Count > 0 && (record.Session != batch[0].Session || bytes + record.Json.Length > BatchBytes))) break;
                batch.Add(record);
                bytes += record.Json.Length;
            }
        }
        return batch;
    }

    private void Forget(List<Record> batch, CompletionAnswer[] answers)
    {
        lock (_gate)
        {
            // Only this loop removes, always from the front.
            for (var i = 0; i < batch.Count; i++) _waiting.RemoveFirst();
            if (_waiting.Count == 0)
            {
                _empty?.TrySetResult();
                _empty = null;
            }
            Compact();
        }
        for (var i = 0; i < batch.Count; i++) Answered?.Invoke(batch[i].Session, batch[i].Token, answers[i]);
    }

    private void Wake()
    {
        if (_added.CurrentCount > 0) return;
        try { _added.Release(); }
        catch (SemaphoreFullException) { /* already awake */ }
    }

    private void Append(Record record)
    {
        if (_file is null) return;
        var framed = new byte[HeaderBytes + record.Json.Length];
        BinaryPrimitives.WriteInt32LittleEndian(framed, record.Json.Length);
        BinaryPrimitives.WriteInt64LittleEndian(framed.AsSpan(8), record.Session);
        record.Token.TryWriteBytes(framed.AsSpan(16));
        record.Json.Span.CopyTo(framed.AsSpan(HeaderBytes));
        BinaryPrimitives.WriteUInt32LittleEndian(framed.AsSpan(4), Crc(framed.AsSpan(8)));
        try
        {
            RandomAccess.Write(_file, framed, _end);
            _end += framed.Length;
        }
        catch (IOException e)
        {
            // A full disk: the result is still sent from memory.
            _logger.OutboxNotWritten(e.Message);
        }
    }

    private void Compact()
    {
        if (_file is null || _end == 0) return;
        if (_waiting.Count > 0 && _end < CompactAbove) return;
        if (_waiting.Count > 0 && _waiting.Sum(r => (long)HeaderBytes + r.Json.Length) > _end / 2) return;
        try
        {
            if (_waiting.Count == 0)
            {
                // Cheaper than truncating each time: one empty frame ends what is read back.
                if (_end < 64 * 1024) { RandomAccess.Write(_file, stackalloc byte[HeaderBytes], 0); }
                else RandomAccess.SetLength(_file, 0);
                _end = 0;
                return;
            }
            var fresh = _path + ".new";
            var old = _file;
            _file = File.OpenHandle(fresh, FileMode.Create, FileAccess.ReadWrite, FileShare.Read);
            _end = 0;
            foreach (var record in _waiting) Append(record);
            File.Move(fresh, _path, overwrite: true);
            old.Dispose();
        }
        catch (IOException e) { _logger.OutboxNotWritten(e.Message); }
    }

    private void Load()
    {
        try
        {
            if (Path.GetDirectoryName(_path) is { Length: > 0 } folder) Directory.CreateDirectory(folder);
            var bytes = File.Exists(_path) ? File.ReadAllBytes(_path) : [];
            var at = 0;
            while (bytes.Length - at >= HeaderBytes)
            {
                var length = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(at));
                if (length <= 0 || length > bytes.Length - at - HeaderBytes) break;
                if (Crc(bytes.AsSpan(at + 8, HeaderBytes - 8 + length)) != BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 4))) break;
                _waiting.AddLast(new Record(BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(at + 8)), new Guid(bytes.AsSpan(at + 16, 16)), bytes.AsMemory(at + HeaderBytes, length)));
                at += HeaderBytes + length;
            }
            _file = File.OpenHandle(_path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
            RandomAccess.SetLength(_file, at);
            _end = at;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { _logger.OutboxNotWritten(e.Message); }
        if (_waiting.Count > 0)
        {
            _logger.OutboxLeftovers(_waiting.Count);
            Wake();
        }
    }

    // The 32-byte header after the checksum and the JSON.
    private static uint Crc(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        while (bytes.Length >= 8)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[8..];
        }
        foreach (var b in bytes) crc = BitOperations.Crc32C(crc, b);
        return ~crc;
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
        }
        _added.Dispose();
    }
}
