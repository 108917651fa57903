using System.Text;

namespace JobHub.Engine.Accounts;

/// <summary>What an account may do at most; the numbers are the database's.</summary>
public enum AccountRole : short
{
    /// <summary>Reads.</summary>
    Viewer = 0,
    /// <summary>Submits and changes in his projects.</summary>
    Member = 1,
    /// <summary>Everything.</summary>
    Admin = 2,
    /// <summary>Runs tasks and nothing else.</summary>
    Worker = 3,
}

/// <summary>Somebody who may use the hub. His password is never part of it.</summary>
/// <param name="Provider">Where he signs in, when it is not here.</param>
public sealed record Account(long Number, string Name, AccountRole Role, bool HasPassword, string? Provider, DateTimeOffset CreatedAt, DateTimeOffset? DisabledAt);

/// <summary>The names that accounts may have.</summary>
public static class AccountNames
{
    public const int Longest = 64;

    // What callers without an account are called, and words that routes or pages may use.
    private static readonly HashSet<string> Reserved = new(StringComparer.Ordinal) { "admin", "worker", "anonymous", "hub", "jobhub", "system", "me" };

    /// <summary>Names that no account gets.</summary>
    public static IReadOnlyCollection<string> Taken => Reserved;

    /// <summary>What is wrong with a name, or null.</summary>
    public static string? Objection(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var valid = name.Length is > 0 and <= Longest && char.IsAsciiLetterOrDigit(name[0]) && name.All(IsPlain);
        if (!valid) return $"a name has 1 to {Longest} lower-case letters, digits, '.', '-', '_', '+' or '@', beginning with a letter or digit";
        return Reserved.Contains(name) ? $"the name {name} is the hub's own" : null;
    }

    /// <summary>A name that may stand, from any text that a provider gives; it need not be free.</summary>
    public static string From(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var plain = new StringBuilder();
        foreach (var c in text.Normalize(NormalizationForm.FormKD).ToLowerInvariant())
        {
            if (plain.Length == Longest - 16) break;
            if (IsPlain(c)) plain.Append(c);
            else if (char.IsWhiteSpace(c) && plain.Length > 0) plain.Append('.');
        }

        var name = plain.ToString().TrimStart('.', '-', '_', '+', '@');
        return name.Length == 0 || Reserved.Contains(name) ? $"user.{name}".TrimEnd('.') : name;
    }

    private static bool IsPlain(char c) => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '.' or '-' or '_' or '+' or '@';
}
