using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Farm;

/// <summary>The names of the 64 slots over HTTP.</summary>
public sealed class FarmAffinityTests(FarmWorkerHub farm) : IClassFixture<FarmWorkerHub>, IAsyncLifetime
{
    public async Task InitializeAsync()
    {
        await farm.ClearAsync();
        await farm.RunSqlAsync("DELETE FROM affinity_slot");
    }

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Names_AsTheyAreSet_AreAnsweredWithAllSlots()
    {
        Assert.Equal("1", await farm.CallAsync(HttpMethod.Post, "/api/affinities", new JsonObject { ["1"] = "  LINUX ", ["64"] = "HAS GPU" }));
        var names = (await farm.GetAsync("/api/affinities")).AsObject();
        Assert.Equal(Enumerable.Range(1, 64).Select(i => i.ToString()), names.Select(n => n.Key));
        Assert.Equal(("LINUX", "", "HAS GPU"), ((string)names["1"]!, (string)names["2"]!, (string)names["64"]!));
        var id = await farm.MakeAsync(new JsonObject { ["command"] = "x", ["affinity"] = "HAS GPU, NEW" });
        var job = await farm.JobAsync(id);
        Assert.Equal(0x8000000000000002UL, (ulong)job["affinity_bits"]!);
        Assert.Equal("NEW", (string)(await farm.GetAsync("/api/affinities"))["2"]!);
        Assert.Equal("1", await farm.CallAsync(HttpMethod.Post, "/api/affinities", new JsonObject { ["1"] = " " }));
        Assert.Equal("", (string)(await farm.GetAsync("/api/affinities"))["1"]!);
    }

    [Fact]
    public async Task Name_InUse_CanNeitherBeFreedNorChanged()
    {
        var id = await farm.MakeAsync(new JsonObject { ["command"] = "x", ["affinity"] = "USED" });
        foreach (var name in new[] { "", "OTHER" })
        {
            using var answer = await farm.SendAsync(HttpMethod.Post, "/api/affinities", new JsonObject { ["1"] = name, ["5"] = "MORE" }.ToJsonString());
            var problem = await answer.IsProblemAsync(HttpStatusCode.Conflict, "affinity-in-use", "1");
            Assert.Contains($"job {id}", (string)problem["detail"]!, StringComparison.Ordinal);
        }

        Assert.Equal("", (string)(await farm.GetAsync("/api/affinities"))["5"]!);
        await farm.CallAsync(HttpMethod.Delete, "/api/jobs", new JsonArray(id));
        Assert.Equal("1", await farm.CallAsync(HttpMethod.Post, "/api/affinities", new JsonObject { ["1"] = "OTHER" }));
    }

    [Fact]
    public async Task Slots_WhenAllAreTaken_RefuseNewNamesOfJobsAndWorkers()
    {
        await farm.CallAsync(HttpMethod.Post, "/api/affinities", new JsonObject(Enumerable.Range(1, 64).Select(i => KeyValuePair.Create(i.ToString(), (JsonNode?)$"a{i}"))));
        using var worker = farm.Worker("w");
        await worker.PickAsync();
        using (var answer = await farm.SendAsync(HttpMethod.Put, "/api/jobs", """{"command":"x","affinity":"b"}""")) await answer.IsProblemAsync(HttpStatusCode.Conflict, "affinity-slots-full");
        using (var answer = await farm.SendAsync(HttpMethod.Post, "/api/workers", """{"w":{"affinity":"a1\nb"}}""")) await answer.IsProblemAsync(HttpStatusCode.Conflict, "affinity-slots-full");
        Assert.Equal("", (string)(await farm.WorkerAsync("w"))["affinity"]!);
        await farm.MakeAsync(new JsonObject { ["command"] = "x", ["affinity"] = "a64" });
    }

    [Theory]
    [InlineData("""{"0":"A"}""", "invalid-field", "0")]
    [InlineData("""{"65":"A"}""", "invalid-field", "65")]
    [InlineData("""{"x":"A"}""", "invalid-field", "x")]
    [InlineData("""{"1":"A,B"}""", "invalid-field", "1")]
    [InlineData("""{"1":7}""", "invalid-field", "1")]
    [InlineData("""{"1":"A\nB"}""", "invalid-field", "1")]
    [InlineData("""{"1":"A","01":"B"}""", "repeated-field", "01")]
    [InlineData("[1]", "invalid-field", "body")]
    public async Task Set_OfWhatIsNoName_IsRefused(string body, string code, string field)
    {
        using var answer = await farm.SendAsync(HttpMethod.Post, "/api/affinities", body);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, code, field);
    }

    [Fact]
    public async Task Set_OfOneNameTwice_IsAConflict()
    {
        using var answer = await farm.SendAsync(HttpMethod.Post, "/api/affinities", """{"1":"A","2":"A"}""");
        await answer.IsProblemAsync(HttpStatusCode.Conflict, "affinity-name-taken");
    }
}
