using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Worker.Agent;
using JobHub.Worker.Runtime;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace JobHub.Worker.Tests.Agent;

public sealed class DataPathTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("jobhub-paths-").FullName;
    private static readonly byte[] Content = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * 31 % 251))];

    public void Dispose() => Directory.Delete(_folder, true);

    private static AttemptSpec Spec() => new()
    {
        Token = Guid.NewGuid(), TaskId = 1, JobId = Guid.NewGuid(), Attempt = 1, Kind = TaskKind.Map, Index = 0, TaskName = "t",
        Map = new MapSpec
        {
            Mapper = new ProgramSpec("m", ProgramType.Streaming, 1, new string('0', 64), new ObjectGrant("/x", null)), Input = new ObjectGrant(null, "/old"), InputPath = "", ObjectSize = 1, Start = 0,
            End = 1, Partitions = 1, Output = new OutputGrant(null, null, null, true),
        },
    };

    private AttemptStore Store(AgentClient client, AttemptSpec? spec = null, double patience = 30) =>
        new(client, new ProgramCache(Path.Combine(_folder, "programs"), 1000), spec ?? Spec(), 1, Path.Combine(_folder, "spool"), TimeSpan.FromSeconds(patience), TimeProvider.System);

    private static async Task<byte[]> ReadAllAsync(Stream stream)
    {
        using var all = new MemoryStream();
        await using (stream) await stream.CopyToAsync(all);
        return all.ToArray();
    }

    // Serves a range of Content, cut short by the fault of the n-th request.
    private static async Task ServeAsync(HttpContext context, int request)
    {
        var range = context.Request.GetTypedHeaders().Range?.Ranges.Single();
        var from = (int)(range?.From ?? 0);
        var to = (int)(range?.To ?? Content.Length - 1);
        to = Math.Min(to, Content.Length - 1);
        if (request == 2)
        {
            context.Response.StatusCode = 503;
            return;
        }
        context.Response.StatusCode = range is null ? 200 : 206;
        context.Response.Headers.ETag = "\"v1\"";
        context.Response.ContentLength = to - from + 1;
        if (range is not null) context.Response.Headers.ContentRange = $"bytes {from}-{to}/{Content.Length}";
        var end = request <= 4 ? Math.Min(to + 1, from + 50_000) : to + 1;
        await context.Response.Body.WriteAsync(Content.AsMemory(from, end - from));
        await context.Response.Body.FlushAsync();
        if (end <= to) context.Abort();
    }

    [Theory]
    [InlineData(0, null)]
    [InlineData(1000, 250_000L)]
    [InlineData(100, null)]
    public async Task Read_OverDroppedConnectionsAndFaults_GivesEveryByteOnce(long offset, long? length)
    {
        var requests = 0;
        await using var server = await LoopServer.StartAsync(app => app.MapGet("/o", (HttpContext c) => ServeAsync(c, Interlocked.Increment(ref requests))));
        using var client = server.Client();
        using var store = Store(client);

        var bytes = await ReadAllAsync(await store.OpenReadAsync(new ObjectGrant(null, "/o"), offset, length, CancellationToken.None));

        Assert.Equal(Content.AsSpan((int)offset, (int)(length ?? Content.Length - offset)).ToArray(), bytes);
        Assert.True(requests > 4);
    }

    [Fact]
    public async Task Read_OfAnObjectReplacedInTheMiddle_IsRefused()
    {
        var requests = 0;
        var read = new TaskCompletionSource();
        await using var server = await LoopServer.StartAsync(app => app.MapGet("/o", async (HttpContext c) =>
        {
            if (Interlocked.Increment(ref requests) > 1)
            {
                c.Response.StatusCode = c.Request.Headers.IfMatch == "\"v1\"" ? 412 : 500;
                return;
            }
            c.Response.Headers.ETag = "\"v1\"";
            c.Response.ContentLength = Content.Length;
            await c.Response.Body.WriteAsync(Content.AsMemory(0, 1000));
            await c.Response.Body.FlushAsync();
            await read.Task;
            c.Abort();
        }));
        using var client = server.Client();
        using var store = Store(client);
        await using var stream = await store.OpenReadAsync(new ObjectGrant(null, "/o"), 0, null, CancellationToken.None);
        await stream.ReadExactlyAsync(new byte[1000]);
        read.SetResult();

        var fault = await Assert.ThrowsAsync<AttemptFailedException>(() => ReadAllAsync(stream));

        Assert.Equal("input-changed", fault.Type);
    }

    [Fact]
    public async Task Read_MissingAndUnreachableObjects_AreToldApart()
    {
        await using var server = await LoopServer.StartAsync(app => app.MapGet("/down", () => Results.StatusCode(503)));
        using var client = server.Client();
        using var store = Store(client, patience: 0.2);

        await Assert.ThrowsAsync<FileNotFoundException>(() => store.OpenReadAsync(new ObjectGrant(null, "/none"), 0, null, CancellationToken.None));
        await Assert.ThrowsAsync<FileNotFoundException>(() => store.OpenReadAsync(new ObjectGrant(Path.Combine(_folder, "no", "file"), null), 0, null, CancellationToken.None));
        var fault = await Assert.ThrowsAsync<AttemptFailedException>(() => store.OpenReadAsync(new ObjectGrant(null, "/down"), 0, null, CancellationToken.None));
        Assert.Equal("store-unavailable", fault.Type);
    }

    [Fact]
    public async Task Read_OfAnUrlOutOfDate_AsksForAFreshOne()
    {
        var spec = Spec();
        await using var server = await LoopServer.StartAsync(app =>
        {
            app.MapGet("/old", () => Results.StatusCode(403));
            app.MapGet("/new", (HttpContext c) => ServeAsync(c, 9));
            app.MapGet($"/agent/v1/sessions/1/attempts/{spec.Token}", () => spec with { Map = spec.Map! with { Input = new ObjectGrant(null, "/new") } });
        });
        using var client = server.Client();
        using var store = Store(client, spec);

        Assert.Equal(Content, await ReadAllAsync(await store.OpenReadAsync(spec.Map!.Input, 0, null, CancellationToken.None)));
    }

    [Fact]
    public async Task Output_OnASharedFolder_IsWrittenAndHashed()
    {
        using var client = new AgentClient(new HubAddress(new Uri("http://127.0.0.1:1")), WorkerToken.Of("x"), TimeProvider.System);
        using var store = Store(client);
        var path = Path.Combine(_folder, "out", "file");
        var grant = new OutputGrant(path, null, null, true);

        await using var writer = await store.CreateAsync(grant, CancellationToken.None);
        for (var i = 0; i < 12; i++) await writer.WriteAsync(Content, CancellationToken.None);
        var pending = await writer.FinishAsync(CancellationToken.None);

        var written = await File.ReadAllBytesAsync(path);
        Assert.Equal(Enumerable.Repeat(Content, 12).SelectMany(b => b), written);
        Assert.Equal((written.Length, Convert.ToHexStringLower(SHA256.HashData(written)), path), (pending.Size, pending.Sha256, pending.Path));
        await Assert.ThrowsAsync<AttemptFailedException>(() => store.CreateAsync(grant, CancellationToken.None));
    }

    [Fact]
    public async Task Output_InParts_SurvivesFaultsOfTheStore()
    {
        var parts = new ConcurrentDictionary<int, byte[]>();
        var requests = 0;
        await using var server = await LoopServer.StartAsync(app =>
        {
            app.MapPost("/up", (HttpContext c) => new UploadOpened("u1", 100_000, [$"http://{c.Request.Host}/part/1", $"http://{c.Request.Host}/part/2"]));
            app.MapPost("/up/parts", (PartUrlsRequest r, HttpContext c) => Enumerable.Range(r.From, r.Count).Select(i => $"http://{c.Request.Host}/part/{i}").ToArray());
            app.MapPut("/part/{n}", async (int n, HttpContext c) =>
            {
                if (c.Request.Headers.Authorization.Count > 0) return Results.StatusCode(400);
                var request = Interlocked.Increment(ref requests);
                if (request == 2) return Results.StatusCode(503);
                if (request == 3) return Results.StatusCode(403);
                using var body = new MemoryStream();
                await c.Request.Body.CopyToAsync(body);
                parts[n] = body.ToArray();
                // Taken, and the answer lost: the same part comes again.
                if (request == 4) c.Abort();
                c.Response.Headers.ETag = $"\"e{n}\"";
                return Results.Ok();
            });
        });
        using var client = server.Client();
        using var store = Store(client);

        await using var writer = await store.CreateAsync(new OutputGrant(null, "/up", null, true), CancellationToken.None);
        foreach (var chunk in Content.Chunk(7777)) await writer.WriteAsync(chunk, CancellationToken.None);
        await writer.WriteAsync("end"u8.ToArray(), CancellationToken.None);
        var pending = await writer.FinishAsync(CancellationToken.None);

        byte[] expected = [.. Content, .. "end"u8];
        Assert.Equal(expected, parts.OrderBy(p => p.Key).SelectMany(p => p.Value));
        Assert.Equal(["\"e1\"", "\"e2\"", "\"e3\"", "\"e4\""], pending.PartETags!);
        Assert.Equal((expected.Length, Convert.ToHexStringLower(SHA256.HashData(expected))), (pending.Size, pending.Sha256));
    }

    [Fact]
    public async Task Output_PutToTheHub_IsSentAgainWhenTheConnectionDrops()
    {
        byte[]? kept = null;
        var requests = 0;
        await using var server = await LoopServer.StartAsync(app => app.MapPut("/put", async (HttpContext c) =>
        {
            if (Interlocked.Increment(ref requests) == 1)
            {
                await c.Request.Body.ReadExactlyAsync(new byte[1000]);
                c.Abort();
            }
            using var body = new MemoryStream();
            await c.Request.Body.CopyToAsync(body);
            kept = body.ToArray();
            return new PendingOutput(kept.Length, null, "/tmp/x", null, null);
        }));
        using var client = server.Client();
        using var store = Store(client);

        await using var writer = await store.CreateAsync(new OutputGrant(null, null, "/put", false), CancellationToken.None);
        await writer.WriteAsync(Content, CancellationToken.None);
        var pending = await writer.FinishAsync(CancellationToken.None);

        Assert.Equal(Content, kept);
        Assert.Equal((Content.Length, "/tmp/x"), (pending.Size, pending.Path));
    }

    [Fact]
    public async Task Program_FromTheCache_IsVerifiedExecutableAndEvictedWhenOld()
    {
        var cache = new ProgramCache(Path.Combine(_folder, "cache"), 250);
        static ProgramSpec Of(byte[] bytes) => new("p", ProgramType.Streaming, bytes.Length, Convert.ToHexStringLower(SHA256.HashData(bytes)), new ObjectGrant("/none", null));
        var (a, b, c) = (new byte[100], new byte[101], new byte[102]);

        var path = await cache.TakeAsync(Of(a), _ => Task.FromResult<Stream>(new MemoryStream(a)), CancellationToken.None);
        Assert.Equal((UnixFileMode)0b101_101_101, File.GetUnixFileMode(path));
        Assert.Equal(path, await cache.TakeAsync(Of(a), _ => throw new InvalidOperationException("not asked"), CancellationToken.None));
        var second = await cache.TakeAsync(Of(b), _ => Task.FromResult<Stream>(new MemoryStream(b)), CancellationToken.None);
        cache.Release(Of(b).Hash);
        await cache.TakeAsync(Of(c), _ => Task.FromResult<Stream>(new MemoryStream(c)), CancellationToken.None);

        Assert.True(File.Exists(path));
        Assert.False(File.Exists(second));
        var damaged = await Assert.ThrowsAsync<AttemptFailedException>(() => cache.TakeAsync(Of(b), _ => Task.FromResult<Stream>(new MemoryStream(a)), CancellationToken.None));
        Assert.Equal("program-damaged", damaged.Type);
    }

    [Fact]
    public async Task Log_OverHeadAndRing_KeepsBothEndsAndOneGap()
    {
        using var log = new LogSpool(_folder, headBytes: 100_000, ringBytes: 50_000);
        foreach (var chunk in Content.Chunk(333)) log.Write(chunk);

        byte[]? body = null;
        var content = await log.FinishAsync(async (size, gaps, make) =>
        {
            body = await make().ReadAsByteArrayAsync();
            Assert.Equal([new LogGap(100_000, 150_000)], gaps);
            return new LogContent(null, "key", size, [.. gaps]);
        });

        Assert.Equal(Content.Length, content!.Size);
        Assert.Equal([.. Content[..100_000], .. Content[^50_000..]], body!);
        Assert.Empty(Directory.GetFiles(_folder));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(LogSpool.InlineLimit)]
    public async Task Log_OfAFewBytes_TravelsInline(int size)
    {
        using var log = new LogSpool(_folder);
        foreach (var chunk in Content.AsSpan(0, size).ToArray().Chunk(100)) log.Write(chunk);

        var content = await log.FinishAsync((_, _, _) => throw new InvalidOperationException("no object for a small log"));

        if (size == 0) Assert.Null(content);
        else Assert.Equal(Content.AsSpan(0, size).ToArray(), content!.Inline);
    }

    [Fact]
    public async Task Log_WithoutADisk_IsMarkedAndNeverStopsTheProgram()
    {
        var file = Path.Combine(_folder, "not-a-folder");
        await File.WriteAllTextAsync(file, "");
        using var log = new LogSpool(file);
        log.Write(Content);

        var gap = default(LogGap);
        await log.FinishAsync(async (size, gaps, make) =>
        {
            gap = gaps.Single();
            Assert.Equal(size - gap.Length, (await make().ReadAsByteArrayAsync()).Length);
            return new LogContent(null, "key", size, null);
        });

        Assert.Equal(Content.Length, gap!.Offset + gap.Length);
    }

    [Fact]
    public async Task Outbox_OfAKilledWorker_IsSentByTheNextUpToTheTornTail()
    {
        var seen = new ConcurrentQueue<(long Session, Guid Token)>();
        await using var server = await LoopServer.StartAsync(app => app.MapPost("/agent/v1/sessions/{id}/complete", (long id, CompleteRequest request) =>
        {
            foreach (var r in request.Results) seen.Enqueue((id, r.Token));
            return new CompleteAnswer([.. request.Results.Select(_ => CompletionAnswer.Lost)]);
        }));
        using var client = server.Client();
        var path = Path.Combine(_folder, "outbox");
        var tokens = Enumerable.Range(0, 3).Select(_ => Guid.NewGuid()).ToArray();
        using (var first = new Outbox(client, path, TimeProvider.System, NullLogger<Outbox>.Instance))
        {
            foreach (var token in tokens) first.Add(7, new AttemptResult { Token = token, TaskId = 1, Outcome = AttemptOutcome.Succeeded });
        }
        using (var torn = new FileStream(path, FileMode.Open)) torn.SetLength(torn.Length - 3);

        using var next = new Outbox(client, path, TimeProvider.System, NullLogger<Outbox>.Instance);
        using var sending = new CancellationTokenSource();
        var sender = next.SendAsync(sending.Token);
        await next.WhenEmptyAsync(CancellationToken.None);
        await sending.CancelAsync();
        await sender;

        Assert.Equal([(7L, tokens[0]), (7L, tokens[1])], seen);
    }

    [Fact]
    public async Task Outbox_WithAResultTheHubCannotTake_DeliversTheOthers()
    {
        var taken = new ConcurrentQueue<Guid>();
        var poison = Guid.NewGuid();
        await using var server = await LoopServer.StartAsync(app => app.MapPost("/agent/v1/sessions/{id}/complete", (long id, CompleteRequest request) =>
        {
            if (request.Results.Any(r => r.Token == poison)) return Results.BadRequest();
            foreach (var r in request.Results) taken.Enqueue(r.Token);
            return Results.Json(new CompleteAnswer([.. request.Results.Select(_ => CompletionAnswer.Accepted)]));
        }));
        using var client = server.Client();
        using var outbox = new Outbox(client, Path.Combine(_folder, "outbox"), TimeProvider.System, NullLogger<Outbox>.Instance);
        Guid[] tokens = [Guid.NewGuid(), poison, Guid.NewGuid()];
        foreach (var token in tokens) outbox.Add(1, new AttemptResult { Token = token, TaskId = 1, Outcome = AttemptOutcome.Succeeded });
        using var sending = new CancellationTokenSource();
        var sender = outbox.SendAsync(sending.Token);

        await outbox.WhenEmptyAsync(CancellationToken.None);
        await sending.CancelAsync();
        await sender;

        Assert.Equal([tokens[0], tokens[2]], taken);
    }
}
