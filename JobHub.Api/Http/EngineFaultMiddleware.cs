using System.Net.Sockets;
using JobHub.Engine.Storage;
using JobHub.ServiceDefaults;
using Npgsql;

namespace JobHub.Api.Http;

/// <summary>The parts of the hub that may be away for a while are a 503 to callers and a line in the log, not a 500 with a stack.</summary>
public sealed partial class EngineFaultMiddleware(RequestDelegate next, ILogger<EngineFaultMiddleware> logger)
{
    private static readonly Dictionary<string, string> Later = new() { ["Retry-After"] = "1" };

    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
        }
        catch (StoreException fault) when (fault.Fault is StoreFault.Full)
        {
            StoreAway(logger, fault.Fault, fault.Message, context.TraceIdentifier);
            throw new RefusedException(new Problem(507, "storage-full", "The hub's object store is full. Nothing of the request was kept; send it again when there is room.") { Headers = Later }, fault);
        }
        catch (StoreException fault) when (fault.Transient)
        {
            StoreAway(logger, fault.Fault, fault.Message, context.TraceIdentifier);
            throw new RefusedException(new Problem(503, "store-unavailable", "The hub's object store cannot be used now. Try again.") { Headers = Later }, fault);
        }
        catch (Exception fault) when (IsDatabaseAway(fault))
        {
            DatabaseAway(logger, fault.Message, context.TraceIdentifier);
            throw new RefusedException(new Problem(503, "database-unavailable", "The hub's database cannot be used now. Try again.") { Headers = Later }, fault);
        }
    }

    private static bool IsDatabaseAway(Exception fault) => fault switch
    {
        NpgsqlException { IsTransient: true } => true,
        NpgsqlException { InnerException: SocketException or IOException or TimeoutException } => true,
        _ => false,
    };

    [LoggerMessage(1101, LogLevel.Warning, "Object store away ({Fault}): {Reason}, X-Request-Id {RequestId}")]
    private static partial void StoreAway(ILogger logger, StoreFault fault, string reason, string requestId);

    [LoggerMessage(1102, LogLevel.Warning, "Database away: {Reason}, X-Request-Id {RequestId}")]
    private static partial void DatabaseAway(ILogger logger, string reason, string requestId);
}
