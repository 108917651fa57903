using System.Net.ServerSentEvents;
using System.Text.Json;
using JobHub.Web.Client;

namespace JobHub.Web.Live;

/// <summary>Whether an open page shows what is.</summary>
public enum LiveState
{
    /// <summary>What happens is shown as it happens.</summary>
    Live,
    /// <summary>The visitor has stopped it.</summary>
    Held,
    /// <summary>The Api does not answer; what is shown was so when it last did.</summary>
    Away,
}

/// <summary>The one event stream of an open page. It begins with the first subscriber, comes back by itself, and ends with the page.</summary>
public sealed partial class LiveStream(HubHttp hub, TimeProvider clock, ILogger<LiveStream> logger) : IAsyncDisposable
{
    /// <summary>How often at most subscribers are told.</summary>
    public static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(250);

    // Beyond this a page is better loaded anew than told one by one.
    private const int Most = 2000;
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(12.5), LongestWait = TimeSpan.FromSeconds(15);

    private readonly Lock gate = new();
    private readonly CancellationTokenSource gone = new();
    private readonly List<Subscription> subscriptions = [];
    private readonly SemaphoreSlim again = new(0, 1);
    private List<HubEvent> waiting = [];
    private bool missed, telling, held, away;
    private Task? reading;
    private long position = -1;

    /// <summary>State or time of the data have changed.</summary>
    public event EventHandler? Changed;

    public LiveState State => away ? LiveState.Away : held ? LiveState.Held : LiveState.Live;

    /// <summary>When the Api last answered.</summary>
    public DateTimeOffset DataAt { get; private set; } = clock.GetUtcNow();

    /// <summary>Why it is away, for the page.</summary>
    public string? Why { get; private set; }

    /// <summary>Tells a subscriber what happens, in batches, and when to load anew (null) because something may have been missed.</summary>
    public IDisposable Subscribe(Func<IReadOnlyList<HubEvent>?, Task> onEvents)
    {
        var subscription = new Subscription(this, onEvents);
        lock (gate)
        {
            subscriptions.Add(subscription);
            reading ??= Task.Run(() => ReadAsync(gone.Token));
        }

        return subscription;
    }

    /// <summary>Stops or goes on showing what happens.</summary>
    public void Hold(bool hold)
    {
        if (held == hold) return;
        held = hold;
        Changed?.Invoke(this, EventArgs.Empty);
        if (!hold) _ = TellAsync();
    }

    /// <summary>The Api did not answer a page.</summary>
    public void SetAway(string why)
    {
        if (away && Why == why) return;
        (away, Why) = (true, why);
        Changed?.Invoke(this, EventArgs.Empty);
    }

    /// <summary>The Api has answered.</summary>
    public void SetHere()
    {
        DataAt = clock.GetUtcNow();
        if (!away) return;
        (away, Why) = (false, null);
        Changed?.Invoke(this, EventArgs.Empty);
    }

    /// <summary>Tries at once instead of at the next turn.</summary>
    public void TryNow()
    {
        if (again.CurrentCount == 0) again.Release();
    }

    public async ValueTask DisposeAsync()
    {
        await gone.CancelAsync();
        if (reading is not null) await reading;
        gone.Dispose();
        again.Dispose();
    }

    private async Task ReadAsync(CancellationToken ct)
    {
        var wait = TimeSpan.FromSeconds(1);
        while (!ct.IsCancellationRequested)
        {
            try
            {
                var begun = position;
                await FollowAsync(() => wait = TimeSpan.FromSeconds(1), ct);
                if (position > begun) continue;
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or JsonException or HubAwayException)
            {
                SetAway("The API does not answer.");
                LogAway(e.Message);
            }
            catch (SessionEndedException)
            {
                // The page's next call leads to the sign-in.
                Miss();
                return;
            }

            try
            {
                await again.WaitAsync(wait, ct);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            wait = TimeSpan.FromTicks(Math.Min(LongestWait.Ticks, wait.Ticks * 2));
        }
    }

    private async Task FollowAsync(Action answered, CancellationToken ct)
    {
        using var silent = CancellationTokenSource.CreateLinkedTokenSource(ct);
        silent.CancelAfter(Silence);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/hub/v1/events");
        if (position >= 0) request.Headers.Add("Last-Event-ID", position.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var answer = await hub.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silent.Token);
        answer.EnsureSuccessStatusCode();
        answered();
        var back = away;
        SetHere();
        if (back) Miss();
        await using var body = await answer.Content.ReadAsStreamAsync(silent.Token);
        await using var heard = new HeardStream(body, () => silent.CancelAfter(Silence));
        await foreach (var item in SseParser.Create(heard, static (_, data) => JsonSerializer.Deserialize<HubEvent>(data, HubHttp.Json)!).EnumerateAsync(silent.Token))
        {
            position = item.Data.Position;
            Add(item.Data);
        }
    }

    private void Add(HubEvent happened)
    {
        DataAt = clock.GetUtcNow();
        lock (gate)
        {
            if (waiting.Count < Most) waiting.Add(happened);
            else missed = true;
            if (telling) return;
            telling = true;
        }

        _ = TellSoonAsync();
    }

    private void Miss()
    {
        lock (gate)
        {
            missed = true;
            if (telling) return;
            telling = true;
        }

        _ = TellSoonAsync();
    }

    private async Task TellSoonAsync()
    {
        try
        {
            await Task.Delay(Beat, clock, gone.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            return;
        }

        await TellAsync();
    }

    private async Task TellAsync()
    {
        IReadOnlyList<HubEvent>? batch;
        Subscription[] told;
        lock (gate)
        {
            telling = false;
            if (held || (waiting.Count == 0 && !missed)) return;
            batch = missed ? null : waiting;
            (waiting, missed) = ([], false);
            told = [.. subscriptions];
        }

        foreach (var subscription in told)
        {
            try
            {
                await subscription.OnEvents(batch);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                // The page has gone meanwhile.
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "The event stream is away: {Why}")]
    private partial void LogAway(string why);

    private sealed class Subscription(LiveStream stream, Func<IReadOnlyList<HubEvent>?, Task> onEvents) : IDisposable
    {
        public Func<IReadOnlyList<HubEvent>?, Task> OnEvents { get; } = onEvents;

        public void Dispose()
        {
            lock (stream.gate) stream.subscriptions.Remove(this);
        }
    }
}
