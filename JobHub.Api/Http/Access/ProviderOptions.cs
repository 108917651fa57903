using System.ComponentModel.DataAnnotations;
using JobHub.Engine.Storage;

namespace JobHub.Api.Http.Access;

/// <summary>Section <c>JobHub:Auth:Providers:&lt;name&gt;</c>: somebody else's sign-in whose access tokens are taken.</summary>
public sealed class ProviderOptions
{
    /// <summary>The address that answers who an access token is (OpenID Connect's userinfo). Takes every token of the provider, whichever program it was given to.</summary>
    public string? UserInfo { get; init; }

    /// <summary>The address that answers whether a token is good and whose it is (RFC 7662); wants <see cref="ClientId"/> and <see cref="ClientSecretFile"/>.</summary>
    public string? Introspection { get; init; }

    public string? ClientId { get; init; }

    /// <summary>File with the client's secret; surrounding white space is ignored.</summary>
    public string? ClientSecretFile { get; init; }

    /// <summary>With <see cref="Introspection"/>: programs whose tokens are taken, by their <c>client_id</c>. Empty: any.</summary>
    public IList<string> Clients { get; } = [];

    /// <summary>The field of the answer that never changes for somebody.</summary>
    public string SubjectField { get; init; } = "sub";

    /// <summary>The field that he is called by.</summary>
    public string NameField { get; init; } = "preferred_username";

    /// <summary>What is wrong with it, or null.</summary>
    internal string? Objection()
    {
        if ((UserInfo is null) == (Introspection is null)) return "needs UserInfo or Introspection, and not both";
        if (!Uri.TryCreate(UserInfo ?? Introspection, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.UserInfo.Length > 0) return "has an address that is not http(s)://host[:port]/path";
        if (Introspection is not null && (string.IsNullOrEmpty(ClientId) || string.IsNullOrEmpty(ClientSecretFile))) return "needs ClientId and ClientSecretFile for Introspection";
        return string.IsNullOrEmpty(SubjectField) || string.IsNullOrEmpty(NameField) ? "needs SubjectField and NameField" : null;
    }
}

/// <summary>Section <c>JobHub:Auth</c>, the part about providers.</summary>
public sealed class ProvidersOptions : IValidatableObject
{
    /// <summary>By the name that <c>?provider=</c> says.</summary>
    public Dictionary<string, ProviderOptions> Providers { get; } = new(StringComparer.Ordinal);

    /// <summary>Providers that may be at a loopback or private address: <c>host:port</c> or <c>scheme://host:port</c>.</summary>
    public IList<string> AllowedEndpoints { get; } = [];

    /// <summary>How long a provider's answer about a token holds.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00")]
    public TimeSpan ProviderCache { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a provider may take, the connection included.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")]
    public TimeSpan ProviderTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        foreach (var (name, provider) in Providers)
        {
            if (provider.Objection() is { } objection) yield return new($"JobHub:Auth:Providers:{name} {objection}.", [nameof(Providers)]);
        }

        foreach (var allowed in AllowedEndpoints)
        {
            if (StorageEndpoint.TryParse(allowed, "http") is null) yield return new($"JobHub:Auth:AllowedEndpoints: \"{allowed}\" is not host:port or scheme://host:port.", [nameof(AllowedEndpoints)]);
        }
    }
}
