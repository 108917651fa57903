using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Workers;

public sealed class AffinitySlotTests(AffinitySlotTests.Server server) : IClassFixture<AffinitySlotTests.Server>, IAsyncLifetime
{
    /// <summary>One Postgres for all of them.</summary>
    public sealed class Server : IAsyncLifetime
    {
        public PostgresServer Postgres { get; private set; } = null!;

        public async Task InitializeAsync() => Postgres = await PostgresServer.StartAsync();

        public async Task DisposeAsync() => await Postgres.DisposeAsync();
    }

    private static readonly CancellationToken None = CancellationToken.None;
    private EngineHost _hub = null!;

    private AffinitySlots Slots => _hub.Get<AffinitySlots>();

    public async Task InitializeAsync() => _hub = await EngineHost.StartAsync(server.Postgres, upkeep: false);

    public async Task DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Declare_OfNewTags_GivesEachTheFirstFreeSlot()
    {
        Assert.True(await Slots.DeclareAsync(["LINUX", "HAS GPU", "LINUX"], None));
        Assert.IsType<SlotResult.Done>(await Slots.SetAsync(new Dictionary<int, string> { [1] = "" , [64] = "LAST" }, None));
        Assert.True(await Slots.DeclareAsync(["WINDOWS", "HAS GPU"], None));
        var names = await Slots.ListAsync(None);
        Assert.Equal(64, names.Length);
        Assert.Equal(["WINDOWS", "HAS GPU", ""], names[..3]);
        Assert.Equal(0x8000000000000003UL, await Slots.BitsOfAsync(["WINDOWS", "LAST", "HAS GPU", "LINUX"], None));
    }

    [Fact]
    public async Task Declare_ByManyAtOnce_NeverPassesTheLastSlotAndIsAllOrNothing()
    {
        Assert.True(await Slots.DeclareAsync([.. Enumerable.Range(0, 60).Select(i => $"t{i}")], None));
        await using var other = await _hub.AnotherAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => (i % 2 == 0 ? Slots : other.Get<AffinitySlots>()).DeclareAsync([$"a{i}", $"b{i}"], None)));
        Assert.Equal(2, answers.Count(a => a));
        var names = await Slots.ListAsync(None);
        Assert.DoesNotContain("", names);
        foreach (var (granted, i) in answers.Select((a, i) => (a, i))) Assert.Equal(granted ? 2 : 0, names.Count(n => n == $"a{i}" || n == $"b{i}"));
        Assert.True(await Slots.DeclareAsync(["t3"], None));
        Assert.False(await Slots.DeclareAsync(["one more"], None));
    }

    [Fact]
    public async Task Set_OfANameInUse_IsRefusedWholeAndSaysByWhom()
    {
        Assert.True(await Slots.DeclareAsync(["JOB", "WORKER", "OPERATOR", "FREE"], None));
        await RunSqlAsync("INSERT INTO worker (name, affinity) VALUES ('w2', E'X, OPERATOR\\nY')");
        await _hub.OpenAsync("w1", affinity: [["Z", "WORKER"]]);
        await _hub.Jobs.SubmitAsync(new()
        {
            Family = JobFamily.Farm, Details = """{"command":"true"}""", Tasks = [new(TaskKind.Command, 1, false)], Needs = Requirement.None with { Affinity = ["JOB"] },
        }, new("t", null, null), None);
        await RunSqlAsync("UPDATE job SET tags = ARRAY['JOB']");
        foreach (var (slot, name, by) in new[] { (1, "JOB", "job "), (2, "WORKER", "worker w1"), (3, "OPERATOR", "worker w2") })
        {
            foreach (var to in new[] { "", "RENAMED" })
            {
                var refused = Assert.IsType<SlotResult.InUse>(await Slots.SetAsync(new Dictionary<int, string> { [slot] = to, [9] = "NEW" }, None));
                Assert.Equal((slot, name), (refused.Slot, refused.Name));
                Assert.StartsWith(by, refused.By, StringComparison.Ordinal);
            }
        }

        Assert.Equal(["JOB", "WORKER", "OPERATOR", "FREE", "", "", "", "", ""], (await Slots.ListAsync(None))[..9]);
        await RunSqlAsync("UPDATE job SET state = 4");
        Assert.IsType<SlotResult.Done>(await Slots.SetAsync(new Dictionary<int, string> { [1] = "", [4] = "RENAMED", [2] = "WORKER" }, None));
        Assert.IsType<SlotResult.Twice>(await Slots.SetAsync(new Dictionary<int, string> { [7] = "WORKER" }, None));
        Assert.Equal(["", "WORKER", "OPERATOR", "RENAMED"], (await Slots.ListAsync(None))[..4]);
    }

    private async Task RunSqlAsync(string sql)
    {
        await using var command = _hub.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
