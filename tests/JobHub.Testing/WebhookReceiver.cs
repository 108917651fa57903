using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobHub.Testing;

/// <summary>A request as a receiver got it.</summary>
public sealed record ReceivedHook(string Path, string Event, string Delivery, long Timestamp, string Signature, string? ContentType, string Text)
{
    public JsonNode Body => JsonNode.Parse(Text)!;

    public string? Job => (string?)Body["job_id"];

    public string? Status => (string?)Body["status"];

    /// <summary>Checks the signature as a receiver would, by the hub's documentation.</summary>
    public bool IsSignedWith(string secret) =>
        Signature == "sha256=" + Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes($"{Timestamp}.{Text}")));
}

/// <summary>A receiver of webhooks on loopback that keeps what it gets and answers as it is told to.</summary>
public sealed class WebhookReceiver : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<ReceivedHook> received = new();

    private WebhookReceiver(WebApplication app) => this.app = app;

    /// <summary>The answer to a request; null: 204 at once. It may take its time.</summary>
    public Func<ReceivedHook, HttpResponse, Task>? Answer { get; set; }

    /// <summary>In the order of arrival, refused ones included.</summary>
    public IReadOnlyList<ReceivedHook> Received => [.. received];

    /// <summary>http://127.0.0.1:port.</summary>
    public Uri Address => new(app.Urls.First());

    /// <summary>127.0.0.1:port, as it stands in AllowedEndpoints.</summary>
    public string HostAndPort => $"127.0.0.1:{Address.Port}";

    public static async Task<WebhookReceiver> StartAsync(int port = 0)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        var app = builder.Build();
        var receiver = new WebhookReceiver(app);
        app.Run(receiver.TakeAsync);
        await app.StartAsync();
        return receiver;
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.Zero);
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
    }

    private async Task TakeAsync(HttpContext context)
    {
        var request = context.Request;
        using var reader = new StreamReader(request.Body);
        string Header(string name) => request.Headers[name].ToString();
        var hook = new ReceivedHook(request.Path, Header("JobHub-Event"), Header("JobHub-Delivery"), long.TryParse(Header("JobHub-Timestamp"), out var at) ? at : 0, Header("JobHub-Signature"),
            request.ContentType, await reader.ReadToEndAsync(context.RequestAborted));
        received.Enqueue(hook);
        context.Response.StatusCode = 204;
        if (Answer is { } answer) await answer(hook, context.Response);
    }
}
