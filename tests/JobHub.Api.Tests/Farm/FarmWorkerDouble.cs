using System.Net;
using System.Text;

namespace JobHub.Api.Tests.Farm;

/// <summary>A worker of the original farm: forms, and a connection of its own for each call.</summary>
public sealed class FarmWorkerDouble(Uri hub, string host) : IDisposable
{
    private readonly HttpClient _client = new(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero, AllowAutoRedirect = false }) { BaseAddress = hub };

    public string Host => host;

    public void Dispose() => _client.Dispose();

    /// <summary>The answer to pickjob, as text.</summary>
    public Task<string> PickTextAsync() => TextAsync("pickjob", ("hostname", host), ("load", "[43]"), ("free_memory", "1000"), ("total_memory", "4000"));

    /// <summary>The id of the job that pickjob gives, or -1.</summary>
    public async Task<long> PickAsync()
    {
        var text = await PickTextAsync();
        Assert.StartsWith("(", text, StringComparison.Ordinal);
        return long.Parse(text[1..text.IndexOf(',', StringComparison.Ordinal)]);
    }

    /// <summary>Asks until there is a job.</summary>
    public async Task<long> PickOneAsync() => await JobHub.Testing.Eventually.GetAsync(PickAsync, id => id > 0, "a job is given");

    public async Task<bool> HeartbeatAsync(long job, string output = "") => await HeartbeatAsync(job, Encoding.UTF8.GetBytes(output));

    public async Task<bool> HeartbeatAsync(long job, byte[] output) =>
        await TextAsync("heartbeat", ("hostname", host), ("jobId", job.ToString()), ("log", Convert.ToBase64String(output)), ("load", "[43]"), ("free_memory", "1000"), ("total_memory", "4000")) switch
        {
            "true" => true, "false" => false, var other => throw new InvalidOperationException("heartbeat answered " + other),
        };

    public async Task EndAsync(long job, long errorCode = 0) => Assert.Equal("1", await TextAsync("endjob", ("hostname", host), ("jobId", job.ToString()), ("errorCode", errorCode.ToString())));

    public async Task<string> TextAsync(string call, params (string Name, string Value)[] fields)
    {
        using var answer = await PostAsync(call, string.Join('&', fields.Select(f => $"{f.Name}={WebUtility.UrlEncode(f.Value)}")));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.Content.ReadAsStringAsync();
    }

    /// <summary>Sends a body as it is.</summary>
    public Task<HttpResponseMessage> PostAsync(string call, string body, string type = "application/x-www-form-urlencoded", params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/workers/{call}") { Content = new StringContent(body, Encoding.Latin1) };
        request.Content.Headers.Remove("Content-Type");
        if (type.Length > 0) request.Content.Headers.TryAddWithoutValidation("Content-Type", type);
        request.Headers.ConnectionClose = true;
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return _client.SendAsync(request);
    }
}
