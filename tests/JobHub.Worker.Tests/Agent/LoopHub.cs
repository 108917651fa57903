using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.ServiceDefaults;
using JobHub.Worker.Agent;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace JobHub.Worker.Tests.Agent;

/// <summary>A Kestrel server on loopback: the network of these tests, with the faults a network has.</summary>
internal sealed class LoopServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private LoopServer(WebApplication app) => _app = app;

    public Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    public static async Task<LoopServer> StartAsync(Action<WebApplication> routes)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.ConfigureHttpJsonOptions(o => ServiceDefaultsExtensions.Shape(o.SerializerOptions));
        builder.Configuration["urls"] = "http://127.0.0.1:0";
        var app = builder.Build();
        routes(app);
        await app.StartAsync();
        return new LoopServer(app);
    }

    public AgentClient Client() => new(new HubAddress(Address), WorkerToken.Of("secret"), TimeProvider.System);

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}

/// <summary>A file of a tree on the wire.</summary>
internal sealed record LoopFile(byte[] Bytes, bool Executable)
{
    public long Size { get; init; } = Bytes.Length;
    /// <summary>Given by its path instead of a URL.</summary>
    public string? Shared { get; init; }
}

/// <summary>The hub's side of the agent protocol, small: tasks wait in a queue, results are collected, faults are asked for.</summary>
internal sealed class LoopHub : IAsyncDisposable
{
    private readonly ConcurrentQueue<AttemptSpec> _ready = new();
    private readonly ConcurrentDictionary<Guid, AttemptSpec[]> _claims = new();
    private readonly SemaphoreSlim _news = new(0);
    private LoopServer? _server;
    private long _sessions;

    public ConcurrentDictionary<Guid, AttemptResult> Results { get; } = new();
    public ConcurrentDictionary<Guid, byte[]> Logs { get; } = new();
    /// <summary>Files to place, by token: path and bytes.</summary>
    public ConcurrentDictionary<Guid, SortedDictionary<string, LoopFile>> Inputs { get; } = new();
    /// <summary>Files sent, by token and path. Bytes of large ones are only counted.</summary>
    public ConcurrentDictionary<(Guid Token, string Path), LoopFile> Kept { get; } = new();
    /// <summary>What a PUT of a file is answered before it is read; 0 = it is taken.</summary>
    public Func<string, int> AnswerFile { get; set; } = _ => 0;
    public ConcurrentDictionary<Guid, string> Live { get; } = new();
    public ConcurrentQueue<StopOrder> Orders { get; } = new();
    public ConcurrentBag<long> Ended { get; } = [];
    public long Sessions => Interlocked.Read(ref _sessions);
    public int Completions;
    public double LeaseSeconds { get; set; } = 6;
    public double RenewSeconds { get; set; } = 0.5;
    /// <summary>Sessions up to this one are answered 410.</summary>
    public long GoneUpTo { get; set; }
    public volatile bool RefuseRenews;
    /// <summary>Renews are answered with an operator's order to exit.</summary>
    public volatile bool TellToExit;
    public int LoseClaimAnswers, LoseCompleteAnswers;
    public RenewRequest? LastRenew { get; private set; }
    public Uri Address => _server!.Address;

    public static async Task<LoopHub> StartAsync()
    {
        var hub = new LoopHub();
        hub._server = await LoopServer.StartAsync(hub.Map);
        return hub;
    }

    public AttemptSpec Add(string command, double? timeout = null)
    {
        var job = Guid.NewGuid();
        var spec = new AttemptSpec
        {
            Token = Guid.NewGuid(), TaskId = 1, JobId = job, Attempt = 1, Kind = TaskKind.Command, Index = 0, TaskName = $"{job}-c-0", TimeoutSeconds = timeout,
            Command = new CommandSpec(command, null, true),
        };
        _ready.Enqueue(spec);
        _news.Release();
        return spec;
    }

    /// <summary>A command with a tree.</summary>
    public AttemptSpec AddTree(string command, Func<AttemptSpec, AttemptSpec>? shape = null, params (string Path, string Text)[] files) =>
        AddTree(command, shape, [.. files.Select(f => KeyValuePair.Create(f.Path, new LoopFile(System.Text.Encoding.UTF8.GetBytes(f.Text), false)))]);

    public AttemptSpec AddTree(string command, Func<AttemptSpec, AttemptSpec>? shape, KeyValuePair<string, LoopFile>[] files)
    {
        var job = Guid.NewGuid();
        var spec = new AttemptSpec
        {
            Token = Guid.NewGuid(), TaskId = 1, JobId = job, Attempt = 1, Kind = TaskKind.Command, Index = 0, TaskName = $"{job}-c-0",
            Command = new CommandSpec(command, null, true, new TreeSpec(files.Length, 1 << 30, 10_000)),
        };
        if (shape is not null) spec = shape(spec);
        Inputs[spec.Token] = new SortedDictionary<string, LoopFile>(files.ToDictionary(), StringComparer.Ordinal);
        _ready.Enqueue(spec);
        _news.Release();
        return spec;
    }

    /// <summary>Paths and texts of what was kept of an attempt.</summary>
    public SortedDictionary<string, string> KeptOf(AttemptSpec spec) =>
        new(Kept.Where(k => k.Key.Token == spec.Token).ToDictionary(k => k.Key.Path, k => System.Text.Encoding.UTF8.GetString(k.Value.Bytes)), StringComparer.Ordinal);

    public string LogOf(AttemptSpec spec) => System.Text.Encoding.UTF8.GetString(Logs.TryGetValue(spec.Token, out var log) ? log : Results[spec.Token].Log?.Inline ?? []);

    private void MapFiles(WebApplication app)
    {
        app.MapGet("/agent/v1/sessions/{id}/attempts/{token}/files", (long id, Guid token, string? after, int limit) =>
        {
            var page = Inputs[token].Where(f => after is null || string.CompareOrdinal(f.Key, after) > 0).Take(limit).ToArray();
            return Microsoft.AspNetCore.Http.Results.Json(new FilePage(
                [.. page.Select(f => new TreeFile(f.Key, f.Value.Size, f.Value.Executable, f.Value.Shared is { } shared ? new ObjectGrant(shared, null)
                    : new ObjectGrant(null, $"/agent/v1/sessions/{id}/attempts/{token}/files/content?path={Uri.EscapeDataString(f.Key)}")))],
                page.Length < limit ? null : page[^1].Key));
        });
        app.MapGet("/agent/v1/sessions/{id}/attempts/{token}/files/content", (Guid token, string path) =>
            Microsoft.AspNetCore.Http.Results.Bytes(Inputs[token][path].Bytes, "application/octet-stream", enableRangeProcessing: true));
        app.MapPut("/agent/v1/sessions/{id}/attempts/{token}/files", async (Guid token, string path, bool executable, HttpContext context) =>
        {
            if (AnswerFile(path) is var status and not 0) return Microsoft.AspNetCore.Http.Results.Problem("refused here", statusCode: status);
            context.Features.Get<IHttpMaxRequestBodySizeFeature>()!.MaxRequestBodySize = null;
            var buffer = new byte[1 << 16];
            var (size, small) = (0L, new MemoryStream());
            int n;
            while ((n = await context.Request.Body.ReadAsync(buffer)) > 0)
            {
                if ((size += n) <= 1 << 20) small.Write(buffer, 0, n);
            }
            Kept[(token, path)] = new LoopFile(small.ToArray(), executable) { Size = size };
            return Microsoft.AspNetCore.Http.Results.NoContent();
        });
    }

    private void Map(WebApplication app)
    {
        MapFiles(app);
        app.Use(async (context, next) =>
        {
            if (context.Request.Headers.Authorization != "Bearer secret") context.Response.StatusCode = 401;
            else if (context.Request.RouteValues.TryGetValue("id", out var id) && long.Parse((string)id!) <= GoneUpTo) context.Response.StatusCode = 410;
            else await next(context);
        });
        app.MapPost("/agent/v1/sessions", (OpenSession _) => Results_Created(new SessionOpened(Interlocked.Increment(ref _sessions), LeaseSeconds, RenewSeconds, null)));
        app.MapPost("/agent/v1/sessions/{id}/claim", async (long id, ClaimRequest request, HttpContext context) =>
        {
            if (!_claims.TryGetValue(request.ClaimId, out var attempts))
            {
                if (_ready.IsEmpty) await _news.WaitAsync(Math.Min(request.WaitMs, 1000), context.RequestAborted);
                var list = new List<AttemptSpec>();
                while (list.Count < request.Max && _ready.TryDequeue(out var spec)) list.Add(spec);
                _claims[request.ClaimId] = attempts = [.. list];
            }
            if (attempts.Length > 0 && Interlocked.Decrement(ref LoseClaimAnswers) >= 0) context.Abort();
            return new ClaimAnswer(attempts);
        });
        app.MapPost("/agent/v1/sessions/{id}/renew", (long id, RenewRequest request) =>
        {
            if (RefuseRenews) return Microsoft.AspNetCore.Http.Results.StatusCode(503);
            LastRenew = request;
            return Microsoft.AspNetCore.Http.Results.Json(new RenewAnswer([], [], TellToExit));
        });
        app.MapGet("/agent/v1/sessions/{id}/control", async (long id, int waitMs, HttpContext context) =>
        {
            for (var i = 0; i < 20 && Orders.IsEmpty; i++) await Task.Delay(50, context.RequestAborted);
            return new ControlAnswer([.. Orders.Where(o => !Results.ContainsKey(o.Token))]);
        });
        app.MapPost("/agent/v1/sessions/{id}/complete", (long id, CompleteRequest request, HttpContext context) =>
        {
            Interlocked.Increment(ref Completions);
            var answers = request.Results.Select(r => Results.TryAdd(r.Token, r) ? CompletionAnswer.Accepted : CompletionAnswer.AlreadyAccepted).ToArray();
            if (Interlocked.Decrement(ref LoseCompleteAnswers) >= 0) context.Abort();
            return new CompleteAnswer(answers);
        });
        app.MapDelete("/agent/v1/sessions/{id}", (long id) => { Ended.Add(id); return Microsoft.AspNetCore.Http.Results.NoContent(); });
        app.MapPut("/agent/v1/sessions/{id}/attempts/{token}/log", async (long id, Guid token, HttpRequest request) =>
        {
            using var body = new MemoryStream();
            await request.Body.CopyToAsync(body);
            Logs[token] = body.ToArray();
            return new LogContent(null, $"logs/{token}", long.Parse(request.Headers["JobHub-Log-Size"]!), null);
        });
        app.MapPost("/agent/v1/sessions/{id}/attempts/{token}/live", async (long id, Guid token, long offset, HttpRequest request) =>
        {
            using var reader = new StreamReader(request.Body);
            var text = await reader.ReadToEndAsync();
            Live.AddOrUpdate(token, text, (_, old) => old[..(int)offset] + text);
            return Microsoft.AspNetCore.Http.Results.NoContent();
        });
    }

    private static IResult Results_Created<T>(T value) => Microsoft.AspNetCore.Http.Results.Json(value, statusCode: 201);

    public async ValueTask DisposeAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        _news.Dispose();
    }
}

/// <summary>A worker's agent with all its real parts, in this process.</summary>
internal sealed class LoopWorker : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly string _folder;

    public LoopWorker(Uri hub, int slots = 2, TimeSpan? grace = null, params (string Name, string Value)[] settings)
    {
        _folder = Directory.CreateTempSubdirectory("jobhub-agent-").FullName;
        File.SetUnixFileMode(_folder, (UnixFileMode)0b111_101_101);
        var token = Path.Combine(_folder, "token");
        File.WriteAllText(token, "secret\n");
        var builder = Host.CreateApplicationBuilder();
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["JobHub:Worker:Api"] = hub.ToString(), ["JobHub:Worker:TokenFile"] = token, ["JobHub:Worker:DataFolder"] = Path.Combine(_folder, "data"),
            ["JobHub:Worker:ProgramFolder"] = Path.Combine(_folder, "programs"), ["JobHub:Worker:ScratchRoot"] = Path.Combine(_folder, "scratch"),
            ["JobHub:Worker:Slots"] = slots.ToString(), ["JobHub:Worker:Grace"] = (grace ?? TimeSpan.FromSeconds(5)).ToString(),
        });
        builder.Configuration.AddInMemoryCollection(settings.Select(s => KeyValuePair.Create($"JobHub:Worker:{s.Name}", (string?)s.Value)));
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddAttempts(builder.Configuration).AddAgentRole();
        _host = builder.Build();
    }

    public AgentLoop Agent => _host.Services.GetRequiredService<AgentLoop>();
    public string Scratch => _host.Services.GetRequiredService<ScratchFolders>().Own;

    public async Task<LoopWorker> StartAsync()
    {
        await _host.StartAsync();
        return this;
    }

    public Task StopAsync() => _host.StopAsync();

    /// <summary>Whether its process would be ending.</summary>
    public bool IsStopping => _host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested;

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        try { _host.Dispose(); }
        catch (ObjectDisposedException) { /* the launcher is known to its container under two types */ }
        Directory.Delete(_folder, true);
    }
}

internal static class Eventually
{
    public static async Task TrueAsync(Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!condition()) await Task.Delay(20, limit.Token);
    }
}
