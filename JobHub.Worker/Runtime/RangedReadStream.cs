using System.Net;
using System.Net.Http.Headers;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Agent;

namespace JobHub.Worker.Runtime;

/// <summary>
/// Bytes of a granted URL from an offset on. A fault in the middle (a dropped connection, a body that ends early, 5xx) reconnects at the current offset with backoff; the first
/// answer's ETag is asked for again, so that two versions of an object are never mixed. Gives up with store-unavailable when nothing came for as long as the patience lasts.
/// </summary>
internal sealed class RangedReadStream : Stream
{
    private static readonly TimeSpan ReadTime = TimeSpan.FromSeconds(30);
    private readonly AgentClient _client;
    private readonly Func<ObjectGrant, CancellationToken, Task<ObjectGrant>> _refresh;
    private readonly TimeProvider _clock;
    private readonly TimeSpan _patience;
    private ObjectGrant _grant;
    private long _offset;
    private long? _end;
    private EntityTagHeaderValue? _etag;
    private HttpResponseMessage? _answer;
    private Stream? _body;
    // Since when nothing came although we asked; a slow reader of ours is no fault.
    private long? _failingSince;
    private Backoff _backoff = new(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5));
    private bool _refreshed;

    private RangedReadStream(AgentClient client, ObjectGrant grant, long offset, long? length, Func<ObjectGrant, CancellationToken, Task<ObjectGrant>> refresh,
        TimeProvider clock, TimeSpan patience)
    {
        (_client, _grant, _offset, _refresh, _clock, _patience) = (client, grant, offset, refresh, clock, patience);
        _end = length is { } n ? offset + n : null;
    }

    /// <summary>Connects at once, so that a missing object is known now.</summary>
    public static async Task<RangedReadStream> OpenAsync(AgentClient client, ObjectGrant grant, long offset, long? length,
        Func<ObjectGrant, CancellationToken, Task<ObjectGrant>> refresh, TimeProvider clock, TimeSpan patience, CancellationToken ct)
    {
        var stream = new RangedReadStream(client, grant, offset, length, refresh, clock, patience);
        try
        {
            await stream.UntilItWorksAsync(stream.ConnectAsync, ct);
            return stream;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken ct = default)
    {
        if (buffer.IsEmpty || _offset >= _end) return 0;
        var n = 0;
        await UntilItWorksAsync(async t =>
        {
            if (_body is null) await ConnectAsync(t);
            if (_offset >= _end) return;
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(t);
            limit.CancelAfter(ReadTime);
            var most = _end is { } end ? (int)Math.Min(buffer.Length, end - _offset) : buffer.Length;
            try { n = await _body!.ReadAsync(buffer[..most], limit.Token); }
            catch (OperationCanceledException e) when (!t.IsCancellationRequested) { throw new TimeoutException("The store stopped sending.", e); }
            if (n == 0 && _offset < _end) throw new HttpIOException(HttpRequestError.ResponseEnded, $"The body ended at {_offset} of {_end}.");
        }, ct);
        if (n > 0)
        {
            _offset += n;
            _failingSince = null;
            _backoff.Reset();
            _refreshed = false;
        }
        return n;
    }

    private async Task UntilItWorksAsync(Func<CancellationToken, Task> step, CancellationToken ct)
    {
        while (true)
        {
            try
            {
                await step(ct);
                return;
            }
            catch (HubException e) when (e.Status == HttpStatusCode.Forbidden && !_refreshed)
            {
                // A presigned URL is out of date: the hub makes another.
                _refreshed = true;
                _grant = await _refresh(_grant, ct);
            }
            catch (Exception e) when (Faults.IsTransient(e) || e is IOException { HResult: not (28 or 122) } and not FileNotFoundException)
            {
                Drop();
                _failingSince ??= _clock.GetTimestamp();
                if (_clock.GetElapsedTime(_failingSince.Value) > _patience)
                    throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreUnavailable, $"The object store could not be read for {_patience.TotalSeconds:0} s: {e.Message}");
                await Task.Delay(_backoff.Next(), _clock, ct);
            }
        }
    }

    private async Task ConnectAsync(CancellationToken ct)
    {
        Drop();
        if (_offset >= _end) return;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(ReadTime);
        try
        {
            _answer = await _client.SendGrantedAsync(HttpMethod.Get, _grant.Url!, request =>
            {
                if (_offset > 0 || _end is not null) request.Headers.Range = new RangeHeaderValue(_offset, _end - 1);
                if (_etag is { IsWeak: false }) request.Headers.IfMatch.Add(_etag);
            }, limit.Token);
        }
        catch (OperationCanceledException e) when (!ct.IsCancellationRequested) { throw new TimeoutException("The store did not answer.", e); }
        switch (_answer.StatusCode)
        {
            case HttpStatusCode.PartialContent when _answer.Content.Headers.ContentRange is { From: { } from } range:
                if (from != _offset) throw new HubException(HttpStatusCode.BadGateway, $"The store answered bytes from {from} instead of {_offset}.");
                // A range past the object's end is cut there, that is its end.
                if (range.Length is { } total) _end = Math.Min(_end ?? total, total);
                else if (_answer.Content.Headers.ContentLength is { } part) _end ??= _offset + part;
                break;
            case HttpStatusCode.OK when _offset == 0:
                if (_answer.Content.Headers.ContentLength is { } whole) _end = Math.Min(_end ?? whole, whole);
                break;
            case HttpStatusCode.OK:
                throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreUnavailable, "The object store does not serve ranges.");
            case HttpStatusCode.RequestedRangeNotSatisfiable:
                _end = _offset;
                return;
            case HttpStatusCode.NotFound or HttpStatusCode.Gone:
                throw new FileNotFoundException("The object is not there.");
            case HttpStatusCode.PreconditionFailed:
                throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputChanged, "The object was replaced while it was read.");
            case HttpStatusCode.Forbidden when _refreshed:
                throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreRefused, "The object store denies access.");
            default:
                throw new HubException(_answer.StatusCode, $"The store answered {(int)_answer.StatusCode}: {await AgentClient.HeadOfAsync(_answer, ct)}");
        }
        _etag ??= _answer.Headers.ETag;
        _body = await _answer.Content.ReadAsStreamAsync(ct);
    }

    private void Drop()
    {
        _body?.Dispose();
        _answer?.Dispose();
        (_body, _answer) = (null, null);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) Drop();
        base.Dispose(disposing);
    }

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => _offset; set => throw new NotSupportedException(); }
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
#pragma warning disable VSTHRD002, MA0042 // a synchronous reader on a thread of its own asked for it
    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();
#pragma warning restore VSTHRD002, MA0042
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
