using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Tasks;

public sealed class RefusedPlaceTests(EngineFixture fixture) : IClassFixture<EngineFixture>
{
    private static readonly CancellationToken None = CancellationToken.None;
    private EngineHost Hub => fixture.Hub;

    [Fact]
    public async Task Claim_WhenOneJobsOutputCannotBe_FailsThatJobAndGivesTheOthers()
    {
        var file = Path.GetTempFileName();
        try
        {
            var program = new PinnedProgram("p", ProgramType.Streaming, 1, new string('0', 64));
            var details = new MapReduceSpec
            {
                InputPath = "file:///none", InputType = "file/txt", OutputPath = $"file://{file}", Reducers = 1, SplitSize = 1, InputSize = 0, Maps = 0, Mapper = program, Reducer = program,
            };
            var bad = new JobSpec
            {
                Family = JobFamily.MapReduce, Details = JsonSerializer.Serialize(details, EngineJson.Default.MapReduceSpec), Tasks = [new(TaskKind.Reduce, 1, false)], MaxAttempts = 1,
            };
            var good = new JobSpec { Family = JobFamily.Commands, Details = """{"command":"true"}""", Tasks = [new(TaskKind.Command, 1, false)], Priority = 1 };
            await Hub.Jobs.SubmitAsync(bad, new("test", null, null), None);
            await Hub.Jobs.SubmitAsync(good, new("test", null, null), None);
            var worker = await Hub.OpenAsync();
            var given = Assert.Single(await Hub.ClaimAsync(worker));
            Assert.Equal(good.Id.Value, given.JobId);
            var job = await Eventually.GetAsync(async () => (await Hub.Reader.GetAsync(bad.Id, None))!, j => j.State.IsTerminal, "the job with the bad output has ended");
            Assert.Equal(JobState.Failed, job.State);
            Assert.Equal("store-refused", job.Error!.Type);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Open_OfTheHubsOwnFolder_IsRefusedAlsoThroughALink()
    {
        var root = Hub.Get<Microsoft.Extensions.Options.IOptions<StorageOptions>>().Value.Root!;
        var link = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        File.CreateSymbolicLink(link, root);
        try
        {
            foreach (var path in (string[])[root, root + "/jobhub/x", link, link + "/not/yet/there"])
            {
                var fault = Assert.Throws<StoreException>(() => Hub.Stores.Open(ObjectAddress.Parse($"file://{path}", false), null));
                Assert.Equal(StoreFault.AccessDenied, fault.Fault);
            }

            Hub.Stores.Open(ObjectAddress.Parse($"file://{root}-beside/x", false), null);
        }
        finally
        {
            File.Delete(link);
        }
    }
}
