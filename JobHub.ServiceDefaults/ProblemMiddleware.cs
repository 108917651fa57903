using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobHub.ServiceDefaults;

/// <summary>
/// Every 4xx and 5xx is <c>application/problem+json</c> with a stable type, the framework's own included (routing's 404, 405 and 415, the server's 400 and 413).
/// What a caller did wrong is told to the caller; what the hub did wrong is told to the log, once.
/// </summary>
public sealed class ProblemMiddleware(RequestDelegate next, ILogger<ProblemMiddleware> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
        }
        catch (Exception fault) when (context.RequestAborted.IsCancellationRequested && fault is OperationCanceledException or ConnectionAbortedException or ConnectionResetException)
        {
            // The caller has gone: nobody reads an answer, and nothing is wrong here. 499 is what proxies log for it.
            if (!context.Response.HasStarted) context.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
            return;
        }
        catch (Exception fault)
        {
            await AnswerAsync(context, fault);
            return;
        }

        var response = context.Response;
        if (response.StatusCode >= 400 && !response.HasStarted && response.ContentType is null && response.ContentLength is null)
        {
            await Problem.OfStatus(response.StatusCode, context).WriteAsync(context);
        }
    }

    private async Task AnswerAsync(HttpContext context, Exception fault)
    {
        var problem = fault switch
        {
            RefusedException refused => refused.Problem,
            BadHttpRequestException bad => Problem.OfStatus(bad.StatusCode, context),
            _ => null,
        };
        if (problem is null)
        {
            logger.UnhandledFault(fault, context.Request.Method, context.Request.Path, context.TraceIdentifier);
            problem = Problem.OfStatus(StatusCodes.Status500InternalServerError, context);
        }

        if (context.Response.HasStarted)
        {
            // Half an answer must not look like a whole one: the connection breaks instead of ending well.
            logger.AnswerBroken(context.Request.Method, context.Request.Path, context.TraceIdentifier, problem.Code);
            context.Abort();
            return;
        }

        var headers = context.Response.Headers;
        var (id, origin) = (headers[RequestIdMiddleware.Header], headers.XContentTypeOptions);
        context.Response.Clear();
        headers[RequestIdMiddleware.Header] = id;
        headers.XContentTypeOptions = origin;
        await problem.WriteAsync(context);
    }
}

internal static partial class RequestFaults
{
    [LoggerMessage(1001, LogLevel.Error, "{Method} {Path} failed, X-Request-Id {RequestId}")]
    public static partial void UnhandledFault(this ILogger logger, Exception fault, string method, string path, string requestId);

    [LoggerMessage(1002, LogLevel.Warning, "{Method} {Path} broke off in the middle of its answer, X-Request-Id {RequestId}: {Code}")]
    public static partial void AnswerBroken(this ILogger logger, string method, string path, string requestId, string code);
}
