using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public class SubmitPageTests(Dashboard dashboard)
{
    // Builds and other tests may keep the machine busy.
    static SubmitPageTests() => Assertions.SetDefaultExpectTimeout(20_000);

    private const string Streaming = "#!/bin/sh\nexec cat\n";

    [Theory]
    [InlineData("mapreduce", false, false), InlineData("mapreduce", false, true), InlineData("mapreduce", true, false)]
    [InlineData("command", false, false), InlineData("analysis", false, false), InlineData("farm", false, true)]
    public async Task Form_OfEachFamily_OpensWithoutAComplaintAndFits(string family, bool phone, bool dark)
    {
        await using var open = await dashboard.OpenAsync($"/submit/{family}", phone, dark);
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("curl -sS");
        await open.ShootAsync($"submit-{family}{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Command_SubmittedByTheForm_RunsAndTheFormRemembersIt()
    {
        await using var open = await dashboard.OpenAsync("/submit/command");
        await open.Page.GetByLabel("Command", new() { Exact = true }).FillAsync("echo it\\'s run > out.txt");
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("\"command\":");
        await open.Page.GetByLabel("Environment").FillAsync("COLOUR=red");
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("{\"COLOUR\":\"red\"}");
        await Submit(open).ClickAsync();
        await SucceedsAsync(open);

        await open.GoAsync("/submit/command");
        await Assertions.Expect(open.Page.GetByLabel("Environment")).ToHaveValueAsync("COLOUR=red");
        await open.Page.GetByText("Start empty").ClickAsync();
        await Assertions.Expect(open.Page.GetByLabel("Environment")).ToHaveValueAsync("");
        open.AssertQuiet();
    }

    [Fact]
    public async Task MapReduce_WithProgramsUploadedInPlace_RunsFromAnEmptyForm()
    {
        var tag = Guid.NewGuid().ToString("N")[..8];
        var folder = Directory.CreateTempSubdirectory("jobhub-submit-").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "in.txt"), "b\na\n");
        try
        {
            await using var open = await dashboard.OpenAsync("/submit");
            await open.Page.GetByLabel("Input path").FillAsync($"file://{folder}/in.txt");
            foreach (var (label, name) in ((string, string)[])[("Mapper", $"mapper-{tag}.sh"), ("Reducer", $"reducer-{tag}.sh")])
            {
                await open.Page.Locator("#submit .drop[data-ready] input[type=file]").SetInputFilesAsync(new FilePayload { Name = name, MimeType = "text/x-shellscript", Buffer = Encoding.UTF8.GetBytes(Streaming) });
                await Assertions.Expect(open.Page.GetByLabel(label, new() { Exact = true })).ToHaveValueAsync(name);
            }

            await open.Page.GetByLabel("Output path").FillAsync($"file://{folder}/out");
            await open.Page.GetByLabel("Its secret").First.FillAsync("topsecret");
            await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("'\"$INPUT_PASSWORD\"'");
            Assert.DoesNotContain("topsecret", await open.Page.Locator("#command").InnerTextAsync(), StringComparison.Ordinal);
            await open.Page.GetByLabel("Its secret").First.FillAsync("");
            await Submit(open).ClickAsync();
            await SucceedsAsync(open);
            Assert.DoesNotContain("topsecret", await open.Page.EvaluateAsync<string>("() => JSON.stringify(localStorage)"), StringComparison.Ordinal);
            open.AssertQuiet();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Program_OfManyBytes_GoesPastThePagesConnectionWithItsProgress()
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-submit-").FullName;
        try
        {
            // More than messages of the page's connection may hold, and than its browser keeps for them.
            var program = Path.Combine(folder, $"large-{Guid.NewGuid():N}.sh");
            await using (var file = File.Create(program))
            {
                await file.WriteAsync(Encoding.UTF8.GetBytes(Streaming));
                file.SetLength(60 << 20);
            }

            await using var open = await dashboard.OpenAsync("/submit");
            var sent = open.Page.WaitForResponseAsync(static answer => answer.Url.Contains("/transfer/artifacts", StringComparison.Ordinal));
            await open.Page.Locator("#submit .drop[data-ready] input[type=file]").SetInputFilesAsync(program);
            await open.SeeAsync("Stored, 60.0 MiB");
            Assert.True((await sent).Ok);
            await Assertions.Expect(open.Page.GetByLabel("Mapper", new() { Exact = true })).ToHaveValueAsync(Path.GetFileName(program));
            await Assertions.Expect(open.Page.Locator("#f-mapperName-h")).ToContainTextAsync("60.0 MiB");
            await open.ShootAsync("submit-upload");
            open.AssertQuiet();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Input_IsLookedForWhileOneTypes_AndSubmitAsksAnew()
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-submit-").FullName;
        try
        {
            await using var open = await dashboard.OpenAsync("/submit");
            await open.Page.GetByLabel("Input path").FillAsync($"file://{folder}/in.txt");
            await Assertions.Expect(open.Page.Locator("#f-inputPath-e")).ToContainTextAsync("does not exist");
            await Assertions.Expect(open.Page.Locator(".checks li").First).ToContainTextAsync("does not exist");
            await open.ShootAsync("submit-looked");
            await File.WriteAllTextAsync(Path.Combine(folder, "in.txt"), "b\na\n");
            await open.Page.GetByLabel("Split size").FillAsync("2");
            await Assertions.Expect(open.Page.Locator("#f-inputPath-e")).ToHaveCountAsync(0);
            await Assertions.Expect(open.Page.Locator(".checks li").First).ToContainTextAsync("1 object, 4 B, 2 maps");
            await Assertions.Expect(Submit(open)).ToBeEnabledAsync();

            await open.GoAsync("/submit/command");
            await open.Page.GetByLabel("Files it reads").FillAsync("/nowhere/of-the-form.txt");
            await Assertions.Expect(open.Page.Locator("#f-files-e")).ToContainTextAsync("The project has no file '/nowhere/of-the-form.txt'");
            using (var stored = await dashboard.Api.PutAsync("/hub/v1/files?path=/nowhere/of-the-form.txt", new StringContent("there"))) stored.EnsureSuccessStatusCode();
            await open.Page.GetByLabel("Command", new() { Exact = true }).FillAsync("cat /nowhere/of-the-form.txt");
            await Submit(open).ClickAsync();
            await SucceedsAsync(open);
            open.AssertQuiet();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Analysis_OfADataset_IsSentAndMakesItsTree()
    {
        var name = "Submit" + Guid.NewGuid().ToString("N")[..8];
        var project = await MadeAsync("/hub/v1/projects", new { name });
        var dataset = await MadeAsync($"/hub/v1/projects/{project}/datasets", new { description = "of the form" });
        using (var profiles = await dashboard.Api.PutAsync($"/hub/v1/projects/{project}/datasets/{dataset}/profiles/files", new StringContent("ST\ta\tb\tc\n1\t1\t1\t1\n2\t1\t1\t2\n3\t1\t2\t2\n"))) profiles.EnsureSuccessStatusCode();
        await using var open = await dashboard.OpenAsync("/submit/analysis");
        await open.Page.Locator("#f-project").FillAsync(project);
        await open.Page.Locator("#f-dataset").FillAsync(Guid.NewGuid().ToString());
        await Assertions.Expect(open.Page.Locator("#f-dataset-e")).ToContainTextAsync("no dataset with this id");
        await open.Page.Locator("#f-dataset").FillAsync(dataset);
        await Assertions.Expect(open.Page.Locator("#f-dataset-e")).ToHaveCountAsync(0);
        await open.Page.GetByLabel("Loci that may differ").FillAsync("2");
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("\"goeburst\"");
        await Submit(open).ClickAsync();
        var job = await SucceedsAsync(open);
        Assert.Equal(project, (string?)job["project"]);
        var made = JsonNode.Parse(await dashboard.Api.GetStringAsync($"/hub/v1/projects/{project}/datasets/{dataset}/inferences"))!.AsArray();
        Assert.Equal("goeburst", (string?)Assert.Single(made)!["algorithm"]);
        open.AssertQuiet();

        async Task<string> MadeAsync(string path, object body)
        {
            using var answer = await dashboard.Api.PostAsJsonAsync(path, body);
            answer.EnsureSuccessStatusCode();
            return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["id"]!;
        }
    }

    [Fact]
    public async Task Address_FillsInWhatOurPagesLinkWithAndNothingElse()
    {
        const string Attack = "';touch owned;'";
        await using var open = await dashboard.OpenAsync($"/submit/analysis?project=of-a-link&priority={Uri.EscapeDataString(Attack)}&dataset={Uri.EscapeDataString(Attack)}");
        await Assertions.Expect(open.Page.Locator("#f-project")).ToHaveValueAsync("of-a-link");
        await Assertions.Expect(open.Page.Locator("#f-priority")).ToHaveValueAsync("255");
        await Assertions.Expect(open.Page.Locator("#f-dataset")).ToHaveValueAsync("");
        await Assertions.Expect(open.Page.Locator("#command")).Not.ToContainTextAsync("owned");

        await open.GoAsync("/submit/mapreduce?inputPath=project:///a%20b.txt&mapperName=of-a-link.sh&title=%C2%A7%C2%A7JOBHUB_TOKEN%C2%A7%C2%A7&outputPath=s3://theirs/out");
        await Assertions.Expect(open.Page.GetByLabel("Input path")).ToHaveValueAsync("project:///a b.txt");
        await Assertions.Expect(open.Page.GetByLabel("Mapper", new() { Exact = true })).ToHaveValueAsync("of-a-link.sh");
        await Assertions.Expect(open.Page.GetByLabel("Output path")).ToHaveValueAsync("");
        await Assertions.Expect(open.Page.GetByLabel("Title")).ToHaveValueAsync("");

        // What is typed into the fields themselves is text of the command too.
        await open.GoAsync("/submit/analysis");
        await open.Page.Locator("#f-priority").FillAsync(Attack);
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("?priority=%27%3Btouch%20owned%3B%27");
        open.AssertQuiet();
    }

    [Fact]
    public async Task Mistakes_AreShownAtTheirFields_AndSubmitLeadsToTheFirst()
    {
        await using var open = await dashboard.OpenAsync("/submit/command");
        await open.Page.GetByLabel("Priority").FillAsync("999");
        await Assertions.Expect(open.Page.Locator("#f-priority-e")).ToHaveTextAsync("0 to 255.");
        await Submit(open).ClickAsync();
        await Assertions.Expect(open.Page.Locator("#f-command")).ToBeFocusedAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Alert).Filter(new() { HasText = "Fix 2 fields" })).ToBeVisibleAsync();
        await open.ShootAsync("submit-mistakes");

        // What only the hub knows is told at its field too.
        await open.Page.GetByLabel("Priority").FillAsync("255");
        await open.Page.GetByLabel("Command", new() { Exact = true }).FillAsync("true");
        await open.Page.GetByLabel("Memory").FillAsync("lots");
        await Submit(open).ClickAsync();
        await Assertions.Expect(open.Page.Locator("#f-memory-e")).ToContainTextAsync("must be an amount");
        await Assertions.Expect(open.Page.Locator("#f-memory")).ToBeFocusedAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Tree_OfTwoCommands_IsMadeAndRuns()
    {
        await using var open = await dashboard.OpenAsync("/submit/farm");
        await open.Page.GetByLabel("Title").FillAsync("Shot <b>12</b>");
        await open.Page.GetByLabel("Commands").FillAsync("true\necho two");
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("{\"parent\": '\"$GROUP\"'");
        await Submit(open).ClickAsync();
        var job = await SucceedsAsync(open);
        Assert.Equal((2, "Shot <b>12</b>"), ((int)job["leaves"]!["total"]!, (string?)job["title"]));
        open.AssertQuiet();
    }

    private static ILocator Submit(OpenPage open) => open.Page.Locator("button[form=submit]");

    private async Task<JsonNode> SucceedsAsync(OpenPage open)
    {
        await open.Page.WaitForURLAsync(address => address.Contains("/jobs/", StringComparison.Ordinal));
        var id = new Uri(open.Page.Url).Segments[^1];
        JsonNode? job = null;
        await Eventually.TrueAsync(async () => (string?)(job = JsonNode.Parse(await dashboard.Api.GetStringAsync($"/hub/v1/jobs/{id}")))!["state"] == "Succeeded", $"{id} succeeds");
        return job!;
    }
}
