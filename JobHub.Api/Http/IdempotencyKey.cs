namespace JobHub.Api.Http;

/// <summary><c>Idempotency-Key</c>: a resend of a submission makes no second job. Kept a day per caller.</summary>
public static class IdempotencyKey
{
    public const string Header = "Idempotency-Key";

    /// <summary>The key, or null without one. 1–255 printable ASCII characters.</summary>
    public static string? Of(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var values = request.Headers[Header];
        if (values.Count == 0 || string.IsNullOrEmpty(values[0])) return null;
        if (values is not [{ Length: <= 255 } key] || !key.All(static c => c is >= ' ' and <= '~'))
        {
            throw Problems.InvalidField(Header, $"{Header} must be one value of 1 to 255 printable ASCII characters.");
        }

        return key;
    }
}
