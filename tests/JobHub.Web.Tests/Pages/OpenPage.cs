using System.Collections.Concurrent;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>A page of the dashboard in a real browser, with all that its console complained of.</summary>
public sealed class OpenPage : IAsyncDisposable
{
    private readonly IBrowserContext visitor;
    private readonly ConcurrentQueue<string> complaints = new();

    private OpenPage(IBrowserContext visitor, IPage page)
    {
        (this.visitor, Page) = (visitor, page);
        page.Console += (_, said) =>
        {
            // A connection that breaks because a test breaks it is written here by the browser itself.
            if (said.Type is "error" && !said.Text.Contains("ERR_CONNECTION", StringComparison.Ordinal) && !said.Text.Contains("WebSocket", StringComparison.Ordinal)) complaints.Enqueue(said.Text);
        };
        page.PageError += (_, error) => complaints.Enqueue(error);
    }

    public IPage Page { get; }

    /// <summary>Errors of scripts and what the page's own rules refused.</summary>
    public IReadOnlyList<string> Complaints => [.. complaints];

    public static async Task<OpenPage> OpenAsync(IBrowser browser, Uri address, bool phone = false, bool dark = false, Action<BrowserNewContextOptions>? more = null)
    {
        var options = new BrowserNewContextOptions
        {
            ViewportSize = phone ? new() { Width = 390, Height = 844 } : new() { Width = 1440, Height = 900 }, ColorScheme = dark ? ColorScheme.Dark : ColorScheme.Light, AcceptDownloads = true,
        };
        more?.Invoke(options);
        var visitor = await browser.NewContextAsync(options);
        visitor.SetDefaultTimeout(30_000);
        var opened = new OpenPage(visitor, await visitor.NewPageAsync());
        await opened.GoAsync(address.ToString());
        return opened;
    }

    /// <summary>Loads an address and waits until the page is open, its connection included.</summary>
    public async Task GoAsync(string address)
    {
        await Page.GotoAsync(new Uri(new Uri(Page.Url is "about:blank" ? address : Page.Url), address).ToString());
        await ReadyAsync();
    }

    /// <summary>Until the frame answers: live, held or away.</summary>
    public Task ReadyAsync() => Page.Locator("button#live").WaitForAsync();

    /// <summary>Waits until a piece of text is on the page.</summary>
    public Task SeeAsync(string text) => Page.GetByText(text).First.WaitForAsync();

    /// <summary>Keeps a picture of the page as it is.</summary>
    public Task ShootAsync(string name) => Page.ScreenshotAsync(new() { Path = Path.Combine(Dashboard.Screenshots, name + ".png") });

    /// <summary>No error of a script and nothing that the page's own rules refused.</summary>
    public void AssertQuiet() => Assert.Empty(Complaints);

    /// <summary>Nothing stands out of the page to the right.</summary>
    public async Task AssertFitsAsync() =>
        Assert.Equal(0, await Page.EvaluateAsync<int>("() => Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)"));

    public async ValueTask DisposeAsync() => await visitor.DisposeAsync();
}
