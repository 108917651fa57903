using System.Net;
using System.Net.Sockets;
using Amazon.Runtime;
using Amazon.S3;

namespace JobHub.Engine.Storage.S3;

/// <summary>Says an S3 client's exceptions in the hub's words.</summary>
internal static class S3Faults
{
    /// <summary>Null when the exception is not the store's (a cancellation, a bug of ours).</summary>
    public static StoreException? Translate(Exception exception, string endpoint, string shown, CancellationToken ct)
    {
        if (ct.IsCancellationRequested) return null;
        for (var e = exception; e is not null; e = e.InnerException)
        {
            switch (e)
            {
                case StoreException already:
                    return already;
                case AddressDeniedException denied:
                    return new StoreException(StoreFault.EndpointNotAllowed, denied.Message, transient: false, exception);
                case AmazonS3Exception s3 when (int)s3.StatusCode >= 100:
                    return FromAnswer(s3, endpoint, shown);
                case TimeoutException or OperationCanceledException:
                    return Unreachable($"{endpoint} did not answer in time.", exception);
                case SocketException socket:
                    return Unreachable($"{endpoint} cannot be reached ({socket.SocketErrorCode}).", exception);
                case HttpRequestException { InnerException: null or not (IOException or SocketException or OperationCanceledException) } http:
                    return Unreachable($"{endpoint} cannot be reached ({http.HttpRequestError}).", exception);
                case IOException { InnerException: null }:
                    return Unreachable($"The connection to {endpoint} broke.", exception);
            }
        }

        return exception is AmazonClientException or HttpRequestException or IOException
            ? new StoreException(StoreFault.Other, $"The store at {endpoint} failed on {shown}.", transient: true, exception)
            : null;
    }

    /// <summary>
    /// A 400 without S3's own words. Ceph does not read the body of a small PUT that it refuses, takes that for the start of the next request on the connection,
    /// answers this and hangs up: the next request was good and is worth sending again.
    /// </summary>
    public static bool IsBroken(AmazonS3Exception e) => e.StatusCode == HttpStatusCode.BadRequest && (e.ErrorCode is null or "" or "BadRequest");

    public static bool IsMissing(AmazonS3Exception e) => e.StatusCode == HttpStatusCode.NotFound;

    private static StoreException Unreachable(string message, Exception inner) => new(StoreFault.Unreachable, message, transient: true, inner);

    private static StoreException FromAnswer(AmazonS3Exception e, string endpoint, string shown)
    {
        // A full store answers with several codes, some of them below 500.
        if (e.StatusCode == HttpStatusCode.InsufficientStorage || e.ErrorCode is "QuotaExceeded" or "XMinioStorageFull" or "InsufficientStorage")
        {
            return new StoreException(StoreFault.Full, $"The store at {endpoint} is full.", transient: true, e);
        }

        if (e.ErrorCode is "KeyTooLongError" or "KeyTooLong" or "InvalidBucketName" or "InvalidObjectName")
        {
            return new StoreException(StoreFault.InvalidPath, $"The store at {endpoint} refuses the name {shown}.", transient: false, e);
        }

        return (int)e.StatusCode switch
        {
            404 => new StoreException(StoreFault.NotFound, $"{shown} does not exist at {endpoint}.", transient: false, e),
            401 or 403 => new StoreException(StoreFault.AccessDenied, $"The store at {endpoint} denies access to {shown}.", transient: false, e),
            408 or 409 or 425 or 429 or >= 500 => new StoreException(StoreFault.Other, $"The store at {endpoint} is busy or failing ({(int)e.StatusCode}).", transient: true, e),
            >= 300 and < 400 => new StoreException(StoreFault.Other, $"{shown} is not served by {endpoint}: another region or address is asked for.", transient: false, e),
            _ => new StoreException(StoreFault.Other, $"The store at {endpoint} refused the call on {shown} ({(int)e.StatusCode} {e.ErrorCode}).", transient: false, e),
        };
    }
}
