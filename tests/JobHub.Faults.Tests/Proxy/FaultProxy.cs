using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobHub.Faults.Tests.Proxy;

/// <summary>What happens to one call on its way.</summary>
public enum CallFault
{
    None,
    /// <summary>The hub never sees it; the connection breaks.</summary>
    DropRequest,
    /// <summary>It takes effect; its answer never arrives.</summary>
    DropAnswer,
    Delay,
    /// <summary>The hub gets it twice; the second answer arrives.</summary>
    Duplicate,
    /// <summary>The hub gets half of the body.</summary>
    HalfBody,
    /// <summary>The caller gets half of the answer.</summary>
    HalfAnswer,
}

/// <summary>
/// Stands between the agent and the Api and breaks calls: the n-th call of a kind meets the fault that the seed says. It reads what the hub
/// answers to completions, so that refused results are counted by somebody who is neither of the two.
/// </summary>
public sealed class FaultProxy : IAsyncDisposable
{
    private static readonly HashSet<string> HopByHop = new(StringComparer.OrdinalIgnoreCase) { "Connection", "Transfer-Encoding", "Keep-Alive", "Host", "Content-Length", "Expect" };

    private readonly WebApplication application;
    private readonly HttpClient upstream;
    private readonly int seed;
    private readonly double rate;
    private int calls;

    private FaultProxy(WebApplication application, Uri hub, int seed, double rate)
    {
        (this.application, this.seed, this.rate) = (application, seed, rate);
        upstream = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { BaseAddress = hub, Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>Where it listens.</summary>
    public Uri Address => new(application.Services.GetService(typeof(Microsoft.AspNetCore.Hosting.Server.IServer)) is Microsoft.AspNetCore.Hosting.Server.IServer server
        ? server.Features.Get<IServerAddressesFeature>()!.Addresses.First() : throw new InvalidOperationException());

    /// <summary>Faults done so far, by kind.</summary>
    public ConcurrentDictionary<CallFault, int> Done { get; } = new();

    /// <summary>Answers to completions, by what they said.</summary>
    public ConcurrentDictionary<string, int> Answers { get; } = new();

    /// <summary>Whether calls break at all.</summary>
    public bool IsOn { get; set; }

    /// <summary>Held calls to complete wait for this to be set.</summary>
    public TaskCompletionSource? Hold { get; set; }

    /// <summary>Calls that are held now.</summary>
    public int Held => held;

    private int held;

    public static async Task<FaultProxy> StartAsync(Uri hub, int seed, double rate)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            kestrel.Limits.MaxRequestBodySize = null;
        });
        var application = builder.Build();
        var proxy = new FaultProxy(application, hub, seed, rate);
        application.Run(proxy.HandleAsync);
        await application.StartAsync();
        return proxy;
    }

    /// <summary>The fault of the n-th call: the same for the same seed.</summary>
    public static CallFault FaultOf(int seed, int call, double rate)
    {
        var random = new Random(unchecked((seed * 486_187_739) + call));
        return random.NextDouble() >= rate ? CallFault.None : (CallFault)random.Next(1, 7);
    }

    public async ValueTask DisposeAsync()
    {
        await application.DisposeAsync();
        upstream.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        try
        {
            var path = context.Request.Path.Value ?? "";
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body, context.RequestAborted);
            if (Hold is { } hold && path.EndsWith("/complete", StringComparison.Ordinal))
            {
                Interlocked.Increment(ref held);
                // Also when its caller has gone: a packet in the network arrives all the same.
                await hold.Task;
                using var late = await SendAsync(context, body.ToArray(), half: false, CancellationToken.None);
                Count(path, await late.Content.ReadAsByteArrayAsync(CancellationToken.None));
                context.Abort();
                return;
            }

            var fault = IsOn ? FaultOf(seed, Interlocked.Increment(ref calls), rate) : CallFault.None;
            if (fault != CallFault.None) Done.AddOrUpdate(fault, 1, (_, n) => n + 1);
            await HandleAsync(context, path, body.ToArray(), fault);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or BadHttpRequestException)
        {
            // The hub is down, or the worker is: to the other a broken connection.
            context.Abort();
        }
    }

    private async Task HandleAsync(HttpContext context, string path, byte[] body, CallFault fault)
    {
        if (fault == CallFault.DropRequest)
        {
            context.Abort();
            return;
        }

        if (fault == CallFault.Delay) await Task.Delay(TimeSpan.FromMilliseconds(200 + (calls * 37 % 1500)), context.RequestAborted);
        if (fault == CallFault.HalfBody)
        {
            try
            {
                using var broken = await SendAsync(context, body, half: true, context.RequestAborted);
            }
            catch (Exception e) when (e is HttpRequestException or IOException)
            {
                // As meant.
            }

            context.Abort();
            return;
        }

        if (fault == CallFault.Duplicate)
        {
            using var first = await SendAsync(context, body, half: false, context.RequestAborted);
            Count(path, await first.Content.ReadAsByteArrayAsync(context.RequestAborted));
        }

        using var answer = await SendAsync(context, body, half: false, context.RequestAborted);
        var said = await answer.Content.ReadAsByteArrayAsync(context.RequestAborted);
        Count(path, said);
        if (fault == CallFault.DropAnswer)
        {
            context.Abort();
            return;
        }

        context.Response.StatusCode = (int)answer.StatusCode;
        foreach (var (name, values) in answer.Headers.Concat(answer.Content.Headers))
            if (!HopByHop.Contains(name)) context.Response.Headers[name] = values.ToArray();
        context.Response.ContentLength = answer.StatusCode == HttpStatusCode.NoContent ? null : said.Length;
        if (said.Length == 0) return;
        await context.Response.Body.WriteAsync(fault == CallFault.HalfAnswer ? said.AsMemory(0, said.Length / 2) : said, context.RequestAborted);
        if (fault != CallFault.HalfAnswer) return;
        await context.Response.Body.FlushAsync(context.RequestAborted);
        context.Abort();
    }

    private async Task<HttpResponseMessage> SendAsync(HttpContext context, byte[] body, bool half, CancellationToken ct)
    {
        var request = context.Request;
        using var message = new HttpRequestMessage(new HttpMethod(request.Method), request.Path + request.QueryString);
        if (body.Length > 0 || request.ContentLength is not null)
            message.Content = half ? new HalfContent(body) : new ByteArrayContent(body);
        foreach (var (name, values) in request.Headers)
        {
            if (HopByHop.Contains(name)) continue;
            if (!message.Headers.TryAddWithoutValidation(name, values.ToArray())) message.Content?.Headers.TryAddWithoutValidation(name, values.ToArray());
        }

        return await upstream.SendAsync(message, ct);
    }

    private void Count(string path, byte[] answer)
    {
        if (!path.EndsWith("/complete", StringComparison.Ordinal)) return;
        try
        {
            using var json = JsonDocument.Parse(answer);
            if (!json.RootElement.TryGetProperty("answers", out var answers)) return;
            foreach (var word in answers.EnumerateArray()) Answers.AddOrUpdate(word.ToString(), 1, (_, n) => n + 1);
        }
        catch (JsonException)
        {
            // Not an answer of the hub.
        }
    }

    /// <summary>Says its whole length and breaks off in the middle.</summary>
    private sealed class HalfContent(byte[] body) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(body.AsMemory(0, body.Length / 2));
            await stream.FlushAsync();
            throw new IOException("Broken off in the middle, as the test wants it.");
        }

        protected override bool TryComputeLength(out long length)
        {
            length = body.Length;
            return true;
        }
    }
}
