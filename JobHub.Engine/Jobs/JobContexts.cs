using System.Text.Json;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Secrets;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using Microsoft.Extensions.Caching.Memory;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What every attempt of a job shares: read once, kept for a while. Nothing in it changes after submit, but for the jobs of trees, which are not kept.</summary>
public sealed record JobContext
{
    public required JobId Id { get; init; }
    public required TaskLayout Layout { get; init; }
    public required JobFamily Family { get; init; }
    public required string Project { get; init; }
    public double? TimeoutSeconds { get; init; }
    public MapReduceSpec? MapReduce { get; init; }
    public CommandDetails? Command { get; init; }
    public AnalysisDetails? Analysis { get; init; }
    public StorageCredentials? InputCredentials { get; init; }
    public StorageCredentials? OutputCredentials { get; init; }
}

/// <summary>Reads job contexts, many at once, with a bounded cache.</summary>
public sealed class JobContexts(NpgsqlDataSource database, SecretBox secrets) : IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions { SizeLimit = 5000 });

    /// <summary>Contexts by job number; a job that does not exist is absent.</summary>
    public async Task<IReadOnlyDictionary<long, JobContext>> GetAsync(IReadOnlyCollection<long> numbers, CancellationToken ct)
    {
        var found = new Dictionary<long, JobContext>(numbers.Count);
        var missing = new List<long>();
        foreach (var number in numbers)
        {
            if (_cache.TryGetValue(number, out JobContext? context)) found[number] = context!;
            else missing.Add(number);
        }

        if (missing.Count == 0) return found;
        await using var command = database.CreateCommand("""
            SELECT j.number, j.id, j.family, j.timeout_seconds, j.details::text, j.maps, j.reduces, j.commands, j.analyses,
                   (SELECT sealed FROM secret WHERE job = j.number AND name = 'input'), (SELECT sealed FROM secret WHERE job = j.number AND name = 'output'), j.project
            FROM unnest($1::bigint[]) AS n(number) CROSS JOIN LATERAL (SELECT * FROM job WHERE job.number = n.number OFFSET 0) j
            """);
        command.Parameters.AddWithValue(missing.ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var number = reader.GetInt64(0);
            var family = (JobFamily)reader.GetInt16(2);
            var details = reader.GetString(4);
            var context = new JobContext
            {
                Id = new(reader.GetGuid(1)),
                Family = family,
                Project = reader.GetString(11),
                TimeoutSeconds = reader.IsDBNull(3) ? null : reader.GetDouble(3),
                Layout = new(number, reader.GetInt32(5), reader.GetInt32(6), reader.GetInt32(7), reader.GetInt32(8)),
                MapReduce = family == JobFamily.MapReduce ? JsonSerializer.Deserialize(details, EngineJson.Default.MapReduceSpec) : null,
                Command = family is JobFamily.Commands or JobFamily.Farm ? JsonSerializer.Deserialize(details, EngineJson.Default.CommandDetails) : null,
                Analysis = family == JobFamily.Projects ? JsonSerializer.Deserialize(details, EngineJson.Default.AnalysisDetails) : null,
                InputCredentials = Credentials(reader, 9, number, "input"),
                OutputCredentials = Credentials(reader, 10, number, "output"),
            };
            found[number] = context;
            if (family == JobFamily.Farm) continue;
            _cache.Set(number, context, new MemoryCacheEntryOptions { Size = 1, SlidingExpiration = TimeSpan.FromMinutes(5) });
        }

        return found;
    }

    /// <summary>One context, or null.</summary>
    public async Task<JobContext?> GetAsync(long number, CancellationToken ct) => (await GetAsync([number], ct)).GetValueOrDefault(number);

    /// <inheritdoc />
    public void Dispose() => _cache.Dispose();

    private StorageCredentials? Credentials(NpgsqlDataReader reader, int i, long number, string name) => reader.IsDBNull(i)
        ? null
        : JsonSerializer.Deserialize(secrets.Open((byte[])reader.GetValue(i), JobService.SecretId(number, name)), EngineJson.Default.StorageCredentials);
}
