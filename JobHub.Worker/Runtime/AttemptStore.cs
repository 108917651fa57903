using System.Runtime.CompilerServices;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Agent;

namespace JobHub.Worker.Runtime;

/// <summary>The grants of one attempt, turned into streams and writers. Dispose gives the programs back to the cache.</summary>
public sealed class AttemptStore(AgentClient client, ProgramCache programs, AttemptSpec given, long session, string spoolFolder, TimeSpan patience, TimeProvider clock)
    : IAttemptStore, IDisposable
{
    private const int RunsAtOnce = 1000;
    // A run's grant is renewed by asking for that one map's run again; the table lets go of grants nobody holds any more.
    private readonly ConditionalWeakTable<ObjectGrant, MapRun> _runs = [];
    private readonly List<string> _taken = [];
    private readonly AttemptSpec _spec = given;
    private volatile AttemptSpec? _latest;

    public async Task<Stream> OpenReadAsync(ObjectGrant grant, long offset, long? length, CancellationToken ct)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (grant.Path is { } path) return OpenFile(path, offset, length);
        if (grant.Url is null) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, "The grant names neither a path nor a URL.");
        return await RangedReadStream.OpenAsync(client, grant, offset, length, RefreshAsync, clock, patience, ct);
    }

    public async Task<IOutputWriter> CreateAsync(OutputGrant grant, CancellationToken ct) => grant switch
    {
        { Path: { } path } => new FileOutputWriter(path, grant.Durable),
        { UploadUrl: not null } => await MultipartOutputWriter.OpenAsync(client, grant, ct),
        { PutUrl: { } url } => new PutOutputWriter(client, url, spoolFolder),
        _ => throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, "The output grant names no place."),
    };

    public async IAsyncEnumerable<MapRun> RunsAsync([EnumeratorCancellation] CancellationToken ct)
    {
        int? after = null;
        do
        {
            var page = await client.RunsAsync(session, _spec.Token, after, RunsAtOnce, ct);
            ThrowOnMissing(page);
            foreach (var run in page.Runs)
            {
                if (run.Source.Url is not null) _runs.AddOrUpdate(run.Source, run);
                yield return run;
            }
            after = page.Next;
        } while (after is not null);
    }

    private static void ThrowOnMissing(RunPage page)
    {
        if (page.Missing is { } map)
            throw new AttemptFailedException(AttemptOutcome.OutputLost, "output-lost", $"Map {map} runs again; its output is not there yet.") { LostRun = new LostRun(map, 0) };
    }

    public async Task<string> ProgramAsync(ProgramSpec program, CancellationToken ct)
    {
        var path = await programs.TakeAsync(program, t => OpenReadAsync(program.Source, 0, program.Size, t), ct);
        lock (_taken) _taken.Add(program.Hash);
        return path;
    }

    private static FileRangeStream OpenFile(string path, long offset, long? length)
    {
        try
        {
            var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, FileOptions.SequentialScan);
            var size = RandomAccess.GetLength(file);
            return new FileRangeStream(file, offset, length is { } n ? Math.Min(size, offset + n) : size);
        }
        catch (DirectoryNotFoundException e) { throw new FileNotFoundException(e.Message, e); }
        catch (Exception e) when (e is UnauthorizedAccessException)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreRefused, $"{Path.GetFileName(path)} cannot be read: {e.Message}");
        }
    }

    private async Task<ObjectGrant> RefreshAsync(ObjectGrant old, CancellationToken ct)
    {
        if (_runs.TryGetValue(old, out var run))
        {
            var page = await client.RunsAsync(session, _spec.Token, run.Map == 0 ? null : run.Map - 1, 1, ct);
            ThrowOnMissing(page);
            var again = page.Runs.FirstOrDefault(r => r.Map == run.Map && r.Attempt == run.Attempt) ?? throw new FileNotFoundException("The run is not there any more.");
            _runs.AddOrUpdate(again.Source, again);
            return again.Source;
        }
        var (known, fresh) = (_latest ?? _spec, await client.SpecAsync(session, _spec.Token, ct));
        _latest = fresh;
        return Same(_spec, fresh, old) ?? Same(known, fresh, old) ?? old;
    }

    // The grant of the fresh spec that stands where the old one stood.
    private static ObjectGrant? Same(AttemptSpec had, AttemptSpec fresh, ObjectGrant old) =>
        old == had.Map?.Input ? fresh.Map?.Input
        : old == had.Map?.Mapper.Source ? fresh.Map?.Mapper.Source
        : old == had.Map?.Combiner?.Source ? fresh.Map?.Combiner?.Source
        : old == had.Reduce?.Reducer.Source ? fresh.Reduce?.Reducer.Source
        : old == had.Analysis?.Profiles ? fresh.Analysis?.Profiles
        : old == had.Analysis?.Edges ? fresh.Analysis?.Edges
        : null;

    public void Dispose()
    {
        lock (_taken)
        {
            foreach (var hash in _taken) programs.Release(hash);
            _taken.Clear();
        }
    }
}
