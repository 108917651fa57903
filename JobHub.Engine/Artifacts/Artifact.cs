using JobHub.Engine.Protocol;

namespace JobHub.Engine.Artifacts;

/// <summary>The current version of a named program.</summary>
/// <param name="Hash">SHA-256 of the bytes, lower-case hex.</param>
/// <param name="CreatedAt">When this version came.</param>
public sealed record Artifact(string Name, int Version, ProgramType Type, long Size, string Hash, DateTimeOffset CreatedAt);

/// <summary>What a program may be called: the base name of an uploaded file.</summary>
public static class ArtifactName
{
    public const int LongestName = 128;

    /// <summary>Clients send paths of their own systems; what stands after the last separator of either kind is the name.</summary>
    public static string BaseOf(string fileName)
    {
        ArgumentNullException.ThrowIfNull(fileName);
        return fileName[(fileName.LastIndexOfAny(['/', '\\']) + 1)..];
    }

    /// <summary>1–128 characters, no control characters, slashes or broken surrogates, not <c>.</c> or <c>..</c>.</summary>
    public static bool IsValid(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name is "" or "." or "..") return false;
        var length = 0;
        for (var rest = name.AsSpan(); !rest.IsEmpty;)
        {
            if (System.Text.Rune.DecodeFromUtf16(rest, out var rune, out var used) != System.Buffers.OperationStatus.Done) return false;
            if (System.Text.Rune.IsControl(rune) || rune.Value is '/' or '\\' || ++length > LongestName) return false;
            rest = rest[used..];
        }

        return true;
    }
}
