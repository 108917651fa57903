namespace JobHub.Api.Http.Auditing;

/// <summary>What a handler knows better than the address of its request says. Never a body, a token, a password or a key.</summary>
public sealed class AuditNote
{
    private const int Named = 10;

    /// <summary>The id of what was made or changed.</summary>
    public string? Object { get; set; }

    /// <summary>Its project.</summary>
    public string? Project { get; set; }

    /// <summary>Another word for what was done.</summary>
    public string? Action { get; set; }

    /// <summary>Who it was, where the request itself does not show it: of a sign-in.</summary>
    public (string Name, long? Account)? Who { get; set; }

    /// <summary>Where it came from, where somebody asks for somebody else.</summary>
    public string? Address { get; set; }

    /// <summary>It is kept although the request was refused.</summary>
    public bool Refused { get; set; }

    /// <summary>It only looked: nothing is kept of it.</summary>
    public bool Unchanged { get; set; }

    /// <summary>The note of a request.</summary>
    public static AuditNote Of(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (context.Features.Get<AuditNote>() is { } note) return note;
        context.Features.Set(note = new());
        return note;
    }

    /// <summary>Says which objects a request was about, where its body named them or its answer does; of many the first.</summary>
    public static void Objects<T>(HttpContext context, IReadOnlyCollection<T> ids) =>
        Of(context).Object = string.Join(',', ids.Take(Named)) + (ids.Count > Named ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $" and {ids.Count - Named} more") : "");
}
