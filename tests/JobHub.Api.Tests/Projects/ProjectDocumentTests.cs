using JobHub.Api.Tests.Accounts;
using JobHub.Engine.Accounts;
using JobHub.Testing;

namespace JobHub.Api.Tests.Projects;

/// <summary>docs/api/projects.md and docs/api/analyses.md, which goes on where the first ends.</summary>
public sealed class ProjectDocumentTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    [Fact]
    public async Task Pages_SentAsPrinted_AreAnsweredAsPrinted()
    {
        using var client = fixture.Hub.NewClient((await fixture.Hub.TokenAsync(await fixture.Hub.AccountAsync(AccountRole.Member, "mia"))).Token);
        await fixture.Hub.AccountAsync(AccountRole.Member, "noah");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var page = new PrintedPage(client);

        Assert.InRange(await page.SendAsync("projects.md"), 13, int.MaxValue);
        Assert.InRange(await page.SendAsync("analyses.md", EndedAsync), 15, int.MaxValue);

        // A job is printed as it is once it has ended.
        async Task EndedAsync(HttpRequestMessage request)
        {
            var path = request.RequestUri!.OriginalString.Split('/');
            if (request.Method != HttpMethod.Get || path is not ["", "projects", _, "jobs", _]) return;
            await Eventually.TrueAsync(async () =>
            {
                foreach (var attempt in await worker.ClaimAsync(16)) await worker.AnalyseAsync(attempt);
                var job = await (await client.GetAsync(request.RequestUri)).JsonAsync();
                return (bool)job["completed"]! || (bool)job["cancelled"]!;
            }, "the job has ended");
        }
    }
}
