using System.Net;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;

namespace JobHub.Api.Tests.Projects;

/// <summary>Inferences and visualizations as they are read, uploaded and removed.</summary>
[Collection(AnalysisCollection.Name)]
public sealed class AnalysisTests(HubFixture fixture) : IDisposable
{
    private readonly AnalysisCalls calls = new(fixture.Hub);

    public void Dispose() => calls.Dispose();

    [Fact]
    public async Task Inference_InEachFormat_IsTheSameTree()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var inference = await calls.MadeAsync(worker, project, "inference", "goeburst", dataset, 2);
        var path = $"/projects/{project}/datasets/{dataset}/inferences";

        var listed = Assert.Single((await calls.GetAsync(path)).AsArray())!;
        Assert.Equal((inference, "goeburst", $"[\"{dataset}\",2]"), ((string)listed["id"]!, (string)listed["algorithm"]!, listed["parameters"]!.ToJsonString()));
        var json = await calls.GetAsync($"{path}/{inference}");
        Assert.Equal(["project_id", "dataset_id", "id", "algorithm", "edges"], json.AsObject().Select(static m => m.Key));
        Assert.Equal((project, dataset, inference), ((string)json["project_id"]!, (string)json["dataset_id"]!, (string)json["id"]!));
        Assert.Equal("""[{"from":"1","to":"2","distance":1},{"from":"2","to":"3","distance":1}]""", json["edges"]!.ToJsonString());
        using var newick = await calls.Client.GetAsync($"{path}/{inference}?format=newick");
        Assert.Equal(("text/plain", "((3:1)2:1)1;\n4;\n"), (newick.Content.Headers.ContentType!.MediaType, await newick.Content.ReadAsStringAsync()));
        var nexus = await calls.Client.GetStringAsync($"{path}/{inference}?format=nexus");
        Assert.StartsWith("#NEXUS\nBEGIN TREES;\n  Tree result = ((3:1)2:1)1;\n", nexus, StringComparison.Ordinal);
        await (await calls.Client.GetAsync($"{path}/{inference}?format=svg")).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "format");
    }

    [Fact]
    public async Task Visualization_OfAnInference_HasCoordinatesAndAPicture()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var inference = await calls.MadeAsync(worker, project, "inference", "goeburst", dataset, 2);
        var visualization = await calls.MadeAsync(worker, project, "visualization", "radial", dataset, inference);
        var path = $"/projects/{project}/datasets/{dataset}/inferences/{inference}/visualizations";

        Assert.Equal(visualization, (string)Assert.Single((await calls.GetAsync(path)).AsArray())!["id"]!);
        var json = await calls.GetAsync($"{path}/{visualization}");
        Assert.Equal("radial", (string)json["algorithm"]!);
        Assert.Equal(["1", "2", "3", "4"], json["coordinates"]!.AsArray().Select(static c => (string)c!["profile_id"]!).Order(StringComparer.Ordinal));
        Assert.Equal(["profile_id", "component", "x", "y"], json["coordinates"]![0]!.AsObject().Select(static m => m.Key));
        using var picture = await calls.Client.GetAsync($"{path}/{visualization}.svg");
        Assert.Equal((HttpStatusCode.OK, "image/svg+xml"), (picture.StatusCode, picture.Content.Headers.ContentType!.MediaType));
        Assert.Contains("default-src 'none'", picture.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Equal("nosniff", picture.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.Equal("svg", XDocument.Parse(await picture.Content.ReadAsStringAsync()).Root!.Name.LocalName);

        Assert.Equal(HttpStatusCode.NoContent, (await calls.Client.DeleteAsync($"{path}/{visualization}")).StatusCode);
        await (await calls.Client.GetAsync($"{path}/{visualization}")).IsProblemAsync(HttpStatusCode.NotFound, "visualization-not-found");
        await (await calls.Client.GetAsync($"{path}/{visualization}.svg")).IsProblemAsync(HttpStatusCode.NotFound, "visualization-not-found");
        await (await calls.Client.DeleteAsync($"{path}/{visualization}")).IsProblemAsync(HttpStatusCode.NotFound, "visualization-not-found");
    }

    [Fact]
    public async Task Inference_WhenItIsDeleted_GoesWithItsVisualizationsAndItsJobsFail()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var inference = await calls.MadeAsync(worker, project, "inference", "goeburst", dataset, 2);
        var path = $"/projects/{project}/datasets/{dataset}/inferences/{inference}";
        var visualization = await calls.MadeAsync(worker, project, "visualization", "radial", dataset, inference);
        var (job, _) = await calls.SubmittedAsync(project, "visualization", "radial", dataset, inference);

        Assert.Equal(HttpStatusCode.NoContent, (await calls.Client.DeleteAsync(path)).StatusCode);

        await (await calls.Client.GetAsync(path)).IsProblemAsync(HttpStatusCode.NotFound, "inference-not-found");
        await (await calls.Client.GetAsync($"{path}/visualizations/{visualization}")).IsProblemAsync(HttpStatusCode.NotFound, "visualization-not-found");
        await (await calls.Client.GetAsync($"{path}/visualizations")).IsProblemAsync(HttpStatusCode.NotFound, "inference-not-found");
        Assert.DoesNotContain(await worker.ClaimAsync(16), attempt => attempt.JobId.ToString() == job);
        var ended = await calls.EndedAsync(project, job);
        Assert.Equal((true, "The dataset or the inference that it reads was deleted."), ((bool)ended["failed"]!, (string?)ended["error"]));
    }

    [Theory]
    [InlineData("(2:1,(4:3)3:2.5)1;", "newick")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTree result = (2:1,(4:3)3:2.5)1;\nEND;\n", "nexus")]
    public async Task Upload_OfATreeFile_IsAnInferenceThatCanBeDrawn(string text, string algorithm)
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var path = $"/projects/{project}/datasets/{dataset}/inferences";
        using var form = new MultipartFormDataContent { { new StringContent(text), "file", "tree.nwk" } };
        foreach (var content in (HttpContent[])[new StringContent(text), form])
        {
            using var answer = await calls.Client.PostAsync(path, content);
            Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
            var id = (string)(await answer.JsonAsync())["id"]!;
            var inference = await calls.GetAsync($"{path}/{id}");
            Assert.Equal(algorithm, (string)inference["algorithm"]!);
            Assert.Equal("""[{"from":"1","to":"2","distance":1},{"from":"1","to":"3","distance":2.5},{"from":"3","to":"4","distance":3}]""", inference["edges"]!.ToJsonString());
            Assert.Equal("(2:1,(4:3)3:2.5)1;\n", await calls.Client.GetStringAsync($"{path}/{id}?format=newick"));
            var picture = await calls.MadeAsync(worker, project, "visualization", "radial", dataset, id);
            Assert.Equal(4, (await calls.GetAsync($"{path}/{id}/visualizations/{picture}"))["coordinates"]!.AsArray().Count);
        }
    }

    [Theory]
    [InlineData("(2:1,99:1)1;", "unknown-profile")]
    [InlineData("(2:1,2:1)1;", "invalid-tree")]
    [InlineData("(2:1,3:1)1", "invalid-tree")]
    [InlineData("#NEXUS\nBEGIN TREES;\n", "invalid-tree")]
    [InlineData("<svg/>", "invalid-tree")]
    public async Task Upload_OfWhatIsNoTreeOfTheDataset_IsRefused(string text, string code)
    {
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var path = $"/projects/{project}/datasets/{dataset}/inferences";

        await (await calls.Client.PostAsync(path, new StringContent(text))).IsProblemAsync(HttpStatusCode.BadRequest, code);

        Assert.Empty((await calls.GetAsync(path)).AsArray());
        await (await calls.Client.PostAsync($"/projects/{project}/datasets/{Guid.NewGuid()}/inferences", new StringContent(text))).IsProblemAsync(HttpStatusCode.NotFound, "dataset-not-found");
    }
}
