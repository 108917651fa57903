namespace JobHub.Web.SignIn;

/// <summary>Where a sign-in leads afterwards: a path of the dashboard itself, whatever the address says.</summary>
public static class ReturnPath
{
    private const int Longest = 2000;

    /// <summary>The path when it is one of ours, else "/".</summary>
    public static string Of(string? wanted) =>
        wanted is { Length: > 0 and <= Longest } && wanted[0] == '/'
        // Browsers read //host and /\host as another site, and leave tabs and line ends out before they read.
        && !wanted.StartsWith("//", StringComparison.Ordinal) && !wanted.Contains('\\') && !wanted.Any(static c => char.IsControl(c) || c > '~')
        && !wanted.StartsWith("/sign-", StringComparison.OrdinalIgnoreCase)
            ? wanted
            : "/";

    /// <summary>The address of the sign-in page.</summary>
    /// <param name="why">A word of <see cref="SignInWords"/>.</param>
    public static string SignIn(string? back, string? why = null, string? provider = null)
    {
        var query = new Dictionary<string, string?>();
        if (Of(back) is not "/" and var path) query["return"] = path;
        if (why is not null) query["why"] = why;
        if (provider is not null) query["provider"] = provider;
        return "/sign-in" + QueryString.Create(query);
    }
}
