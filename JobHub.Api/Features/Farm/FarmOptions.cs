using System.Text.RegularExpressions;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Farm;

/// <summary>Section <c>JobHub:Farm</c>.</summary>
public sealed class FarmOptions
{
    /// <summary>Regular expressions of the commands that users may run who have no list of their own in <see cref="UserCommands"/>; none = every command.</summary>
    public IReadOnlyList<string> Commands { get; init; } = [];

    /// <summary>The same by user: <c>JobHub:Farm:UserCommands:render:0</c>. Who has a list is measured by it alone.</summary>
    public Dictionary<string, string[]> UserCommands { get; init; } = [];
}

/// <summary>Which commands a user's jobs may have. An expression must match the whole command; <c>.</c> is no line end, so what it leaves open cannot begin a second line.</summary>
public sealed class CommandRules
{
    private readonly Regex[] others;
    private readonly Dictionary<string, Regex[]> byUser;

    public CommandRules(IOptions<FarmOptions> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        others = [.. options.Value.Commands.Select(static pattern => Whole("Commands", pattern))];
        byUser = options.Value.UserCommands.ToDictionary(static list => list.Key, static list => list.Value.Select(pattern => Whole($"UserCommands:{list.Key}", pattern)).ToArray(), StringComparer.Ordinal);
    }

    /// <summary>There is nothing to check.</summary>
    public bool AllowAll => others.Length == 0 && byUser.Count == 0;

    /// <summary>Refuses a command that the user's jobs may not have. A group has none.</summary>
    public void Check(string user, string command, string field)
    {
        ArgumentNullException.ThrowIfNull(user);
        if (string.IsNullOrEmpty(command) || AllowAll) return;
        var own = byUser.GetValueOrDefault(user);
        if (own is null ? others.Length == 0 || others.Any(rule => rule.IsMatch(command)) : own.Any(rule => rule.IsMatch(command))) return;
        throw new RefusedException(403, "command-not-allowed", $"The commands of {(user.Length == 0 ? "jobs without a user" : $"user '{(user.Length <= 64 ? user : user[..64] + "…")}'")} are limited to a list (JobHub:Farm), and this one is not in it.", field);
    }

    private static Regex Whole(string setting, string pattern)
    {
        try
        {
            // The pattern alone first: one that closes a bracket of ours would mean something else than it says.
            _ = new Regex(pattern, RegexOptions.NonBacktracking);
            return new Regex($@"\A(?:{pattern})\z", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (Exception fault) when (fault is ArgumentException or NotSupportedException)
        {
            throw new Http.Access.StartRefusedException($"JobHub:Farm:{setting} has a regular expression that cannot be used: {fault.Message}");
        }
    }
}
