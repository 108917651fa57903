using System.Net.Http.Json;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>The page of a log, over what real programs printed.</summary>
[Collection(PageCollection.Name)]
public class LogPageTests(Dashboard dashboard)
{
    static LogPageTests() => Assertions.SetDefaultExpectTimeout(30_000);

    [Theory, InlineData(false, false), InlineData(false, true), InlineData(true, false)]
    public async Task Log_OfHostileLines_IsTextAndColours(bool phone, bool dark)
    {
        var id = await RunAsync("""
            printf '<img src=x onerror=alert(1)><script>document.title="owned"</script>\n'
            printf 'plain \033[31mred\033[0m \033[1;92mbold green\033[0m \033[38;5;208morange\033[0m \033[48;2;80;120;240mon blue\033[0m \033[2J cleared\n'
            printf 'right to left \342\200\256 cod.exe\n'
            printf 'nul \000 and \377\376 no utf-8\n'
            i=0; while [ $i -lt 1200 ]; do printf 'long line '; i=$((i+1)); done; printf '\n'
            i=0; while [ $i -lt 40 ]; do echo "$i  sessions 84,120  open 12,604"; i=$((i+1)); done
            echo the last line
            """);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}/log", phone, dark);
        await open.SeeAsync("the last line");
        var page = open.Page;
        await Assertions.Expect(page.Locator("[role=log]").GetByText("<img src=x onerror=alert(1)><script>")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".log img, .log script")).ToHaveCountAsync(0);
        await Assertions.Expect(page.Locator(".log .a-r").First).ToHaveTextAsync("red");
        await Assertions.Expect(page.Locator(".log .a-g.a-bold")).ToHaveTextAsync("bold green");
        await page.Locator(".log").EvaluateAsync("log => { log.scrollTop = 0; }");
        await open.ShootAsync($"log{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await Assertions.Expect(page.GetByText("␛[2J cleared")).ToBeVisibleAsync();
        await Assertions.Expect(page.GetByText("right to left ␛ cod.exe")).ToBeVisibleAsync();
        await Assertions.Expect(page.GetByText("nul ␛ and")).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new("more characters") }).ClickAsync();
        await Assertions.Expect(page.Locator(".ln .whole")).ToHaveCountAsync(0);
        Assert.DoesNotContain("owned", await page.TitleAsync(), StringComparison.Ordinal);
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Log_OfManyLines_IsAWindowThatIsSearchedWholeAndLinkedTo()
    {
        var id = await RunAsync("i=0; while [ $i -lt 30000 ]; do echo \"line $i of the log\"; i=$((i+1)); done");
        await using var open = await dashboard.OpenAsync($"/jobs/{id}/log");
        var page = open.Page;
        await open.SeeAsync("line 29999 of the log");
        Assert.InRange(await page.Locator(".ln").CountAsync(), 1, 3000);

        await page.Keyboard.PressAsync("/");
        await page.Keyboard.TypeAsync("line 77 of");
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(page.Locator("#matches")).ToHaveTextAsync("1 of 1");
        await Assertions.Expect(page.Locator(".ln.at mark")).ToHaveTextAsync("line 77 of");
        await Assertions.Expect(page.Locator(".ln.at")).ToBeInViewportAsync();
        await open.ShootAsync("log-search");

        await page.Locator("#find-log").FillAsync("5 of the log");
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(page.Locator("#matches")).ToHaveTextAsync("1 of 3,000");
        await page.Keyboard.PressAsync("Escape");
        await page.Keyboard.PressAsync("n");
        await Assertions.Expect(page.Locator("#matches")).ToHaveTextAsync("2 of 3,000");
        await page.Keyboard.PressAsync("Shift+N");
        await page.Keyboard.PressAsync("Shift+N");
        await Assertions.Expect(page.Locator("#matches")).ToHaveTextAsync("3,000 of 3,000");
        await Assertions.Expect(page.Locator(".ln.at")).ToContainTextAsync("line 29995 of the log");
        Assert.InRange(await page.Locator(".ln").CountAsync(), 1, 2000);

        var link = await page.Locator(".ln.at a").GetAttributeAsync("href");
        await open.GoAsync(link!);
        await Assertions.Expect(page.Locator(".ln.at")).ToContainTextAsync("line 29995 of the log");
        await Assertions.Expect(page.Locator(".ln.at")).ToBeInViewportAsync();
        var waited = page.WaitForDownloadAsync();
        await page.Locator("#download").ClickAsync();
        var download = await waited;
        Assert.EndsWith(".1.log", download.SuggestedFilename, StringComparison.Ordinal);
        Assert.EndsWith("line 29999 of the log\n", await File.ReadAllTextAsync((await download.PathAsync())!), StringComparison.Ordinal);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Log_WhileItIsPrinted_IsFollowedUntilTheReaderHoldsIt()
    {
        var id = await SubmitAsync("echo begun; while :; do i=0; while [ $i -lt 20 ]; do echo tick; i=$((i+1)); done; sleep 0.2; done");
        try
        {
            await using var open = await dashboard.OpenAsync($"/jobs/{id}/log");
            var page = open.Page;
            await page.Locator(".ln").Nth(100).WaitForAsync(new() { State = WaitForSelectorState.Attached });
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveAttributeAsync("aria-checked", "true");
            await page.Keyboard.PressAsync("f");
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveAttributeAsync("aria-checked", "false");
            await open.SeeAsync("since you look here");
            await open.ShootAsync("log-held");
            await page.Keyboard.PressAsync("Shift+G");
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveAttributeAsync("aria-checked", "true");
            using (var cancel = await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null)) cancel.EnsureSuccessStatusCode();
            await open.SeeAsync("complete");
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveCountAsync(0);
            open.AssertQuiet();
        }
        finally
        {
            using var cancel = await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
            await EndAsync(id);
        }
    }

    [Fact]
    public async Task Log_OfAWholeJob_IsFollowedSearchedAndReadFromEitherEnd()
    {
        var id = await MapsAsync("i=0; while [ $i -lt 3000 ]; do echo \"line $i of $1\"; i=$((i+1)); done; while :; do echo \"tick of $1\"; sleep 0.2; done");
        try
        {
            await using var open = await dashboard.OpenAsync($"/jobs/{id}/log");
            var page = open.Page;
            await Assertions.Expect(page.GetByText("tick of").First).ToBeVisibleAsync();
            await Assertions.Expect(page.Locator("#of-job")).ToContainTextAsync("#");
            await Assertions.Expect(page.Locator("#of-job")).ToHaveAttributeAsync("href", $"/jobs/{id}");
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveAttributeAsync("aria-checked", "true");
            // It goes on by itself; a prefix stands where the attempt changes.
            var seen = await page.Locator(".ln").Filter(new() { HasText = "tick of" }).CountAsync();
            await page.Locator(".ln").Filter(new() { HasText = "tick of" }).Nth(seen + 5).WaitForAsync(new() { State = WaitForSelectorState.Attached });
            Assert.Equal(0, await page.EvaluateAsync<int>("() => { const names = [...document.querySelectorAll('.ln > a')].map(a => [a.textContent, a.title.split(':')[0]]); return names.filter(([shown, own], i) => (shown !== '') !== (i === 0 || names[i - 1][1] !== own)).length; }"));
            await open.ShootAsync("log-merged-live");
            await page.Keyboard.PressAsync("f");
            await open.SeeAsync("new lines since you look here");

            await page.Keyboard.PressAsync("/");
            await page.Keyboard.TypeAsync("line 77 of");
            await page.Keyboard.PressAsync("Enter");
            await Assertions.Expect(page.Locator("#matches")).ToHaveTextAsync(new System.Text.RegularExpressions.Regex("^1 of [1-9]$"));
            await Assertions.Expect(page.Locator(".ln.at mark")).ToHaveTextAsync("line 77 of");
            await Assertions.Expect(page.Locator(".ln.at")).ToBeInViewportAsync();
            await open.ShootAsync("log-merged-search");
            // Scrolling back comes to the beginning, in pieces.
            await Assertions.Expect(page.Locator(".log .edge").First).ToBeAttachedAsync();
            await page.GetByRole(AriaRole.Button, new() { Name = "Jump to end" }).ClickAsync();
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveAttributeAsync("aria-checked", "true");
            var first = await page.Locator(".ln").First.InnerTextAsync();
            await page.Locator(".log").EvaluateAsync("log => { log.scrollTop = 0; }");
            await Assertions.Expect(page.Locator(".ln").First).Not.ToHaveTextAsync(first);
            await Assertions.Expect(page.Locator("[data-key=f]")).ToHaveAttributeAsync("aria-checked", "false");
            await page.GetByRole(AriaRole.Button, new() { Name = "From the beginning" }).ClickAsync();
            await Assertions.Expect(page.Locator(".ln").First).ToContainTextAsync("line 0 of");
            Assert.InRange(await page.Locator(".ln").CountAsync(), 1, 2000);

            await page.Keyboard.PressAsync("Shift+G");
            using (var cancel = await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null)) cancel.EnsureSuccessStatusCode();
            await open.SeeAsync("Complete, in the order of tasks");
            open.AssertQuiet();
        }
        finally
        {
            using var cancel = await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
            await EndAsync(id);
        }
    }

    [Theory, InlineData(false, true), InlineData(true, false)]
    public async Task Log_OfAWholeJobThatEnded_FitsWhateverItsLinesHold(bool phone, bool dark)
    {
        var id = await MapsAsync("""
            printf '<img src=x onerror=alert(1)> of %s\n' "$1"
            printf '\033[31mred\033[0m and right to left \342\200\256 cod.exe\n'
            i=0; while [ $i -lt 1000 ]; do printf 'long line '; i=$((i+1)); done; printf '\n'
            echo "the last of $1"; exit 3
            """);
        await EndAsync(id);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}/log", phone, dark);
        var page = open.Page;
        await open.SeeAsync("the last of");
        await Assertions.Expect(page.Locator(".log img")).ToHaveCountAsync(0);
        await Assertions.Expect(page.Locator(".log .a-r").First).ToHaveTextAsync("red");
        await page.Locator(".log").EvaluateAsync("log => { log.scrollTop = 0; }");
        await Assertions.Expect(page.Locator(".log").GetByText("<img src=x onerror=alert(1)>").First).ToBeVisibleAsync();
        await open.ShootAsync($"log-merged{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Log_OfAJobThatIsNotThere_SaysSo()
    {
        await using var open = await dashboard.OpenAsync($"/jobs/{Guid.NewGuid()}/log");
        await open.SeeAsync("No such job");
        open.AssertQuiet();
    }

    /// <summary>A job of three maps, each of which runs a script once, its standard error being the log; <c>$1</c> is what it is about.</summary>
    private async Task<string> MapsAsync(string script)
    {
        var (tag, folder) = (Guid.NewGuid().ToString("N")[..8], Directory.CreateTempSubdirectory("jobhub-log-").FullName);
        await File.WriteAllTextAsync(Path.Combine(folder, "in.txt"), "alpha\nbravo\ngamma\n");
        foreach (var (name, text) in ((string, string)[])[($"says-{tag}.sh", $"#!/bin/sh\nread first\nset -- \"$first\"\nexec 1>&2\n{script}\n"), ($"cat-{tag}.sh", "#!/bin/sh\nexec cat\n")])
        {
            using var program = await dashboard.Api.PostAsync($"/hub/v1/artifacts?name={name}&type=streaming", new StringContent(text));
            program.EnsureSuccessStatusCode();
        }

        using var answer = await dashboard.Api.PostAsJsonAsync("/api/v1/jobs", new
        {
            nReducers = 1, inputPath = $"file://{folder}/in.txt", inputType = "file/txt", splitSize = 6, outputPath = $"file://{folder}/out", mapperName = $"says-{tag}.sh", reducerName = $"cat-{tag}.sh", maxAttempts = 1, speculative = false,
            title = $"says <b>something</b> {tag}",
        });
        answer.EnsureSuccessStatusCode();
        return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["id"]!;
    }

    private async Task<string> RunAsync(string command)
    {
        var id = await SubmitAsync(command);
        await EndAsync(id);
        return id;
    }

    private Task EndAsync(string id) =>
        Eventually.TrueAsync(async () => (string?)(await dashboard.Api.GetFromJsonAsync<JsonNode>($"/hub/v1/jobs/{id}"))!["state"] is "Succeeded" or "Failed" or "Canceled", "the job ends", TimeSpan.FromMinutes(2));

    private async Task<string> SubmitAsync(string command)
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new { command });
        answer.EnsureSuccessStatusCode();
        return answer.Headers.Location!.ToString().Split('/')[^1];
    }
}
