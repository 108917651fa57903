using System.Text.Json.Serialization;

namespace JobHub.Api.Features.Projects;

/// <summary>A new project, or what is to change of one: what is left out stays.</summary>
/// <param name="Visibility"><c>private</c> (of a new one, when left out) or <c>public</c>.</param>
/// <param name="Users">Names of accounts: the members. The creator of a new one is a member too.</param>
public sealed record ProjectBody(string? Name = null, string? Visibility = null, string? Description = null, string[]? Users = null);

/// <summary>A project.</summary>
/// <param name="Member">The caller is a member.</param>
/// <param name="Users">The members' names; for members and admins, and not in lists.</param>
public sealed record ProjectWire(string Id, string Name, string Visibility, string Description, DateTimeOffset Created, bool Member,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<string>? Users);

/// <summary>The id of what was made.</summary>
public sealed record MadeWire(string Id);

/// <summary>A new dataset.</summary>
public sealed record DatasetBody(string? Description = null);

/// <summary>A dataset.</summary>
/// <param name="Loci">The names of the loci, in the order of the alleles; not in lists.</param>
public sealed record DatasetWire(string Id, string Description, DateTimeOffset Created, int Profiles, int Isolates,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<string>? Loci);

/// <summary>A profile.</summary>
/// <param name="Alleles">One a locus; null = missing.</param>
public sealed record ProfileWire(string Id, int Isolates, IReadOnlyList<string?> Alleles);

/// <summary>An isolate and the id of its profile.</summary>
public sealed record IsolateWire(string Id, string St);

/// <summary>A line of a file that is not stored.</summary>
/// <param name="Line">From 1, the header's.</param>
public sealed record InvalidLineWire(long Line, string Reason);

/// <summary>What a file of profiles came to.</summary>
/// <param name="Profiles">Lines of the file that are stored.</param>
/// <param name="InvalidLines">Those that are not, the first 1 000.</param>
/// <param name="MoreInvalidLines">How many more.</param>
public sealed record ProfilesStored(int Profiles, [property: JsonPropertyName("invalid_lines")] IReadOnlyList<InvalidLineWire> InvalidLines,
    [property: JsonPropertyName("more_invalid_lines")] long MoreInvalidLines);

/// <summary>What a file of isolates came to.</summary>
/// <inheritdoc cref="ProfilesStored"/>
public sealed record IsolatesStored(int Isolates, [property: JsonPropertyName("invalid_lines")] IReadOnlyList<InvalidLineWire> InvalidLines,
    [property: JsonPropertyName("more_invalid_lines")] long MoreInvalidLines);
