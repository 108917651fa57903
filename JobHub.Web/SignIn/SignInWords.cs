namespace JobHub.Web.SignIn;

/// <summary>Why somebody is not signed in, and what to do. The words travel in the page's address, the sentences do not.</summary>
public static class SignInWords
{
    public const string Ended = "ended", SignedOut = "signed-out", Refused = "refused", TokenRefused = "token-refused", TooMany = "too-many", Away = "away", Missing = "missing",
        Stale = "stale", ProviderDenied = "provider-denied", ProviderFailed = "provider-failed", ProviderRefused = "provider-refused";

    /// <summary>Null for what is no word of ours.</summary>
    public static string? Sentence(string? why, string? provider) => why switch
    {
        Ended => "Your session has ended. Sign in again to go on where you were.",
        SignedOut => "You have signed out, here and at the hub.",
        Refused => "Name or password is wrong, or the account is closed. Try again, or ask an administrator for a new password.",
        TokenRefused => "The hub does not know this token, or not any more. Copy it whole, or make a new one.",
        TooMany => "Too many tries. Wait a minute, then try again.",
        Away => "The hub does not answer, so nobody can be signed in now. Try again in a moment.",
        Missing => "Fill in both fields.",
        Stale => "This form was too old to be taken, or came from elsewhere. Sign in again on this page.",
        ProviderDenied => $"{provider ?? "The provider"} was told not to let you in here. Try again and allow it, or sign in another way.",
        ProviderFailed => $"The sign-in at {provider ?? "the provider"} did not end well, or took too long. Start it again.",
        ProviderRefused => $"The hub takes no sign-in from this account of {provider ?? "the provider"}. Ask an administrator for an account, or sign in another way.",
        _ => null,
    };

    /// <summary>Not a fault: nothing to be alarmed about.</summary>
    public static bool IsNews(string? why) => why is Ended or SignedOut;
}

/// <summary>A sign-in that did not come to be.</summary>
/// <param name="why">A word of <see cref="SignInWords"/>.</param>
public sealed class SignInRefusedException(string why) : Exception($"The hub refused a sign-in: {why}.")
{
    public string Why { get; } = why;
}
