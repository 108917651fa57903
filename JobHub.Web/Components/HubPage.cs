using JobHub.Web.Client;
using JobHub.Web.Live;
using JobHub.Web.SignIn;
using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Components;

/// <summary>
/// A page of data: loads when it is shown and when its address changes, again when something happens that concerns it, and when the Api is back.
/// The first bytes of a page are its frame alone; data comes over its connection.
/// </summary>
public abstract class HubPage : ComponentBase, IAsyncDisposable
{
    private readonly CancellationTokenSource gone = new();
    private IDisposable? subscription;
    private bool loading, wanted, once;
    private DateTimeOffset loadedAt;

    [Inject] protected LiveStream Live { get; set; } = default!;

    [Inject] protected NavigationManager Navigation { get; set; } = default!;

    [Inject] protected TimeProvider Clock { get; set; } = default!;

    protected HubPage() => Gone = gone.Token;

    /// <summary>Ends with the page, and may be asked after that.</summary>
    protected CancellationToken Gone { get; }

    /// <summary>Something was loaded: what is shown may be shown as data.</summary>
    protected bool Loaded { get; private set; }

    /// <summary>The Api refused what the page asked for.</summary>
    protected HubRefusedException? Refused { get; private set; }

    /// <summary>How often at most what happens makes the page load anew.</summary>
    protected virtual TimeSpan LoadEvery => TimeSpan.FromSeconds(1);

    /// <summary>Asks the Api for all that the page shows now.</summary>
    protected abstract Task LoadAsync(CancellationToken ct);

    /// <summary>Within <see cref="LoadAsync"/>: what the reader came for is there and is shown, the rest follows.</summary>
    protected void ShowNow()
    {
        Loaded = true;
        StateHasChanged();
    }

    /// <summary>Whether what happened may change what is shown.</summary>
    protected virtual bool Concerns(HubEvent happened) => true;

    protected override Task OnParametersSetAsync()
    {
        if (!RendererInfo.IsInteractive) return Task.CompletedTask;
        subscription ??= Live.Subscribe(batch => InvokeAsync(() => OnEventsAsync(batch)));
        return ReloadAsync();
    }

    /// <summary>What happened, at most four times a second; null: something may have been missed. Loads anew when it concerns the page.</summary>
    protected virtual async Task OnEventsAsync(IReadOnlyList<HubEvent>? batch)
    {
        if (batch is not null && !batch.Any(Concerns)) return;
        if (wanted) return;
        wanted = true;
        var wait = loadedAt + LoadEvery - Clock.GetUtcNow();
        try
        {
            if (wait > TimeSpan.Zero) await Task.Delay(wait, Clock, Gone);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        wanted = false;
        await ReloadAsync();
    }

    /// <summary>Loads now, or right after the loading that is under way.</summary>
    protected async Task ReloadAsync()
    {
        if (loading)
        {
            reload = true;
            return;
        }

        loading = true;
        try
        {
            do
            {
                reload = false;
                await DoAsync(async ct =>
                {
                    Refused = null;
                    await LoadAsync(ct);
                    Loaded = true;
                }, refusal => Refused = refusal);
            }
            while (reload && !gone.IsCancellationRequested);
        }
        finally
        {
            loading = false;
            loadedAt = Clock.GetUtcNow();
        }

        if (!gone.IsCancellationRequested) StateHasChanged();
    }

    /// <summary>Asks the Api for something. Away: the frame says so; session ended: leads to the sign-in; refused: as told.</summary>
    /// <returns>Whether it was done.</returns>
    protected async Task<bool> DoAsync(Func<CancellationToken, Task> ask, Action<HubRefusedException> refused)
    {
        ArgumentNullException.ThrowIfNull(ask);
        ArgumentNullException.ThrowIfNull(refused);
        try
        {
            await ask(Gone);
            Live.SetHere();
            return true;
        }
        catch (HubAwayException away)
        {
            Live.SetAway(away.Message);
        }
        catch (HubRefusedException refusal)
        {
            Live.SetHere();
            refused(refusal);
        }
        catch (SessionEndedException)
        {
            Navigation.NavigateTo(ReturnPath.SignIn("/" + Navigation.ToBaseRelativePath(Navigation.Uri), SignInWords.Ended), forceLoad: true);
        }
        catch (OperationCanceledException) when (gone.IsCancellationRequested)
        {
            // Nobody looks any more.
        }

        return false;
    }

    /// <summary>The same, unless one of these is under way: a button that is pressed twice adds a page once.</summary>
    protected async Task DoOnceAsync(Func<CancellationToken, Task> ask, Action<HubRefusedException> refused)
    {
        if (once) return;
        once = true;
        try
        {
            await DoAsync(ask, refused);
        }
        finally
        {
            once = false;
        }
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        subscription?.Dispose();
        await gone.CancelAsync();
        await DisposePageAsync();
        gone.Dispose();
    }

    /// <summary>What a page holds besides.</summary>
    protected virtual ValueTask DisposePageAsync() => ValueTask.CompletedTask;

    private bool reload;
}
