using System.Net;
using System.Text;
using System.Text.Json;

namespace JobHub.Web.Client;

/// <summary>The hub API, read only.</summary>
public sealed class HubClient(HubHttp hub)
{
    private readonly HttpClient http = hub.Client;

    /// <summary>A log page shows at most this much of a log's end.</summary>
    public const int LongestLog = 256 * 1024;

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    public Task<HubPage<HubJob>?> JobsAsync(string? state, string? text, string? after, CancellationToken cancellationToken)
    {
        var query = new StringBuilder("/hub/v1/jobs?limit=100");
        Append(query, "state", state);
        Append(query, "q", text);
        Append(query, "after", after);
        return GetAsync<HubPage<HubJob>>(query.ToString(), cancellationToken);
    }

    /// <summary>The jobs of a group, newest first.</summary>
    public Task<HubPage<HubJob>?> ChildrenAsync(string group, string? after, CancellationToken cancellationToken)
    {
        var query = new StringBuilder($"/hub/v1/jobs?limit=100&parent={Uri.EscapeDataString(group)}");
        Append(query, "after", after);
        return GetAsync<HubPage<HubJob>>(query.ToString(), cancellationToken);
    }

    /// <summary>Null when there is no such job.</summary>
    public Task<HubJob?> JobAsync(string id, CancellationToken cancellationToken) => GetAsync<HubJob>($"/hub/v1/jobs/{Uri.EscapeDataString(id)}", cancellationToken);

    /// <summary>Why a job waits; null when it does not, or there is none.</summary>
    public async Task<HubWaiting?> WaitingAsync(string id, CancellationToken cancellationToken) =>
        (await GetAsync<HubExplained>($"/hub/v1/jobs/{Uri.EscapeDataString(id)}/explain", cancellationToken))?.Waiting;

    public Task<HubPage<HubTask>?> TasksAsync(string id, string? after, CancellationToken cancellationToken)
    {
        var query = new StringBuilder($"/hub/v1/jobs/{Uri.EscapeDataString(id)}/tasks?limit=200");
        Append(query, "after", after);
        return GetAsync<HubPage<HubTask>>(query.ToString(), cancellationToken);
    }

    /// <summary>The first <see cref="LongestLog"/> bytes from an offset, as text; null when there is no such task.</summary>
    public async Task<HubLog?> LogAsync(string id, string task, long offset, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/hub/v1/jobs/{Uri.EscapeDataString(id)}/log?task={Uri.EscapeDataString(task)}&offset={offset}");
        using var answer = await SendAsync(request, cancellationToken);
        if (answer is null) return null;
        await using var stream = await answer.Content.ReadAsStreamAsync(cancellationToken);
        var buffer = new byte[LongestLog];
        var count = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
        return new HubLog(Encoding.UTF8.GetString(buffer, 0, count), offset, offset + count, count == buffer.Length);
    }

    private static void Append(StringBuilder query, string name, string? value)
    {
        if (!string.IsNullOrWhiteSpace(value)) query.Append('&').Append(name).Append('=').Append(Uri.EscapeDataString(value));
    }

    private async Task<T?> GetAsync<T>(string address, CancellationToken cancellationToken)
        where T : class
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        using var answer = await SendAsync(request, cancellationToken);
        if (answer is null) return null;
        try
        {
            return await answer.Content.ReadFromJsonAsync<T>(Json, cancellationToken);
        }
        catch (JsonException e)
        {
            throw new HubAwayException("The API's answer could not be read.", e);
        }
    }

    private async Task<HttpResponseMessage?> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (answer.IsSuccessStatusCode) return answer;
            var status = answer.StatusCode;
            answer.Dispose();
            return status switch
            {
                HttpStatusCode.NotFound => null,
                HttpStatusCode.Forbidden => throw new HubAwayException("Your account may not see this.", null),
                _ => throw new HubAwayException($"The API answered {(int)status}.", null),
            };
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new HubAwayException($"The API at {http.BaseAddress} does not answer.", e);
        }
    }
}

/// <summary>A piece of a log.</summary>
/// <param name="More">There is more after <paramref name="End"/>.</param>
public sealed record HubLog(string Text, long Start, long End, bool More);
