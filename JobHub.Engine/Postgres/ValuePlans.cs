using System.Globalization;
using Npgsql;

namespace JobHub.Engine.Postgres;

/// <summary>
/// A plan for the values at hand, for reads whose filters match anything from nothing to everything: one plan for all of them searches the newest numbers for what is
/// nowhere. It costs a planning each time and is not for the hot path.
/// </summary>
internal static class ValuePlans
{
    private const string Sql = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)";

    /// <summary>Runs a statement so planned. The connection is the caller's to dispose, after the reader.</summary>
    /// <param name="keyed">A page: its rows are reached by key, in the order of the page, however many more there are.</param>
    /// <param name="longest">The server ends a statement that takes longer; null: as the connection is set.</param>
    public static async Task<NpgsqlDataReader> ReadAsync(NpgsqlConnection connection, NpgsqlBatchCommand statement, CancellationToken ct, bool keyed = false, TimeSpan? longest = null)
    {
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(new(keyed ? $"{Sql}, * FROM ({KeyedPlans.Sql}) keyed" : Sql));
        if (longest is { } most) batch.BatchCommands.Add(new(string.Create(CultureInfo.InvariantCulture, $"SELECT set_config('statement_timeout', '{(long)most.TotalMilliseconds}', true)")));
        batch.BatchCommands.Add(statement);
        var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        if (longest is not null) await reader.NextResultAsync(ct);
        return reader;
    }
}
