using Npgsql;

namespace JobHub.Engine.Events;

/// <summary>Cursors over the ledger that one process at a time may move: whoever holds the name's advisory lock, which ends with its connection.</summary>
public sealed class EventCursors(NpgsqlDataSource database)
{
    // The first of two keys of the lock; the second is the name's hash.
    internal const int LockSpace = 740751;

    /// <summary>Takes the turn of a cursor, or null when another process has it. A cursor's first start is at the ledger's end.</summary>
    public async Task<CursorTurn?> TryTakeAsync(string name, CancellationToken ct)
    {
        var connection = await database.OpenConnectionAsync(ct);
        try
        {
            await using (var take = new NpgsqlCommand("SELECT pg_try_advisory_lock($1, hashtext($2))", connection) { Parameters = { new() { Value = LockSpace }, new() { Value = name } } })
            {
                if (await take.ExecuteScalarAsync(ct) is not true)
                {
                    await connection.DisposeAsync();
                    return null;
                }
            }

            // A holder whose machine vanished must not hold the lock for the two hours of the system's own settings.
            await using (var keepAlive = new NpgsqlCommand(
                "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false)", connection))
            {
                await keepAlive.ExecuteNonQueryAsync(ct);
            }

            await using var start = new NpgsqlCommand("""
                INSERT INTO event_cursor (name, position) SELECT $1, position FROM relay
                ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp() RETURNING position
                """, connection) { Parameters = { new() { Value = name } } };
            var position = (long)(await start.ExecuteScalarAsync(ct))!;
            return new CursorTurn(connection, name, position);
        }
        catch
        {
            await CursorTurn.ReleaseAsync(connection, name);
            throw;
        }
    }
}

/// <summary>The right to move one cursor, for as long as its connection lives. Everything that depends on the right is done on that connection.</summary>
public sealed class CursorTurn : IAsyncDisposable
{
    private readonly string name;

    internal CursorTurn(NpgsqlConnection connection, string name, long position) => (Connection, this.name, Position) = (connection, name, position);

    /// <summary>Events up to here are done.</summary>
    public long Position { get; private set; }

    /// <summary>Holds the lock; used by one call at a time.</summary>
    public NpgsqlConnection Connection { get; }

    /// <summary>Moves the cursor on; a position that it has passed only tells retention that somebody reads.</summary>
    public async Task MoveAsync(long position, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("UPDATE event_cursor SET position = greatest(position, $2), seen_at = clock_timestamp() WHERE name = $1 RETURNING position", Connection)
        {
            Parameters = { new() { Value = name }, new() { Value = position } },
        };
        Position = (long)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>How many events lie behind the ledger's end.</summary>
    public async Task<long> LagAsync(CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("SELECT position FROM relay", Connection);
        return Math.Max(0, (long)(await command.ExecuteScalarAsync(ct))! - Position);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync() => await ReleaseAsync(Connection, name);

    internal static async ValueTask ReleaseAsync(NpgsqlConnection connection, string name)
    {
        try
        {
            // Connections go back to the pool as they are, locks included.
            if (connection.FullState.HasFlag(System.Data.ConnectionState.Open))
            {
                await using var release = new NpgsqlCommand("SELECT pg_advisory_unlock($1, hashtext($2))", connection)
                {
                    Parameters = { new() { Value = EventCursors.LockSpace }, new() { Value = name } }, CommandTimeout = 5,
                };
                await release.ExecuteNonQueryAsync(CancellationToken.None);
            }
        }
        catch (Exception e) when (e is NpgsqlException or InvalidOperationException or IOException)
        {
            // Never back into the pool with the lock: what fails is closed.
            NpgsqlConnection.ClearPool(connection);
        }

        await connection.DisposeAsync();
    }
}
