using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Text;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime;
using JobHub.Worker.Runtime.Streaming;

namespace JobHub.Testing;

/// <summary>A MapReduce job in this process: all maps, then all reduces, each as a worker's slot would run it. Without a hub.</summary>
public sealed class LocalMapReduce(string folder, IProgramLauncher launcher)
{
    private readonly Guid _job = Guid.NewGuid();
    private readonly ConcurrentDictionary<int, (string Path, byte[] Offsets)> _maps = new();

    public required string Mapper { get; init; }

    public required string Reducer { get; init; }

    public string? Combiner { get; init; }

    public int Partitions { get; init; } = 1;

    public int Slots { get; init; } = 2;

    public long BufferBytes { get; init; } = 160L << 20;

    public bool Gzip { get; init; }

    public bool Compress { get; init; }

    public ConcurrentDictionary<string, long> Counters { get; } = new();

    public BytesSink Log { get; } = new();

    public string? Status { get; private set; }

    /// <summary>Runs it; returns the paths of the reducers' outputs.</summary>
    public async Task<string[]> RunAsync(string input, long splitSize, CancellationToken ct = default)
    {
        await MapAsync(input, splitSize, ct);
        return await ReduceAsync(ct);
    }

    /// <summary>The output of all reducers, one after another.</summary>
    public static async Task<byte[]> ReadAsync(IEnumerable<string> outputs)
    {
        using var all = new MemoryStream();
        foreach (var path in outputs)
        {
            await using var file = File.OpenRead(path);
            await file.CopyToAsync(all);
        }

        return all.ToArray();
    }

    public async Task MapAsync(string input, long splitSize, CancellationToken ct = default)
    {
        var size = new FileInfo(input).Length;
        var splits = Gzip ? [(0L, size)] : Enumerable.Range(0, (int)((size + splitSize - 1) / splitSize)).Select(i => (i * splitSize, Math.Min(size, (i + 1) * splitSize)));
        await Parallel.ForEachAsync(splits.Index(), Options(ct), async (split, stop) =>
        {
            var (index, (start, end)) = split;
            var output = Path.Combine(folder, $"map-{index}");
            var result = await RunAsync(new StreamingMapBody(), new AttemptSpec
            {
                Token = Guid.NewGuid(), TaskId = index, JobId = _job, Attempt = 1, Kind = TaskKind.Map, Index = index, TaskName = $"{_job}-m-{index}",
                Map = new MapSpec
                {
                    Mapper = Program(Mapper), Combiner = Combiner is null ? null : Program(Combiner), Input = new ObjectGrant(input, null), InputPath = input,
                    ObjectSize = size, Start = start, End = end, Gzip = Gzip, Partitions = Partitions, CompressShuffle = Compress,
                    Output = new OutputGrant(output, null, null, Durable: false),
                },
            }, new LocalAttemptStore(), stop);
            _maps[index] = (output, result.PartitionOffsets!);
        });
    }

    public async Task<string[]> ReduceAsync(CancellationToken ct = default)
    {
        var outputs = new string[Partitions];
        await Parallel.ForEachAsync(Enumerable.Range(0, Partitions), Options(ct), async (partition, stop) =>
        {
            outputs[partition] = Path.Combine(folder, $"part-{partition:D5}");
            await RunAsync(new StreamingReduceBody(), new AttemptSpec
            {
                Token = Guid.NewGuid(), TaskId = partition, JobId = _job, Attempt = 1, Kind = TaskKind.Reduce, Index = partition, TaskName = $"{_job}-r-{partition}",
                Reduce = new ReduceSpec
                {
                    Reducer = Program(Reducer), Partition = partition, Maps = _maps.Count, Output = new OutputGrant(outputs[partition], null, null, Durable: true),
                },
            }, new LocalAttemptStore { Runs = RunsOf(partition) }, stop);
        });
        return outputs;
    }

    /// <summary>The maps' runs of a partition.</summary>
    public MapRun[] RunsOf(int partition) =>
    [
        .. from map in _maps.OrderBy(m => m.Key)
           let start = BinaryPrimitives.ReadInt64LittleEndian(map.Value.Offsets.AsSpan(partition * 8))
           let end = BinaryPrimitives.ReadInt64LittleEndian(map.Value.Offsets.AsSpan((partition + 1) * 8))
           where end > start
           select new MapRun(map.Key, 1, new ObjectGrant(map.Value.Path, null), start, end - start),
    ];

    private ParallelOptions Options(CancellationToken ct) => new() { MaxDegreeOfParallelism = Slots, CancellationToken = ct };

    private static ProgramSpec Program(string path) => new(Path.GetFileName(path), ProgramType.Streaming, 0, "", new ObjectGrant(path, null));

    private async Task<BodyResult> RunAsync(IAttemptBody body, AttemptSpec spec, LocalAttemptStore store, CancellationToken ct)
    {
        var scratch = Directory.CreateTempSubdirectory("jobhub-scratch-").FullName;
        var context = new AttemptContext { Spec = spec, Store = store, Launcher = launcher, ScratchFolder = scratch, Log = Log, BufferBytes = BufferBytes };
        try
        {
            var result = await body.RunAsync(context, ct);
            foreach (var (name, by) in context.Counters) Counters.AddOrUpdate(name, by, (_, old) => old + by);
            Status = context.Status ?? Status;
            return result;
        }
        finally
        {
            await launcher.EndAllAsync(spec.Token, TimeSpan.FromSeconds(1), CancellationToken.None);
            Directory.Delete(scratch, recursive: true);
        }
    }
}

/// <summary>A log in memory.</summary>
public sealed class BytesSink : ILogSink
{
    private readonly MemoryStream _bytes = new();

    public string Text
    {
        get
        {
            lock (_bytes) return Encoding.UTF8.GetString(_bytes.ToArray());
        }
    }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_bytes) _bytes.Write(bytes);
    }
}
