namespace JobHub.Api.Delivery;

/// <summary>Waits that double, with jitter of a quarter, up to a longest.</summary>
internal sealed class Backoff(TimeSpan first, TimeSpan longest)
{
    private int tries;

    public TimeSpan Next() => Of(tries++, first, longest);

    public void Reset() => tries = 0;

    /// <param name="tries">Those that failed before, from 0.</param>
    public static TimeSpan Of(int tries, TimeSpan first, TimeSpan longest)
    {
        var wait = Math.Min(longest.TotalSeconds, first.TotalSeconds * Math.Pow(2, Math.Min(tries, 40)));
        return TimeSpan.FromSeconds(wait * (0.75 + Random.Shared.NextDouble() / 2));
    }
}
