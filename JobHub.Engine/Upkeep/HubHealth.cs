using System.Diagnostics;
using JobHub.Engine.Storage;
using Npgsql;

namespace JobHub.Engine.Upkeep;

/// <summary>How a part of the hub is.</summary>
public enum PartState
{
    Ok, Slow, Away,
}

/// <summary>A part of the hub as it answered just now.</summary>
public sealed record PartHealth(string Name, PartState State, TimeSpan Took, string Message);

/// <summary>Asks the parts of the hub how they are, each with its own time limit and all at once.</summary>
public sealed class HubHealth(NpgsqlDataSource database, StoreRegistry stores)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3), SlowFrom = TimeSpan.FromMilliseconds(500), Behind = TimeSpan.FromSeconds(10);

    // Rows of the ledger that wait for their position, and sessions: both are few, and no more is looked at.
    private const string UpkeepSql = "SELECT count(*), extract(epoch FROM clock_timestamp() - min(at))::float8 FROM (SELECT at FROM ledger WHERE position IS NULL ORDER BY seq LIMIT 10000) l";
    private const string WorkersSql = "SELECT count(*) FILTER (WHERE lease_until > clock_timestamp()), coalesce(sum(slots) FILTER (WHERE lease_until > clock_timestamp()), 0)::int FROM worker_session WHERE ended_at IS NULL";

    public async Task<IReadOnlyList<PartHealth>> AskAsync(CancellationToken ct) => await Task.WhenAll(
        AskAsync("database", DatabaseAsync, ct), AskAsync("store", StoreAsync, ct), AskAsync("upkeep", UpkeepAsync, ct), AskAsync("workers", WorkersAsync, ct));

    private async Task<(PartState?, string)> DatabaseAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT 1");
        await command.ExecuteScalarAsync(ct);
        return (null, "Postgres answers.");
    }

    private async Task<(PartState?, string)> StoreAsync(CancellationToken ct)
    {
        // Whether it is there does not matter, that the store says so does.
        await stores.Hub.HeadAsync(new ObjectPath(stores.HubBucket, "health/none"), ct);
        return (null, "The object store answers.");
    }

    private async Task<(PartState?, string)> UpkeepAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand(UpkeepSql);
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var (waiting, age) = (reader.GetInt64(0), reader.IsDBNull(1) ? 0 : Math.Max(0, reader.GetDouble(1)));
        return age < Behind.TotalSeconds ? (null, "Changes are folded as they come.")
            : (PartState.Slow, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{waiting} changes wait to be folded, the oldest for {age:0} s."));
    }

    private async Task<(PartState?, string)> WorkersAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand(WorkersSql);
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var (workers, slots) = (reader.GetInt64(0), reader.GetInt32(1));
        return workers == 0 ? (PartState.Away, "No worker is connected: jobs wait.")
            : (null, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{workers} {(workers == 1 ? "worker is" : "workers are")} connected, {slots} slots."));
    }

    private static async Task<PartHealth> AskAsync(string name, Func<CancellationToken, Task<(PartState?, string)>> ask, CancellationToken ct)
    {
        var begun = Stopwatch.GetTimestamp();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Patience);
        try
        {
            var (state, message) = await ask(limit.Token).WaitAsync(limit.Token);
            var took = Stopwatch.GetElapsedTime(begun);
            return new(name, state ?? (took > SlowFrom ? PartState.Slow : PartState.Ok), took, message);
        }
        catch (Exception) when (!ct.IsCancellationRequested)
        {
            // What it says of addresses and users is for the hub's log, not for everybody who may read this.
            return new(name, PartState.Away, Stopwatch.GetElapsedTime(begun), limit.IsCancellationRequested ? $"It has not answered within {Patience.TotalSeconds:0} s." : "It cannot be reached now.");
        }
    }
}
