using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime;

namespace JobHub.Testing;

/// <summary>An attempt's store over local files: grants are paths, outputs are written where the grant says. Programs are run from where they are.</summary>
public sealed class LocalAttemptStore : IAttemptStore
{
    /// <summary>What a reducer is to read.</summary>
    public IReadOnlyList<MapRun> Runs { get; init; } = [];

    /// <inheritdoc />
    public Task<Stream> OpenReadAsync(ObjectGrant grant, long offset, long? length, CancellationToken ct)
    {
        var file = new FileStream(grant.Path!, new FileStreamOptions { Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 0 }) { Position = offset };
        return Task.FromResult<Stream>(file);
    }

    /// <inheritdoc />
    public Task<IOutputWriter> CreateAsync(OutputGrant grant, CancellationToken ct) => Task.FromResult<IOutputWriter>(new Writer(grant));

    /// <inheritdoc />
    public async IAsyncEnumerable<MapRun> RunsAsync([EnumeratorCancellation] CancellationToken ct)
    {
        foreach (var run in Runs)
        {
            ct.ThrowIfCancellationRequested();
            yield return run;
        }

        await Task.CompletedTask;
    }

    /// <inheritdoc />
    public Task<string> ProgramAsync(ProgramSpec program, CancellationToken ct) => Task.FromResult(program.Source.Path!);

    private sealed class Writer(OutputGrant grant) : IOutputWriter
    {
        private readonly FileStream _file = new(grant.Path!, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0 });
        private readonly IncrementalHash? _hash = grant.Durable ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;

        public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken ct)
        {
            _file.Write(bytes.Span);
            _hash?.AppendData(bytes.Span);
            return ValueTask.CompletedTask;
        }

        public Task<PendingOutput> FinishAsync(CancellationToken ct) =>
            Task.FromResult(new PendingOutput(_file.Length, _hash is null ? null : Convert.ToHexStringLower(_hash.GetHashAndReset()), grant.Path, null, null));

        public async ValueTask DisposeAsync()
        {
            await _file.DisposeAsync();
            _hash?.Dispose();
        }
    }
}
