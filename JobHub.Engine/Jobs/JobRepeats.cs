using System.Text.Json;
using JobHub.Engine.Files;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Projects;
using JobHub.Engine.Secrets;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What asking for a job once more came to.</summary>
public abstract record RepeatPlan
{
    private RepeatPlan() { }

    /// <summary>A job to submit.</summary>
    public sealed record Ready(JobSpec Spec) : RepeatPlan;

    /// <summary>It cannot be made; the code is the problem's.</summary>
    public sealed record Refused(string Code, string Message) : RepeatPlan;
}

/// <summary>
/// Makes a job's submission again: the same command or pinned programs, the same limits, and its secrets, sealed anew for the new job. Inputs are looked at as they are now;
/// files of a tree are those that were given. The caller's own id is not taken along: it is unique.
/// </summary>
public sealed class JobRepeats(NpgsqlDataSource database, SecretBox secrets, InputPlanner inputs, JobInputs files, DatasetSnapshot snapshots)
{
    public async Task<RepeatPlan> PlanAsync(JobView job, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(job);
        if (job.Family == JobFamily.Farm) return new RepeatPlan.Refused("not-supported", "A job of a tree runs again in its place: reset it.");
        var spec = await ReadAsync(job, ct);
        return job.Family switch
        {
            JobFamily.MapReduce => await MapReduceAsync(spec, ct),
            JobFamily.Commands => await CommandAsync(job, spec, ct),
            _ => await AnalysisAsync(job, spec, ct),
        };
    }

    /// <summary>What every family's job has.</summary>
    private async Task<JobSpec> ReadAsync(JobView job, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT j.max_attempts, j.timeout_seconds, j.speculative, c.affinity, c.gpus, c.cpus, c.memory, c.mount, j.maps, j.reduces, j.commands, j.analyses,
                   (SELECT array_agg(name ORDER BY name) FROM secret WHERE job = j.number), (SELECT array_agg(sealed ORDER BY name) FROM secret WHERE job = j.number)
            FROM job j JOIN requirement_class c ON c.id = j.class WHERE j.number = $1
            """);
        command.Parameters.AddWithValue(job.Number);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) throw new InvalidOperationException("The job was removed meanwhile.");
        var mount = reader.GetString(7);
        var opened = new Dictionary<string, string>();
        if (!reader.IsDBNull(12))
        {
            var (names, boxes) = (reader.GetFieldValue<string[]>(12), reader.GetFieldValue<byte[][]>(13));
            for (var i = 0; i < names.Length; i++) opened[names[i]] = secrets.Open(boxes[i], JobService.SecretId(job.Number, names[i]));
        }

        TaskGroup[] groups =
        [
            new(TaskKind.Map, reader.GetInt32(8), false), new(TaskKind.Reduce, reader.GetInt32(9), reader.GetInt32(8) > 0), new(TaskKind.Command, reader.GetInt32(10), false),
            new(TaskKind.Analysis, reader.GetInt32(11), false),
        ];
        return new JobSpec
        {
            Family = job.Family, Project = job.Project, Title = job.Title, Labels = job.Labels, Priority = job.Priority, Details = job.Details,
            MaxAttempts = reader.GetInt32(0), TimeoutSeconds = reader.IsDBNull(1) ? null : reader.GetDouble(1), Speculative = reader.GetBoolean(2),
            Needs = new(reader.GetFieldValue<string[]>(3), reader.GetInt32(4), reader.GetInt32(5), reader.GetInt64(6), mount.Length == 0 ? null : mount),
            Tasks = [.. groups.Where(static group => group.Count > 0)], Secrets = opened,
        };
    }

    private async Task<RepeatPlan> MapReduceAsync(JobSpec spec, CancellationToken ct)
    {
        var details = JsonSerializer.Deserialize(spec.Details, EngineJson.Default.MapReduceSpec)!;
        var credentials = spec.Secrets.TryGetValue(MapReduceSubmitter.InputSecret, out var text) ? JsonSerializer.Deserialize(text, EngineJson.Default.StorageCredentials) : null;
        try
        {
            var plan = await inputs.PlanAsync(details.InputPath, details.UseSsl, credentials, spec.Project, ct);
            var cut = SplitPlan.Cut(plan.Objects, details.SplitSize, details.InputType == "file/gzip", details.Reducers);
            var reduces = new TaskGroup(TaskKind.Reduce, details.Reducers, Blocked: cut.Maps > 0);
            return new RepeatPlan.Ready(spec with
            {
                Details = JsonSerializer.Serialize(details with { InputSize = cut.TotalSize, Maps = cut.Maps }, EngineJson.Default.MapReduceSpec),
                Inputs = cut.Inputs, Files = plan.Files, Tasks = cut.Maps > 0 ? [new TaskGroup(TaskKind.Map, cut.Maps, Blocked: false), reduces] : [reduces],
            });
        }
        catch (StoreException fault)
        {
            return new RepeatPlan.Refused("input-not-available", fault.Message);
        }
        catch (TooManySplitsException fault)
        {
            return new RepeatPlan.Refused("too-many-splits", fault.Message);
        }
    }

    private async Task<RepeatPlan> CommandAsync(JobView job, JobSpec spec, CancellationToken ct)
    {
        var details = JsonSerializer.Deserialize(spec.Details, EngineJson.Default.CommandDetails)!;
        if (!details.Tree) return new RepeatPlan.Ready(spec);
        var given = await files.TreeAsync(job, left: false, after: null, details.Files + 1, ct);
        return given.Count == details.Files
            ? new RepeatPlan.Ready(spec with { Files = [.. given.Select(static file => new JobFile(file.Path, file.Object, file.Size, file.Executable, Uploaded: false))] })
            : new RepeatPlan.Refused("input-changed", $"The command has changed {details.Files - given.Count} of the {details.Files} files that it was given; submit it with them again.");
    }

    private async Task<RepeatPlan> AnalysisAsync(JobView job, JobSpec spec, CancellationToken ct)
    {
        var details = JsonSerializer.Deserialize(spec.Details, EngineJson.Default.AnalysisDetails)!;
        await using var command = database.CreateCommand("SELECT parameters::text FROM analysis WHERE id = $1");
        command.Parameters.AddWithValue(details.Analysis);
        if (await command.ExecuteScalarAsync(ct) is not string parameters || await snapshots.EnsureAsync(job.Project, details.Dataset, ct) is not var (profiles, _, _))
            return new RepeatPlan.Refused("input-not-available", "The dataset, or what the job was to make, was deleted meanwhile.");
        var made = details with { Analysis = Guid.CreateVersion7(), Profiles = profiles };
        return new RepeatPlan.Ready(spec with { Details = JsonSerializer.Serialize(made, EngineJson.Default.AnalysisDetails), Analysis = new NewAnalysis(made, parameters) });
    }
}
