using System.Net.Http.Headers;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>The tests of pages share one whole hub, worker included, and one Chromium.</summary>
[CollectionDefinition(Name)]
public sealed class PageCollection : ICollectionFixture<Dashboard>
{
    public const string Name = "pages";
}

/// <summary>A whole hub of real processes with its dashboard, and Chromium to look at it.</summary>
public sealed class Dashboard : IAsyncLifetime
{
    // Debian's own; no sandbox for root, nothing that calls home.
    private static readonly string[] Arguments =
        ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

    private IPlaywright playwright = null!;
    private IBrowser browser = null!;

    public HubProcess Hub { get; private set; } = null!;

    /// <summary>Calls of the Api with the admin's token.</summary>
    public HttpClient Api { get; private set; } = null!;

    /// <summary>Where screenshots are put; not kept by git.</summary>
    public static string Screenshots { get; } = Directory.CreateDirectory(Path.Combine(WebProcess.Source("tests"), "JobHub.Web.Tests", "screenshots")).FullName;

    public async Task InitializeAsync()
    {
        Hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        Api = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = Hub.Api };
        Api.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Hub.AdminToken);
        (playwright, browser) = await LaunchAsync();
    }

    public async Task DisposeAsync()
    {
        await browser.DisposeAsync();
        playwright.Dispose();
        Api.Dispose();
        await Hub.DisposeAsync();
    }

    internal static async Task<(IPlaywright Playwright, IBrowser Browser)> LaunchAsync()
    {
        var playwright = await Playwright.CreateAsync();
        return (playwright, await playwright.Chromium.LaunchAsync(new() { ExecutablePath = "/usr/bin/chromium", Args = Arguments }));
    }

    /// <summary>A visitor with cookies and storage of his own.</summary>
    /// <param name="phone">A telephone's width.</param>
    /// <param name="dark">The system's wish.</param>
    /// <param name="more">What else is special about his browser.</param>
    public Task<OpenPage> OpenAsync(string path, bool phone = false, bool dark = false, Action<BrowserNewContextOptions>? more = null) => OpenPage.OpenAsync(browser, new Uri(Hub.Dashboard, path), phone, dark, more);
}
