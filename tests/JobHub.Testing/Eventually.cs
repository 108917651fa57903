namespace JobHub.Testing;

/// <summary>Waits for something that will come. The limit is only for the day it does not: it is generous, and no test measures time with it.</summary>
public static class Eventually
{
    private static readonly TimeSpan DefaultLimit = TimeSpan.FromSeconds(60);

    /// <summary>Asks again until the answer is true.</summary>
    public static Task TrueAsync(Func<Task<bool>> ask, string what, TimeSpan? limit = null, CancellationToken cancellationToken = default) =>
        GetAsync(ask, answer => answer, what, limit, cancellationToken);

    /// <inheritdoc cref="TrueAsync(Func{Task{bool}}, string, TimeSpan?, CancellationToken)" />
    public static Task TrueAsync(Func<bool> ask, string what, TimeSpan? limit = null, CancellationToken cancellationToken = default) =>
        GetAsync(() => Task.FromResult(ask()), answer => answer, what, limit, cancellationToken);

    /// <summary>Asks again until the answer is good, and returns it. Exceptions of the question count as "not yet".</summary>
    public static async Task<T> GetAsync<T>(
        Func<Task<T>> ask, Func<T, bool> good, string what, TimeSpan? limit = null, CancellationToken cancellationToken = default)
    {
        var clock = TimeProvider.System;
        var start = clock.GetTimestamp();
        var wait = TimeSpan.FromMilliseconds(5);
        while (true)
        {
            string seen;
            Exception? cause = null;
            try
            {
                var answer = await ask();
                if (good(answer)) return answer;
                seen = answer?.ToString() ?? "null";
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                (seen, cause) = (e.Message, e);
            }
            if (clock.GetElapsedTime(start) > (limit ?? DefaultLimit)) throw new TimeoutException($"Never came: {what}. Last seen: {seen}", cause);
            await Task.Delay(wait, cancellationToken);
            wait = TimeSpan.FromMilliseconds(Math.Min(200, wait.TotalMilliseconds * 1.5));
        }
    }
}
