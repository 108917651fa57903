using System.ComponentModel.DataAnnotations;
using System.Net.Mail;

namespace JobHub.Api.Delivery;

/// <summary>Section <c>JobHub:Mail</c>: mail to the users of farm jobs when these end. Off without a host.</summary>
public sealed class MailOptions : IValidatableObject
{
    public const string Section = "JobHub:Mail";

    /// <summary>The SMTP server.</summary>
    [StringLength(255)]
    public string Host { get; init; } = "";

    [Range(1, 65535)]
    public int Port { get; init; } = 25;

    /// <summary>STARTTLS is required, and the server's certificate must hold.</summary>
    public bool Tls { get; init; }

    /// <summary>Signs in when set.</summary>
    public string User { get; init; } = "";

    /// <summary>A file with the password.</summary>
    public string? PasswordFile { get; init; }

    /// <summary>The sender's address.</summary>
    public string From { get; init; } = "";

    /// <summary>Completes a user that is a bare name: name@Domain. Without it such users get no mail.</summary>
    [StringLength(255)]
    public string Domain { get; init; } = "";

    /// <summary>Where the dashboard is, for the links in mails; empty: no links.</summary>
    public string Dashboard { get; init; } = "";

    /// <summary>The longest wait before the next try when the server is away.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromMinutes(1);

    internal bool IsOn => Host.Length > 0;

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!IsOn) yield break;
        if (!MailAddress.TryCreate(From, out _)) yield return new($"{Section}:From must be the address mails are sent from.", [nameof(From)]);
        if (User.Length > 0 && !File.Exists(PasswordFile)) yield return new($"{Section}:PasswordFile must be a file with the password of {Section}:User.", [nameof(PasswordFile)]);
        // A password must not travel where everybody can read it, a server on this machine excepted.
        if (User.Length > 0 && !Tls && Host is not ("localhost" or "127.0.0.1" or "::1")) yield return new($"{Section}:Tls must be true to sign in at a server elsewhere.", [nameof(Tls)]);
        if (Dashboard.Length > 0 && !(Uri.TryCreate(Dashboard, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
            yield return new($"{Section}:Dashboard must be an http(s) URL.", [nameof(Dashboard)]);
    }
}
