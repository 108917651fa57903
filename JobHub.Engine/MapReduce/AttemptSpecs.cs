using JobHub.Engine.Attempts;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.MapReduce;

/// <summary>Turns claimed tasks into what a worker needs to run them: grants, never keys.</summary>
public sealed class AttemptSpecs(NpgsqlDataSource database, JobContexts contexts, JobObjects objects, IOptions<StorageOptions> storage, IOptions<FileSpaceOptions> files)
{
    private static readonly TimeSpan Validity = TimeSpan.FromHours(1);

    /// <summary>The specs of claimed tasks, in their order. A task whose place in a store is refused is left out and told in <paramref name="refused"/>: one bad job must not fail a claim.</summary>
    public async Task<AttemptSpec[]> BuildAsync(WorkerSession session, IReadOnlyList<ClaimedTask> claimed, List<Ending>? refused, CancellationToken ct)
    {
        if (claimed.Count == 0) return [];
        var jobs = await contexts.GetAsync([.. claimed.Select(c => TaskLayout.NumberOf(c.TaskId)).Distinct()], ct);
        var inputs = await InputsAsync(claimed, jobs, ct);
        var reserved = await ReservedAsync([.. jobs.Values.Where(j => j.Analysis is not null).Select(j => j.Layout.Number)], ct);
        var specs = new List<AttemptSpec>(claimed.Count);
        foreach (var task in claimed)
        {
            // A job deleted between claim and here: its row of the queue goes with it.
            if (!jobs.TryGetValue(TaskLayout.NumberOf(task.TaskId), out var job)) continue;
            if (job.Analysis is not null && !reserved.Contains(job.Layout.Number))
            {
                refused?.Add(new(task.TaskId, task.Token, AttemptOutcome.Failed, new("input-deleted", "The dataset or the inference that it reads was deleted."), null, null, 0, 0, null, null, Reported: false));
                continue;
            }

            try
            {
                specs.Add(Build(session, task, job, inputs));
            }
            catch (Exception fault) when (fault is StoreException or IOException or UnauthorizedAccessException)
            {
                var message = fault is StoreException ? fault.Message : "A place in the store could not be prepared.";
                refused?.Add(new(task.TaskId, task.Token, AttemptOutcome.Failed, new("store-refused", message), null, null, 0, 0, null, null, Reported: false));
            }
        }

        return [.. specs];
    }

    /// <summary>Pages of the map runs of one partition, ordered by map; empty ranges are left out.</summary>
    public async Task<RunPage> RunsAsync(WorkerSession session, JobContext job, Guid token, int partition, int after, int limit, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT (id & 1048575)::int, attempt, substring(offsets FROM $3 FOR 16) FROM task WHERE id > $1 AND id < $2 AND state = 4 ORDER BY id LIMIT $4
            """);
        command.Parameters.AddWithValue(job.Layout.First + after);
        command.Parameters.AddWithValue(job.Layout.First + job.Layout.Maps);
        command.Parameters.AddWithValue((partition * 8) + 1);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var runs = new List<MapRun>(limit);
        var (rows, last) = (0, after);
        while (await reader.ReadAsync(ct))
        {
            // A map that was sent back after this reducer was given out has no row until it has run again. Without it the result would be short of its records.
            if (reader.GetInt32(0) != last + 1) return new([], null, Missing: last + 1);
            rows++;
            last = reader.GetInt32(0);
            var range = (byte[])reader.GetValue(2);
            var (start, end) = (BitConverter.ToInt64(range, 0), BitConverter.ToInt64(range, 8));
            if (end == start) continue;
            var attempt = reader.GetInt32(1);
            var grant = objects.Hub.GrantRead(objects.Shuffle(job.Id, last, attempt), session.SharesFiles, Validity)
                ?? new ObjectGrant(null, $"{AttemptUrl(session, token)}/runs/{last}/{attempt}");
            runs.Add(new(last, attempt, grant, start, end - start));
        }

        if (rows < limit && last != job.Layout.Maps - 1) return new([], null, Missing: last + 1);
        return new([.. runs], rows < limit ? null : last);
    }

    /// <summary>Where a map's input object is.</summary>
    public async Task<(IObjectStore Store, ObjectPath Path)> InputOfAsync(long taskId, JobContext job, CancellationToken ct)
    {
        var inputs = await InputsAsync([new(taskId, 0, default)], new Dictionary<long, JobContext> { [job.Layout.Number] = job }, ct);
        return objects.Input(job, inputs[taskId].Path, inputs[taskId].File);
    }

    private AttemptSpec Build(WorkerSession session, ClaimedTask task, JobContext job, Dictionary<long, InputRow> inputs)
    {
        var (kind, index) = job.Layout.Of(task.TaskId);
        var spec = new AttemptSpec
        {
            Token = task.Token, TaskId = task.TaskId, JobId = job.Id.Value, Attempt = task.Attempt, Kind = kind, Index = index,
            TaskName = TaskName.Of(job.Id, kind, index), TimeoutSeconds = job.TimeoutSeconds,
        };
        var url = AttemptUrl(session, task.Token);
        if (job.Analysis is { } analysis)
        {
            ObjectGrant Read(string key, string route) => objects.Hub.GrantRead(objects.Hidden(key), session.SharesFiles, Validity) ?? new ObjectGrant(null, $"{url}/{route}");
            return spec with
            {
                Analysis = new(analysis.Kind, analysis.Algorithm, analysis.Numbers, Read(analysis.Profiles, "profiles"), analysis.Edges is { } edges ? Read(edges, "edges") : null,
                    Grant(session, objects.Hub, objects.Analysis(analysis.Analysis), task.Token, url, durable: true)),
            };
        }

        if (job.MapReduce is not { } mr)
        {
            var command = job.Command!;
            return spec with
            {
                Environment = command.Environment, MemoryLimitBytes = command.MemoryLimitBytes, Gpus = command.Gpus, Cpus = command.Cpus,
                Command = new(command.Command, command.WorkingFolder, command.Sandbox, command.Tree ? new(command.Files, files.Value.KeptBytes, files.Value.KeptFiles) : null,
                    command.OfTree is { } leaf ? new(leaf.Dir, leaf.User, leaf.ProgressPattern) : null),
            };
        }

        ProgramSpec Program(PinnedProgram p) => new(p.Name, p.Type, p.Size, p.Hash,
            objects.Hub.GrantRead(objects.Program(p.Hash), session.SharesFiles, Validity) ?? new ObjectGrant(null, $"{url}/programs/{p.Hash}"));
        spec = spec with { Environment = mr.Environment };
        if (kind == TaskKind.Reduce)
        {
            var (store, path) = objects.Part(job, index);
            return spec with
            {
                Reduce = new() { Reducer = Program(mr.Reducer), Args = mr.ReducerArgs, Partition = index, Maps = mr.Maps, Output = Grant(session, store, path, task.Token, url, durable: true) },
            };
        }

        var input = inputs[task.TaskId];
        var whole = SplitPlan.IsGzip(input.Path, mr.InputType == "file/gzip");
        var start = whole ? 0 : (index - input.FirstTask) * mr.SplitSize;
        var (inputStore, inputPath) = objects.Input(job, input.Path, input.File);
        return spec with
        {
            Map = new()
            {
                Mapper = Program(mr.Mapper), Combiner = mr.Combiner is { } c ? Program(c) : null, Args = mr.MapperArgs, InputPath = input.Path, ObjectSize = input.Size,
                Input = inputStore.GrantRead(inputPath, session.SharesFiles, Validity) ?? new ObjectGrant(null, $"{url}/input"),
                Start = start, End = whole ? input.Size : Math.Min(input.Size, start + mr.SplitSize), Gzip = whole, Partitions = mr.Reducers,
                Output = Grant(session, objects.Hub, objects.Shuffle(job.Id, index, task.Attempt), task.Token, url, durable: false),
                CompressShuffle = storage.Value.Kind == StorageKind.S3,
            },
        };
    }

    private static OutputGrant Grant(WorkerSession session, IObjectStore store, ObjectPath path, Guid token, string url, bool durable)
    {
        if (store.TemporaryPath(path, token) is { } file)
            return session.SharesFiles ? new(file, null, null, durable) : new(null, null, $"{url}/output", durable);
        return new(null, $"{url}/uploads", null, durable);
    }

    /// <summary>Of jobs that make analyses those whose analysis is still wanted: it goes with the dataset or the inference that the job would read.</summary>
    private async Task<HashSet<long>> ReservedAsync(long[] jobs, CancellationToken ct)
    {
        if (jobs.Length == 0) return [];
        await using var command = database.CreateCommand("SELECT job FROM analysis WHERE job = ANY($1)");
        command.Parameters.AddWithValue(jobs);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new HashSet<long>(jobs.Length);
        while (await reader.ReadAsync(ct)) found.Add(reader.GetInt64(0));
        return found;
    }

    private static string AttemptUrl(WorkerSession session, Guid token) => $"/agent/v1/sessions/{session.Id}/attempts/{token}";

    /// <summary>The input object of each claimed map.</summary>
    internal async Task<Dictionary<long, InputRow>> InputsAsync(IReadOnlyList<ClaimedTask> claimed, IReadOnlyDictionary<long, JobContext> jobs, CancellationToken ct)
    {
        var maps = claimed.Where(c => jobs.TryGetValue(TaskLayout.NumberOf(c.TaskId), out var job) && job.Layout.Of(c.TaskId).Kind == TaskKind.Map).Select(c => c.TaskId).ToArray();
        var found = new Dictionary<long, InputRow>(maps.Length);
        if (maps.Length == 0) return found;
        await using var command = database.CreateCommand("""
            SELECT m.id, i.first_task, i.path, i.size FROM unnest($1::bigint[]) AS m(id)
            CROSS JOIN LATERAL (SELECT * FROM job_input WHERE job = m.id >> 20 AND first_task <= (m.id & 1048575) ORDER BY first_task DESC LIMIT 1) i
            """);
        command.Parameters.Add(new() { Value = maps, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found[reader.GetInt64(0)] = new(reader.GetInt32(1), reader.GetString(2), reader.GetInt64(3), null);
        await reader.CloseAsync();
        await FindFilesAsync(found, jobs, ct);
        return found;
    }

    /// <summary>The versions of a project's files that jobs were given.</summary>
    private async Task FindFilesAsync(Dictionary<long, InputRow> inputs, IReadOnlyDictionary<long, JobContext> jobs, CancellationToken ct)
    {
        var files = inputs.Where(static i => i.Value.Path.StartsWith("project:", StringComparison.Ordinal)).ToArray();
        if (files.Length == 0) return;
        await using var command = database.CreateCommand("""
            SELECT w.id, f.object FROM unnest($1::bigint[], $2::text[], $3::text[]) AS w(id, path, project)
            CROSS JOIN LATERAL (SELECT object FROM file WHERE project = w.project AND job = w.id >> 20 AND path = w.path OFFSET 0) f
            """);
        command.Parameters.AddWithValue(files.Select(static f => f.Key).ToArray());
        command.Parameters.AddWithValue(files.Select(f => "/" + ObjectAddress.Parse(f.Value.Path, jobs[TaskLayout.NumberOf(f.Key)].MapReduce!.UseSsl).Key).ToArray());
        command.Parameters.AddWithValue(files.Select(f => jobs[TaskLayout.NumberOf(f.Key)].Project).ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) inputs[reader.GetInt64(0)] = inputs[reader.GetInt64(0)] with { File = reader.GetString(1) };
    }

    /// <param name="File">The object of a project's file.</param>
    internal sealed record InputRow(int FirstTask, string Path, long Size, string? File);
}
