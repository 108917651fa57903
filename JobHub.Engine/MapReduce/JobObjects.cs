using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;

namespace JobHub.Engine.MapReduce;

/// <summary>Where the objects of a job are: the only place that knows their names.</summary>
public sealed class JobObjects(StoreRegistry stores)
{
    /// <summary>Shuffle data, logs and programs are in the hub's own store.</summary>
    public IObjectStore Hub => stores.Hub;

    public ObjectPath Program(string hash) => new(stores.HubBucket, $"artifacts/{hash}");

    /// <summary>A map attempt's output is promoted under the attempt's own name, before it is known who wins: nobody else writes there, and the winner's name is what counts.</summary>
    public ObjectPath Shuffle(JobId job, int map, int attempt) => new(stores.HubBucket, $"shuffle/{job}/{map}/{attempt}");

    public ObjectPath ShuffleFolder(JobId job) => new(stores.HubBucket, $"shuffle/{job}/");

    public ObjectPath Log(JobId job, TaskKind kind, int index, int attempt) => new(stores.HubBucket, $"logs/{job}/{TaskName.Of(job, kind, index)}/{attempt}");

    /// <summary>An object of the hub's own by the key it was kept under.</summary>
    public ObjectPath Hidden(string key) => new(stores.HubBucket, key);

    public ObjectPath LogFolder(JobId job) => new(stores.HubBucket, $"logs/{job}/");

    /// <summary>What an analysis has come to: edges or points.</summary>
    public ObjectPath Analysis(Guid analysis) => new(stores.HubBucket, AnalysisKey(analysis));

    /// <summary>Its key in the hub's store; the database removes it by this name when its row goes.</summary>
    public static string AnalysisKey(Guid analysis) => $"analyses/{analysis}/result";

    /// <summary>The store and folder of a job's result, ending in a slash.</summary>
    public (IObjectStore Store, ObjectPath Folder) Result(JobContext job)
    {
        var spec = job.MapReduce!;
        var address = ObjectAddress.ParseOutput(spec.OutputPath, spec.UseSsl).Child(job.Id + "/");
        return stores.Open(address, job.OutputCredentials);
    }

    /// <summary>The store and final path of one reducer's object.</summary>
    public (IObjectStore Store, ObjectPath Path) Part(JobContext job, int partition)
    {
        var (store, folder) = Result(job);
        var name = job.MapReduce!.Reducer.Type == ProgramType.Streaming ? $"part-{partition:D5}" : $"{partition}.json";
        return (store, folder with { Key = folder.Key + name });
    }

    /// <summary>The store and path of an input object, by its canonical address.</summary>
    /// <param name="file">The object of a project's file that the job was given.</param>
    public (IObjectStore Store, ObjectPath Path) Input(JobContext job, string address, string? file) =>
        file is not null ? (stores.Hub, Hidden(file)) : stores.Open(ObjectAddress.Parse(address, job.MapReduce!.UseSsl), job.InputCredentials);

    /// <summary>Where an attempt's output goes, by kind; null for kinds without one.</summary>
    public (IObjectStore Store, ObjectPath Path)? Output(JobContext job, long taskId, int attempt)
    {
        var (kind, index) = job.Layout.Of(taskId);
        return kind switch
        {
            TaskKind.Map => (stores.Hub, Shuffle(job.Id, index, attempt)),
            TaskKind.Reduce => Part(job, index),
            TaskKind.Analysis when job.Analysis is { } analysis => (stores.Hub, Analysis(analysis.Analysis)),
            _ => null,
        };
    }
}
