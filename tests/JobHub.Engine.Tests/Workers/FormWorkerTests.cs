using System.Runtime.CompilerServices;
using System.Text;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;
using JobHub.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Xunit;

namespace JobHub.Engine.Tests.Workers;

/// <summary>What outlives a call of a form worker: its lease when the hub was away, and its logs.</summary>
public sealed class FormWorkerTests(FormWorkerTests.Server server) : IClassFixture<FormWorkerTests.Server>, IAsyncLifetime
{
    /// <summary>One Postgres for all of them.</summary>
    public sealed class Server : IAsyncLifetime
    {
        public PostgresServer Postgres { get; private set; } = null!;

        public async Task InitializeAsync() => Postgres = await PostgresServer.StartAsync();

        public async Task DisposeAsync() => await Postgres.DisposeAsync();
    }

    private sealed class Output(byte[] bytes) : IFormOutput
    {
        public long Length => bytes.Length;

        public async IAsyncEnumerable<ReadOnlyMemory<byte>> PiecesAsync([EnumeratorCancellation] CancellationToken ct)
        {
            await Task.CompletedTask;
            for (var at = 0; at < bytes.Length; at += FormLogs.PieceBytes) yield return bytes.AsMemory(at, Math.Min(FormLogs.PieceBytes, bytes.Length - at));
        }
    }

    private static readonly CancellationToken None = CancellationToken.None;
    private EngineHost _hub = null!;

    private FormWorkers Workers => _hub.Get<FormWorkers>();

    public async Task InitializeAsync() => _hub = await EngineHost.StartAsync(server.Postgres);

    public async Task DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Lease_AfterTheHubWasAway_IsExtendedAndTheWorkerGoesOn()
    {
        var id = await LeafAsync();
        Assert.Equal(id, (await Workers.PickAsync(Call("w"), None))!.Number);
        await RunSqlAsync("""
            UPDATE worker_session SET lease_until = clock_timestamp() - interval '20 seconds', calls = ARRAY (SELECT clock_timestamp() - i * interval '15 seconds' FROM generate_series(6, 2, -1) i);
            UPDATE upkeep SET swept_at = clock_timestamp() - interval '40 seconds'
            """);
        await Eventually.TrueAsync(async () => await _hub.CountAsync("SELECT count(*) FROM worker_session WHERE lease_until > clock_timestamp() + interval '30 seconds' AND calls = '{}'") == 1, "the lease is extended");
        Assert.True(await Workers.HeartbeatAsync(Call("w"), id, new Output([]), None));
        await Workers.EndAsync(Call("w"), id, 0, None);
        await Eventually.TrueAsync(async () => (await _hub.Get<TreeReader>().GetAsync(id, None))!.State == JobState.Succeeded, "the job has ended");
    }

    [Fact]
    public async Task Session_ThroughAnotherApi_IsTheSame()
    {
        await using var other = await _hub.AnotherAsync();
        var (first, second) = (await LeafAsync(), await LeafAsync());
        Assert.Equal(first, (await Workers.PickAsync(Call("w"), None))!.Number);
        Assert.True(await other.Get<FormWorkers>().HeartbeatAsync(Call("w"), first, new Output("half "u8.ToArray()), None));
        Assert.True(await Workers.HeartbeatAsync(Call("w"), first, new Output("and half"u8.ToArray()), None));
        await other.Get<FormWorkers>().EndAsync(Call("w"), first, 0, None);
        Assert.Equal(second, (await other.Get<FormWorkers>().PickAsync(Call("w"), None))!.Number);
        Assert.Equal(1, await _hub.CountAsync("SELECT count(*) FROM worker_session"));
        Assert.Equal("half and half", Encoding.ASCII.GetString(await LogAsync(first)));
    }

    [Fact]
    public async Task SmallLog_AtTheEnd_IsInItsAttemptAndNowhereElse()
    {
        var id = await LeafAsync();
        await Workers.PickAsync(Call("w"), None);
        for (var i = 0; i < 3; i++) Assert.True(await Workers.HeartbeatAsync(Call("w"), id, new Output("line\n"u8.ToArray()), None));
        await Workers.EndAsync(Call("w"), id, 0, None);
        Assert.Equal("line\nline\nline\n", Encoding.ASCII.GetString(await LogAsync(id)));
        Assert.Equal(15, await _hub.CountAsync("SELECT length(log_inline)::bigint FROM attempt"));
        await Workers.PickAsync(Call("w"), None);
        Assert.Equal(0, await _hub.CountAsync("SELECT count(*) FROM run_log"));
        Assert.Equal(15, (await LogAsync(id)).Length);
    }

    [Fact]
    public async Task LargeLog_WhenItsJobIsForgotten_GoesToo()
    {
        var id = await LeafAsync();
        await Workers.PickAsync(Call("w"), None);
        var printed = new byte[(2 << 20) + 5];
        new Random(3).NextBytes(printed);
        Assert.True(await Workers.HeartbeatAsync(Call("w"), id, new Output(printed), None));
        Assert.True(await Workers.HeartbeatAsync(Call("w"), id, new Output("end"u8.ToArray()), None));
        await Workers.EndAsync(Call("w"), id, 1, None);
        byte[] all = [.. printed, .. "end"u8];
        Assert.Equal(all, await LogAsync(id));
        Assert.Equal("end"u8.ToArray(), await LogAsync(id, printed.Length));
        await Eventually.TrueAsync(async () => (await _hub.Get<TreeReader>().GetAsync(id, None))!.State == JobState.Failed, "the job has ended");
        await Eventually.TrueAsync(async () =>
        {
            await RunSqlAsync("UPDATE job SET ended_at = ended_at - interval '40 days' WHERE ended_at > clock_timestamp() - interval '30 days'");
            await new Retention(_hub.Database, Options.Create(new RetentionOptions()), NullLogger<Retention>.Instance, _hub.Stores).ApplyAsync(None);
            return await _hub.CountAsync("SELECT count(*) FROM job") == 0;
        }, "the job is forgotten");
        Assert.Equal(0, await _hub.CountAsync("SELECT count(*) FROM run_log"));
    }

    private static FormCall Call(string host) => new(host, "127.0.0.1", "[1]", 1, 2);

    private async Task<long> LeafAsync() =>
        Assert.IsType<TreeResult.Done>(await _hub.Get<JobTrees>().CreateAsync([new NewTreeJob { Command = "true" }], new("test", null, null), None)).Ids[0];

    private async Task<byte[]> LogAsync(long id, long offset = 0)
    {
        var job = await _hub.Get<TreeReader>().GetAsync(id, None);
        var slice = await _hub.Get<JobHub.Engine.Attempts.LogReader>().OpenAsync(job!.Id, JobHub.Engine.Tasks.TaskKind.Command, 0, null, offset, None);
        using var all = new MemoryStream();
        all.Write(slice!.Content.Span);
        if (slice.Rest is { } rest) await using (rest) await rest.CopyToAsync(all);
        return all.ToArray();
    }

    private async Task RunSqlAsync(string sql)
    {
        await using var command = _hub.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
