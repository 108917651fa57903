using System.ComponentModel.DataAnnotations;

namespace JobHub.Engine.Files;

/// <summary>Section <c>JobHub:Files</c>: limits of file spaces and of what commands leave.</summary>
public sealed class FileSpaceOptions
{
    /// <summary>The largest upload in bytes, the form around it included.</summary>
    [Range(1, 1L << 44)]
    public long UploadLimit { get; init; } = 10L << 30;

    /// <summary>Files in one submission.</summary>
    [Range(1, 1_000_000)]
    public int FilesPerJob { get; init; } = 10_000;

    /// <summary>What a command made or changed is kept up to this many bytes together.</summary>
    [Range(0, 1L << 44)]
    public long KeptBytes { get; init; } = 1L << 30;

    /// <summary>What a command made or changed is kept up to this many files.</summary>
    [Range(0, 1_000_000)]
    public int KeptFiles { get; init; } = 10_000;
}
