using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Secrets;
using JobHub.Engine.Storage;
using JobHub.Engine.Webhooks;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Delivery;

/// <summary>What a receiver answered. No error: it took the message.</summary>
/// <param name="Error">A sentence for the webhook's owner; it holds nothing that the receiver said.</param>
public sealed record WebhookAnswer(int? Status, string? Error);

/// <summary>One signed request to one receiver.</summary>
public sealed class WebhookPost(WebhookAddresses addresses, SecretBox secrets, IOptions<WebhookOptions> options, TimeProvider clock) : IDisposable
{
    private const int ReadAtMost = 1024;

    private readonly HttpClient http = new(addresses.Handler, disposeHandler: false) { Timeout = Timeout.InfiniteTimeSpan };

    /// <summary><c>sha256=</c> and the lower-case hex HMAC-SHA256 of <c>timestamp.body</c>, keyed with the secret's text.</summary>
    public static string Signature(string secret, string timestamp, ReadOnlySpan<byte> body)
    {
        using var mac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(secret));
        mac.AppendData(Encoding.ASCII.GetBytes(timestamp + "."));
        mac.AppendData(body);
        return "sha256=" + Convert.ToHexStringLower(mac.GetHashAndReset());
    }

    /// <summary>Sends it. Never throws.</summary>
    public async Task<WebhookAnswer> SendAsync(Receiver receiver, DueDelivery delivery, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(receiver);
        ArgumentNullException.ThrowIfNull(delivery);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(options.Value.Timeout);
        try
        {
            using var request = Request(receiver, delivery);
            using var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            var status = (int)answer.StatusCode;
            await ReadSomeAsync(answer, limit.Token);
            return status switch
            {
                >= 200 and < 300 => new(status, null),
                >= 300 and < 400 => new(status, $"The receiver answered {status}: redirects are not followed."),
                _ => new(status, $"The receiver answered {status}."),
            };
        }
        catch (Exception fault)
        {
            return new(null, SentenceOf(fault));
        }
    }

    /// <inheritdoc />
    public void Dispose() => http.Dispose();

    private HttpRequestMessage Request(Receiver receiver, DueDelivery delivery)
    {
        var body = Encoding.UTF8.GetBytes(delivery.Body);
        var timestamp = clock.GetUtcNow().ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var secret = secrets.Open(receiver.SealedSecret, WebhookStore.SecretId(receiver.Id));
        var request = new HttpRequestMessage(HttpMethod.Post, receiver.Url) { Content = new ByteArrayContent(body), Version = System.Net.HttpVersion.Version11 };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Add("User-Agent", "JobHub");
        request.Headers.Add("JobHub-Event", delivery.Event);
        request.Headers.Add("JobHub-Delivery", delivery.Id.ToString("D"));
        request.Headers.Add("JobHub-Timestamp", timestamp);
        request.Headers.Add("JobHub-Signature", Signature(secret, timestamp, body));
        return request;
    }

    /// <summary>A short answer is read, so that its connection can serve again; what is longer is cut off with its connection.</summary>
    private static async Task ReadSomeAsync(HttpResponseMessage answer, CancellationToken ct)
    {
        try
        {
            await using var stream = await answer.Content.ReadAsStreamAsync(ct);
            _ = await stream.ReadAtLeastAsync(new byte[ReadAtMost], ReadAtMost, throwOnEndOfStream: false, ct);
        }
        catch (Exception fault) when (fault is IOException or HttpRequestException or OperationCanceledException)
        {
            // Its status is all that counts.
        }
    }

    private string SentenceOf(Exception fault)
    {
        for (var inner = fault; inner is not null; inner = inner.InnerException)
        {
            if (inner is AddressDeniedException denied) return denied.Message;
        }

        return fault switch
        {
            OperationCanceledException => string.Create(CultureInfo.InvariantCulture, $"No answer within {options.Value.Timeout.TotalSeconds:0.##} s."),
            HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } => "The receiver's name is not known.",
            HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError } => "The receiver cannot be connected to.",
            HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } => "No secure connection: the receiver's certificate is not good.",
            SecretBoxException => "The webhook's secret cannot be opened: its key was taken away.",
            _ => "The receiver's answer is not HTTP.",
        };
    }
}
