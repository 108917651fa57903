using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Http.Access;

/// <summary>Section <c>JobHub:Auth:SignIn</c>: how many sign-ins may fail.</summary>
public sealed class SignInOptions : IValidatableObject
{
    /// <summary>Failures count for this long.</summary>
    [Range(typeof(TimeSpan), "00:00:10", "1.00:00:00")]
    public TimeSpan Window { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Failures from one address,</summary>
    [Range(1, 100_000)]
    public int FailuresByAddress { get; init; } = 20;

    /// <summary>and for one name, wherever they come from.</summary>
    [Range(1, 100_000)]
    public int FailuresByName { get; init; } = 10;

    /// <summary>Addresses of proxies and dashboards, whose <c>X-Forwarded-For</c> says for whom they ask. Loopback is one.</summary>
    public IList<string> TrustedProxies { get; } = [];

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        foreach (var proxy in TrustedProxies)
        {
            if (!IPAddress.TryParse(proxy, out _)) yield return new($"JobHub:Auth:SignIn:TrustedProxies: \"{proxy}\" is not an IP address.", [nameof(TrustedProxies)]);
        }
    }
}

/// <summary>
/// Holds back whoever guesses passwords: failed sign-ins are counted by address and by name over a sliding window, in the memory of this Api. An attempt counts from its beginning, so that
/// many at once are no way around, and is taken back when it succeeds.
/// </summary>
public sealed class SignInLimit(IOptions<SignInOptions> options, TimeProvider clock)
{
    private const int MostKeys = 20_000;

    private readonly Lock gate = new();
    private readonly Dictionary<string, List<long>> attempts = new(StringComparer.Ordinal);
    private readonly HashSet<IPAddress> proxies = [.. options.Value.TrustedProxies.Select(IPAddress.Parse).Select(Plain)];

    /// <summary>An attempt under way.</summary>
    public sealed class Attempt
    {
        private readonly SignInLimit limit;

        internal Attempt(SignInLimit limit, string[] keys, long at) => (this.limit, Keys, At) = (limit, keys, at);

        internal string[] Keys { get; }

        internal long At { get; }

        /// <summary>It was no failure.</summary>
        public void Succeeded() => limit.TakeBack(this);
    }

    /// <summary>Begins an attempt.</summary>
    /// <param name="name">The name that is tried; null where none is.</param>
    /// <exception cref="RefusedException">429: there were too many.</exception>
    public Attempt Begin(HttpContext context, string? name)
    {
        ArgumentNullException.ThrowIfNull(context);
        var (window, now) = (options.Value.Window, clock.GetTimestamp());
        var keys = name is null ? new[] { AddressKey(context) } : [AddressKey(context), "n:" + name];
        lock (gate)
        {
            var wait = TimeSpan.Zero;
            foreach (var key in keys)
            {
                if (!attempts.TryGetValue(key, out var times)) continue;
                Forget(times, now);
                var most = key[0] == 'a' ? options.Value.FailuresByAddress : options.Value.FailuresByName;
                if (times.Count >= most && window - clock.GetElapsedTime(times[^most], now) is var rest && rest > wait) wait = rest;
            }

            if (wait > TimeSpan.Zero) throw Refusal(wait);
            MakeRoom(now);
            foreach (var key in keys)
            {
                if (!attempts.TryGetValue(key, out var times)) attempts[key] = times = [];
                times.Add(now);
            }
        }

        return new(this, keys, now);
    }

    private static RefusedException Refusal(TimeSpan wait)
    {
        var seconds = Math.Max(1, (int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        return new(new Problem(429, "too-many-sign-ins", $"Too many sign-ins have failed. Try again in {seconds} s.") { Headers = new Dictionary<string, string> { ["Retry-After"] = seconds } });
    }

    private void TakeBack(Attempt attempt)
    {
        lock (gate)
        {
            foreach (var key in attempt.Keys)
            {
                if (attempts.TryGetValue(key, out var times) && times.Remove(attempt.At) && times.Count == 0) attempts.Remove(key);
            }
        }
    }

    private void Forget(List<long> times, long now) => times.RemoveAll(time => clock.GetElapsedTime(time, now) >= options.Value.Window);

    /// <summary>Keys are an attacker's to choose: when there are too many, those that count no more go, else those that were tried least.</summary>
    private void MakeRoom(long now)
    {
        if (attempts.Count < MostKeys) return;
        foreach (var (key, times) in attempts.ToArray())
        {
            Forget(times, now);
            if (times.Count == 0) attempts.Remove(key);
        }

        if (attempts.Count < MostKeys / 2) return;
        foreach (var (key, _) in attempts.OrderBy(static one => one.Value.Count).ThenBy(static one => one.Value[^1]).Take(MostKeys / 4).ToArray()) attempts.Remove(key);
    }

    /// <summary>Where a sign-in comes from: what a proxy or dashboard says, where one asks for somebody.</summary>
    public IPAddress AddressOf(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var address = Plain(context.Connection.RemoteIpAddress ?? IPAddress.None);
        // Only the last address is the proxy's own word.
        return (IPAddress.IsLoopback(address) || proxies.Contains(address)) && context.Request.Headers["X-Forwarded-For"].LastOrDefault()?.Split(',')[^1].Trim() is { } said && IPAddress.TryParse(said, out var behind)
            ? Plain(behind) : address;
    }

    private string AddressKey(HttpContext context)
    {
        var address = AddressOf(context);
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return "a:" + address;
        // Whoever has one IPv6 address has the 2^64 beside it.
        return "a:" + Convert.ToHexString(address.GetAddressBytes().AsSpan(0, 8));
    }

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
