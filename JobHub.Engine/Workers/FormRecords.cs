using JobHub.Engine.Jobs;

namespace JobHub.Engine.Workers;

/// <summary>What a form worker says of itself with each call.</summary>
/// <param name="Host">Its name, 1-255 characters.</param>
/// <param name="Load">A list of percents as text; null: not said, or not readable.</param>
/// <param name="FreeMemory">MiB; null: not said.</param>
/// <param name="TotalMemory">MiB; null: not said.</param>
public sealed record FormCall(string Host, string Ip, string? Load, long? FreeMemory, long? TotalMemory);

/// <summary>A job given to a form worker.</summary>
public sealed record FormJob(long Number, CommandDetails Details);

/// <summary>What a form worker's job has printed since its last heartbeat.</summary>
public interface IFormOutput
{
    /// <summary>Bytes.</summary>
    long Length { get; }

    /// <summary>The bytes, in pieces of at most <see cref="FormLogs.PieceBytes"/>; a piece is valid until the next is asked for.</summary>
    IAsyncEnumerable<ReadOnlyMemory<byte>> PiecesAsync(CancellationToken ct);
}
