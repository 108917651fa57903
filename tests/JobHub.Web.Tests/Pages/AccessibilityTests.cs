using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>Every page for those who see little, who use no mouse, who enlarge, who have colours of their own, and whom motion disturbs. A hub of its own, with something on every page.</summary>
public sealed class AccessibilityTests(AccessibilityTests.Furnished furnished) : IClassFixture<AccessibilityTests.Furnished>
{
    private const string Password = "a-password-for-pages";

    private static readonly string Check = File.ReadAllText(Path.Combine(WebProcess.Source("tests"), "JobHub.Web.Tests", "Pages", "accessibility.js"));

    /// <summary>What scrolls sideways although it is no table, tabs, text of a program, or a drawing.</summary>
    private const string Sideways = """
        () => [...(document.documentElement.scrollWidth > document.documentElement.clientWidth + 1 ? [document.documentElement] : []),
            ...[...document.querySelectorAll('body *')].filter(e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1
                && !e.matches('.tabs, .seg, .code, pre, .log, textarea, input, .measured') && !e.querySelector('table'))]
            .map(e => `${e.scrollWidth} in ${e.clientWidth}: ${e.outerHTML.slice(0, 160)}`)
        """;

    private const string Moving = """
        () => [...document.querySelectorAll('*')].flatMap(e => [null, '::before', '::after'].map(p => [e, getComputedStyle(e, p)]))
            .filter(([, s]) => s.transitionDuration.split(', ').some(d => parseFloat(d) > 0.001) || (s.animationName !== 'none' && s.animationDuration.split(', ').some(d => parseFloat(d) > 0.001)) || s.scrollBehavior === 'smooth')
            .map(([e]) => e.outerHTML.slice(0, 120)).slice(0, 5)
        """;

    // How much of a picture stands out from what is most of it: the mark against its ground.
    private const string Drawn = """
        async png => {
          const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(png), c => c.charCodeAt(0))], { type: 'image/png' }));
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
          canvas.drawImage(bitmap, 0, 0);
          const data = canvas.getImageData(0, 0, bitmap.width, bitmap.height).data;
          const light = i => [0, 1, 2].map(k => data[i + k] / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
          const ground = light(0);
          let out = 0;
          for (let i = 0; i < data.length; i += 4) { const [a, b] = [light(i), ground].sort((p, q) => q - p); if ((a + 0.05) / (b + 0.05) >= 3) out++; }
          return out;
        }
        """;

    static AccessibilityTests() => Assertions.SetDefaultExpectTimeout(30_000);

    [Theory, InlineData(false), InlineData(true)]
    public async Task EveryPage_HasContrastNamesStructureAndTargets(bool dark) => await EachAsync(await furnished.OpenAsync(dark: dark), Check, dark ? "dark" : null);

    [Fact]
    public async Task EveryPage_OnAPhone_HasNamesAndTargets() => await EachAsync(await furnished.OpenAsync(phone: true), Check);

    [Fact]
    public async Task EveryPage_AtTwiceTheSize_ScrollsSidewaysOnlyWithinTablesAndTabs() =>
        await EachAsync(await furnished.OpenAsync(more: static o => (o.ViewportSize, o.DeviceScaleFactor) = (new() { Width = 720, Height = 450 }, 2)), Sideways, "twice");

    [Fact]
    public async Task EveryPage_ForWhomMotionDisturbs_IsStill() => await EachAsync(await furnished.OpenAsync(more: static o => o.ReducedMotion = ReducedMotion.Reduce), Moving);

    [Theory, InlineData(false), InlineData(true)]
    public async Task Marks_WithColoursOfTheReader_AreDrawn(bool dark)
    {
        await using var open = await furnished.OpenAsync(dark: dark, more: static o => o.ForcedColors = ForcedColors.Active);
        foreach (var (path, seen, marks) in ((string, string, string)[])
        [
            ("/jobs", "Succeeded", "main .st svg.s"), ("/", "Capacity", "main .st svg.s"), ($"/jobs/{furnished.Job}", "Counters", ".st.pill svg.s, .legend svg"), ("/jobs", "Succeeded", "main tbody .bar i"),
            ("/", "Capacity", "button#live"), ("/submit/command", "Checked before sending", "main svg.s"),
        ])
        {
            await open.GoAsync(new Uri(furnished.Hub.Hub.Dashboard, path).ToString());
            await open.SeeAsync(seen);
            var found = await open.Page.Locator(marks).AllAsync();
            Assert.NotEmpty(found);
            foreach (var mark in found.Take(12))
            {
                if (await mark.BoundingBoxAsync() is not { Width: > 2, Height: > 2 } box) continue;
                // With some of what is around it.
                var picture = await open.Page.ScreenshotAsync(new() { Clip = new() { X = Math.Max(0, box.X - 3), Y = Math.Max(0, box.Y - 3), Width = box.Width + 6, Height = box.Height + 6 } });
                Assert.True(await open.Page.EvaluateAsync<int>(Drawn, Convert.ToBase64String(picture)) >= 8, $"{path}: {await mark.EvaluateAsync<string>("m => m.outerHTML")} is not drawn");
            }

            await open.ShootAsync($"forced{path.Replace('/', '-')[..Math.Min(8, path.Length)]}{(dark ? "-dark" : "")}");
        }
    }

    private async Task EachAsync(OpenPage open, string script, string? shoot = null)
    {
        await using var _ = open;
        var wrong = new StringBuilder();
        foreach (var (path, seen) in furnished.Pages)
        {
            if (path == "/sign-in") await open.Page.GotoAsync(new Uri(furnished.Hub.Hub.Dashboard, path).ToString());
            else await open.GoAsync(new Uri(furnished.Hub.Hub.Dashboard, path).ToString());
            try
            {
                await open.Page.Locator("main").GetByText(seen).First.WaitForAsync(new() { State = WaitForSelectorState.Attached });
            }
            catch (TimeoutException)
            {
                // The other pages are looked at nevertheless.
                wrong.Append(path).Append(": never shows ").AppendLine(seen);
                continue;
            }

            await Assertions.Expect(open.Page.Locator("main .greys")).ToHaveCountAsync(0);
            if (shoot is not null) await open.ShootAsync($"a11y-{shoot}{path.Replace('/', '-').Split('?')[0]}");
            foreach (var fault in await open.Page.EvaluateAsync<string[]>(script)) wrong.Append(path).Append(": ").AppendLine(fault);
        }

        Assert.True(wrong.Length == 0, wrong.ToString());
        open.AssertQuiet();
    }

    /// <summary>A hub with jobs that succeeded, failed and wait, programs, files, a project and a user, and an admin who looks at it.</summary>
    public sealed class Furnished : IAsyncLifetime
    {
        private string cookie = "";

        public Dashboard Hub { get; } = new();

        public string Job { get; private set; } = "";

        /// <summary>Every page, and what stands on it once it is loaded.</summary>
        public IReadOnlyList<(string Path, string Seen)> Pages { get; private set; } = [];

        public async Task InitializeAsync()
        {
            await Hub.InitializeAsync();
            var api = Hub.Api;
            foreach (var name in (string[])["map.sh", "reduce.sh"]) await SendAsync(HttpMethod.Post, $"/hub/v1/artifacts?name={name}&type=streaming", new StringContent("#!/bin/sh\nexec cat\n"));
            await SendAsync(HttpMethod.Put, "/files?path=/texts/a.txt", new StringContent("one\ntwo\n"));
            await SendAsync(HttpMethod.Put, "/files?path=/table.csv", new StringContent("a,b\n1,2\n"));
            Job = (string)(await SendAsync(HttpMethod.Post, "/api/v1/jobs", JsonContent.Create(new
            {
                nReducers = 1, inputPath = "project:///texts/", inputType = "file/txt", outputPath = "s3://results", mapperName = "map.sh", reducerName = "reduce.sh", title = "Sessions by day",
            })))["id"]!;
            var failed = (string)(await SendAsync(HttpMethod.Post, "/jobs", JsonContent.Create(new { command = "echo on its way; printf '\\033[31mred\\033[0m\\n' >&2; exit 3" })))["job_id"]!;
            var waiting = (string)(await SendAsync(HttpMethod.Post, "/jobs", JsonContent.Create(new { command = "true", gpus = 8 })))["job_id"]!;
            string tree;
            using (var made = await api.PutAsync("/api/jobs", JsonContent.Create(new { title = "A tree" }))) tree = await made.Content.ReadAsStringAsync();
            using (await api.PutAsync("/api/jobs", JsonContent.Create(new { title = "A leaf", parent = long.Parse(tree), command = "true", paused = true })))
            {
            }

            tree = (string)JsonNode.Parse(await api.GetStringAsync($"/hub/v1/jobs?ids={tree}"))!["items"]![0]!["id"]!;

            var project = (string)(await SendAsync(HttpMethod.Post, "/projects", JsonContent.Create(new { name = "Typing", visibility = "private", description = "Samples", users = Array.Empty<string>() })))["id"]!;
            var dataset = (string)(await SendAsync(HttpMethod.Post, $"/projects/{project}/datasets", JsonContent.Create(new { description = "First" })))["id"]!;
            await SendAsync(HttpMethod.Put, $"/projects/{project}/datasets/{dataset}/profiles/files", new StringContent("ST\ta\tb\n1\t1\t1\n2\t1\t2\n"));
            await SendAsync(HttpMethod.Post, "/hub/v1/webhooks", JsonContent.Create(new { url = "https://receiver.example.net/jobhub" }));
            await SendAsync(HttpMethod.Post, "/hub/v1/users", JsonContent.Create(new { name = "ada", role = "admin", password = Password }));
            foreach (var (job, state) in ((string, string)[])[(Job, "Succeeded"), (failed, "Failed")])
                await Eventually.TrueAsync(async () => (string?)JsonNode.Parse(await api.GetStringAsync($"/hub/v1/jobs/{job}"))!["state"] == state, $"{job} {state}", TimeSpan.FromMinutes(2));
            await SignInAsync();
            var worker = Uri.EscapeDataString((string)JsonNode.Parse(await api.GetStringAsync("/hub/v1/workers"))!["items"]![0]!["name"]!);
            Pages =
            [
                ("/", "Capacity"), ("/?as=list", "From (UTC)"), ("/jobs", "Sessions by day"), ("/jobs?state=Canceled&q=none", "Nothing"), ($"/jobs/{Job}", "Counters"), ($"/jobs/{Job}?tab=tasks&task=m-0", "attempt 1"), ($"/jobs/{Job}?tab=io&name=part-00000", "The whole file"),
                ($"/jobs/{Job}?tab=programs", "Part"), ($"/jobs/{Job}?tab=graph", "5 phases"), ($"/jobs/{Job}?group=worker&brush=m-0..m-0", "1 brushed"), ($"/jobs/{failed}?tab=log", "on its way"), ($"/jobs/{failed}?tab=events", "job-ended"),
                ($"/jobs/{tree}", "A leaf"), ($"/jobs/{tree}?tab=graph", "1 job in 1 group"),
                ($"/jobs/{failed}", "Its log"), ($"/jobs/{waiting}", "Why it waits"), ("/jobs/none", "No such job"), ($"/jobs/{failed}/log?task=c-0", "on its way"),
                ("/submit/mapreduce", "Checked before sending"), ("/submit/command", "Checked before sending"), ("/submit/analysis", "Checked before sending"), ("/submit/farm", "Checked before sending"),
                ("/workers", "slots"), ($"/workers?name={worker}", "slots"), ("/artifacts?name=map.sh", "Used by"), ("/files", "table.csv"), ("/files?open=table.csv", "1 rows"), ("/files?path=/none", "Nothing is at"),
                ("/projects", "Typing"), ($"/projects/{project}?dataset={dataset}", "Work out a tree"), ("/events", "Sessions by day"), ("/audit", "user.create"), ("/webhooks", "receiver.example.net"), ("/tokens", "Tokens"), ("/settings", "Postgres answers."),
                ("/settings/users", "ada"), ("/more", "Artifacts"), ("/sign-in", "User name"),
            ];
        }

        public Task DisposeAsync() => Hub.DisposeAsync();

        /// <summary>The admin's browser.</summary>
        public Task<OpenPage> OpenAsync(bool phone = false, bool dark = false, Action<BrowserNewContextOptions>? more = null) => Hub.OpenAsync("/", phone, dark, options =>
        {
            options.StorageState = cookie;
            more?.Invoke(options);
        });

        private async Task SignInAsync()
        {
            await using var open = await Hub.OpenAsync("/");
            await open.Page.GotoAsync(new Uri(Hub.Hub.Dashboard, "/sign-in").ToString());
            await open.Page.GetByLabel("User name").FillAsync("ada");
            await open.Page.GetByLabel("Password").FillAsync(Password);
            await open.Page.GetByRole(AriaRole.Button, new() { Name = "Sign in", Exact = true }).ClickAsync();
            await open.ReadyAsync();
            cookie = await open.Page.Context.StorageStateAsync();
        }

        private async Task<JsonNode> SendAsync(HttpMethod method, string path, HttpContent content)
        {
            using var request = new HttpRequestMessage(method, path) { Content = content };
            using var answer = await Hub.Api.SendAsync(request);
            var text = await answer.Content.ReadAsStringAsync();
            return !answer.IsSuccessStatusCode ? throw new InvalidOperationException($"{path}: {text}") : text.StartsWith('{') ? JsonNode.Parse(text)! : new JsonObject();
        }
    }
}
