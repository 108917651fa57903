using System.Collections.Frozen;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>What became of a change of the slots.</summary>
public abstract record SlotResult
{
    private SlotResult() { }
    public sealed record Done : SlotResult;

    /// <summary>A name would be gone, or would stand elsewhere, that a job or a worker uses.</summary>
    public sealed record InUse(int Slot, string Name, string By) : SlotResult;

    /// <summary>Two slots would have the same name.</summary>
    public sealed record Twice(int Slot, string Name) : SlotResult;
}

/// <summary>The names of up to 64 affinities that trees of jobs use, each a bit. What is read is at most a second old.</summary>
public sealed class AffinitySlots(NpgsqlDataSource database, TimeProvider clock)
{
    /// <summary>Slots are 1 to this.</summary>
    public const int Count = 64;

    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);
    private readonly SemaphoreSlim _reading = new(1, 1);
    private FrozenDictionary<string, int> _slots = FrozenDictionary<string, int>.Empty;
    private long _readAt = long.MinValue;

    /// <summary>Gives every tag that has no slot a free one, all or none. False: there are not enough free ones.</summary>
    public async Task<bool> DeclareAsync(IReadOnlyCollection<string> tags, CancellationToken ct)
    {
        if (tags.Count == 0) return true;
        var known = await SlotsAsync(ct);
        string[] missing = [.. tags.Where(t => !known.ContainsKey(t)).Distinct(StringComparer.Ordinal)];
        if (missing.Length == 0) return true;
        if (missing.Length > Count) return false;
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new(LockSql));
        batch.BatchCommands.Add(new("""
            WITH wanted AS (
                SELECT u.tag, row_number() OVER (ORDER BY u.place) AS n FROM unnest($1::text[]) WITH ORDINALITY AS u(tag, place)
                WHERE NOT EXISTS (SELECT FROM affinity_slot s WHERE s.name = u.tag)),
            free AS (
                SELECT f.slot, row_number() OVER (ORDER BY f.slot) AS n FROM generate_series(1, 64) AS f(slot)
                WHERE NOT EXISTS (SELECT FROM affinity_slot s WHERE s.slot = f.slot)),
            made AS (
                INSERT INTO affinity_slot (slot, name) SELECT f.slot::smallint, w.tag FROM wanted w JOIN free f USING (n)
                WHERE (SELECT count(*) FROM wanted) <= (SELECT count(*) FROM free) RETURNING 1)
            SELECT (SELECT count(*) FROM wanted) <= (SELECT count(*) FROM free) AND (SELECT count(*) FROM made) >= 0
            """) { Parameters = { new() { Value = missing, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text } } });
        bool enough;
        await using (var reader = await batch.ExecuteReaderAsync(ct))
        {
            await reader.NextResultAsync(ct);
            await reader.ReadAsync(ct);
            enough = reader.GetBoolean(0);
        }

        Volatile.Write(ref _readAt, long.MinValue);
        return enough;
    }

    /// <summary>The bits of tags: slot n is bit n - 1. A tag without a slot has none.</summary>
    public async ValueTask<ulong> BitsOfAsync(string[] tags, CancellationToken ct)
    {
        if (tags.Length == 0) return 0;
        var slots = await SlotsAsync(ct);
        var bits = 0UL;
        foreach (var tag in tags)
        {
            if (slots.TryGetValue(tag, out var slot)) bits |= 1UL << (slot - 1);
        }

        return bits;
    }

    /// <summary>All 64 names in their order; a free slot's is empty. As they stand now.</summary>
    public async Task<string[]> ListAsync(CancellationToken ct)
    {
        Volatile.Write(ref _readAt, long.MinValue);
        var names = new string[Count];
        Array.Fill(names, "");
        foreach (var (name, slot) in await SlotsAsync(ct)) names[slot - 1] = name;
        return names;
    }

    /// <summary>Names slots (1..64), all or none; an empty name frees one. The names are trimmed already and hold no comma.</summary>
    public async Task<SlotResult> SetAsync(IReadOnlyDictionary<int, string> names, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using (var take = new NpgsqlCommand(LockSql, connection)) await take.ExecuteNonQueryAsync(ct);
        var before = await ReadAsync(connection, ct);
        var after = before.ToDictionary(s => s.Value, s => s.Key);
        foreach (var (slot, name) in names)
        {
            if (name.Length == 0) after.Remove(slot);
            else after[slot] = name;
        }

        if (after.GroupBy(s => s.Value, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice) return new SlotResult.Twice(twice.Max(s => s.Key), twice.Key);
        var gone = before.Where(s => after.GetValueOrDefault(s.Value) != s.Key).ToArray();
        if (gone.Length > 0 && await UserOfAsync(connection, [.. gone.Select(s => s.Key)], ct) is var (used, by))
            return new SlotResult.InUse(before[used], used, by);

        var changed = names.Keys.ToArray();
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("DELETE FROM affinity_slot WHERE slot = ANY($1)") { Parameters = { Smallints(changed) } },
                new("INSERT INTO affinity_slot (slot, name) SELECT * FROM unnest($1::smallint[], $2::text[]) AS u(slot, name) WHERE u.name <> ''")
                {
                    Parameters = { Smallints(changed), new() { Value = changed.Select(s => names[s]).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text } },
                },
            },
        };
        await batch.ExecuteNonQueryAsync(ct);
        await transaction.CommitAsync(ct);
        Volatile.Write(ref _readAt, long.MinValue);
        return new SlotResult.Done();
    }

    /// <summary>One of the names that a job which has not ended, or a worker, uses, and what uses it.</summary>
    private static async Task<(string Name, string By)?> UserOfAsync(NpgsqlConnection connection, string[] names, CancellationToken ct)
    {
        // A tag that no class holds was never needed: only else are the jobs looked at.
        await using var command = new NpgsqlCommand("""
            SELECT n.name, 'job ' || j.number FROM unnest($1::text[]) AS n(name)
            CROSS JOIN LATERAL (
                SELECT j.number FROM job j
                WHERE j.class IN (SELECT c.id FROM requirement_class c WHERE n.name = ANY (c.affinity)) AND j.state < 4 AND j.deleted_at IS NULL AND n.name = ANY (j.tags) LIMIT 1) j
            UNION ALL
            SELECT n.name, 'worker ' || w.name FROM unnest($1::text[]) AS n(name) JOIN worker w ON n.name = ANY (regexp_split_to_array(w.affinity, '\s*[,\n]\s*'))
            UNION ALL
            SELECT n.name, 'worker ' || s.worker FROM unnest($1::text[]) AS n(name)
            JOIN worker_session s ON s.ended_at IS NULL AND EXISTS (SELECT FROM jsonb_array_elements(s.affinity) line WHERE line ? n.name)
            LEFT JOIN worker w ON w.name = s.worker WHERE w.affinity IS NULL
            LIMIT 1
            """, connection);
        command.Parameters.Add(new() { Value = names, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? (reader.GetString(0), reader.GetString(1)) : null;
    }

    // Who reads and then names slots goes one after another; readers go on. Not the lock of trees: who makes jobs holds that one when it declares their names.
    private const string LockSql = "SELECT pg_advisory_xact_lock(740752)";

    private async ValueTask<FrozenDictionary<string, int>> SlotsAsync(CancellationToken ct)
    {
        if (IsFresh()) return _slots;
        await _reading.WaitAsync(ct);
        try
        {
            if (IsFresh()) return _slots;
            var start = clock.GetTimestamp();
            await using var connection = await database.OpenConnectionAsync(ct);
            var read = await ReadAsync(connection, ct);
            _slots = read;
            Volatile.Write(ref _readAt, start);
            return read;
        }
        finally
        {
            _reading.Release();
        }
    }

    private bool IsFresh() => Volatile.Read(ref _readAt) is var readAt && readAt != long.MinValue && clock.GetElapsedTime(readAt) < Fresh;

    private static async Task<FrozenDictionary<string, int>> ReadAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("SELECT name, slot FROM affinity_slot", connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var slots = new Dictionary<string, int>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct)) slots[reader.GetString(0)] = reader.GetInt16(1);
        return slots.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static NpgsqlParameter Smallints(int[] values) => new() { Value = values.Select(v => (short)v).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Smallint };
}
