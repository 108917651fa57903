using System.Collections.Concurrent;
using JobHub.Engine.Jobs;
using Npgsql;

namespace JobHub.Engine.Tasks;

/// <summary>Interned requirements: what a task needs is a class in the queue, so that a claim reads one index range a class.</summary>
public sealed class RequirementClasses(NpgsqlDataSource database, TimeProvider clock)
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<string, int> _ids = new();
    private readonly SemaphoreSlim _reading = new(1, 1);
    private KeyValuePair<int, Requirement>[] _all = [];
    private long _readAt = long.MinValue;

    /// <summary>The class of a requirement, made when it is new.</summary>
    public async ValueTask<int> IdOfAsync(Requirement needs, CancellationToken ct)
    {
        var affinity = needs.Affinity.Order(StringComparer.Ordinal).ToArray();
        var key = string.Join('\u0001', affinity) + '\u0002' + needs.Gpus + '\u0002' + needs.Cpus + '\u0002' + needs.MemoryBytes + '\u0002' + needs.Mount;
        if (_ids.TryGetValue(key, out var id)) return id;
        await using var command = database.CreateCommand("""
            WITH made AS (INSERT INTO requirement_class (affinity, gpus, cpus, memory, mount) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING id)
            SELECT id FROM made UNION ALL
            SELECT id FROM requirement_class WHERE affinity = $1 AND gpus = $2 AND cpus = $3 AND memory = $4 AND mount = $5 LIMIT 1
            """);
        command.Parameters.AddWithValue(affinity);
        command.Parameters.AddWithValue(needs.Gpus);
        command.Parameters.AddWithValue(needs.Cpus);
        command.Parameters.AddWithValue(needs.MemoryBytes);
        command.Parameters.AddWithValue(needs.Mount ?? "");
        // Two first users at once: the loser's snapshot does not see the winner's row yet, the next statement does.
        object? found = null;
        while (found is null) found = await command.ExecuteScalarAsync(ct);
        Volatile.Write(ref _readAt, long.MinValue);
        return _ids[key] = (int)found;
    }

    /// <summary>Every class, at most a second old.</summary>
    public async ValueTask<KeyValuePair<int, Requirement>[]> AllAsync(CancellationToken ct)
    {
        var readAt = Volatile.Read(ref _readAt);
        if (readAt != long.MinValue && clock.GetElapsedTime(readAt) < Fresh) return _all;
        await _reading.WaitAsync(ct);
        try
        {
            var start = clock.GetTimestamp();
            await using var command = database.CreateCommand("SELECT id, affinity, gpus, cpus, memory, mount FROM requirement_class ORDER BY id");
            await using var reader = await command.ExecuteReaderAsync(ct);
            var all = new List<KeyValuePair<int, Requirement>>();
            while (await reader.ReadAsync(ct))
            {
                var mount = reader.GetString(5);
                all.Add(new(reader.GetInt32(0), new(reader.GetFieldValue<string[]>(1), reader.GetInt32(2), reader.GetInt32(3), reader.GetInt64(4), mount.Length == 0 ? null : mount)));
            }

            _all = [.. all];
            Volatile.Write(ref _readAt, start);
            return _all;
        }
        finally
        {
            _reading.Release();
        }
    }

    /// <summary>Whether a worker can take a class: one of its affinity lines (or the empty last one) holds all tags, it has the resources, and it declares the mount.</summary>
    /// <returns>The index of the first line that fits, or null.</returns>
    public static int? Fits(Requirement needs, string[][] lines, int gpus, int cpus, long memory, string[] mounts)
    {
        if (needs.Gpus > gpus || needs.Cpus > cpus || needs.MemoryBytes > memory) return null;
        if (needs.Mount is { } mount && !mounts.Any(m => m == "/" || mount == m || mount.StartsWith(m.TrimEnd('/') + "/", StringComparison.Ordinal))) return null;
        for (var i = 0; i < lines.Length; i++)
        {
            if (needs.Affinity.Length > 0 ? needs.Affinity.All(lines[i].Contains) : lines[i].Length == 0) return i;
        }

        return needs.Affinity.Length == 0 ? lines.Length : null;
    }
}
