using System.ComponentModel.DataAnnotations;

namespace JobHub.Engine.Storage;

/// <summary>Which kind of store the hub has of its own.</summary>
public enum StorageKind
{
    Files, S3,
}

/// <summary>When request and response checksums are used; Ceph and older MinIO refuse the SDK's default trailers.</summary>
public enum ChecksumMode
{
    WhenRequired, WhenSupported,
}

/// <summary><c>JobHub:Storage</c>: the hub's own store, and which others its callers may name.</summary>
public sealed class StorageOptions : IValidatableObject
{
    public const string Section = "JobHub:Storage";

    public StorageKind Kind { get; set; } = StorageKind.Files;
    /// <summary>Folder of the store of files; made with mode 0700 when missing.</summary>
    public string? Root { get; set; }
    /// <summary>Of the hub's own S3: <c>http(s)://host[:port]</c>.</summary>
    public string? Endpoint { get; set; }
    public string Region { get; set; } = "us-east-1";
    public string? AccessKey { get; set; }
    public string? SecretKey { get; set; }
    /// <summary>Bucket for what the hub keeps itself: artifacts, shuffle, logs. Callers' addresses may not name it.</summary>
    public string Bucket { get; set; } = "jobhub";
    public bool PathStyle { get; set; } = true;
    public ChecksumMode Checksums { get; set; } = ChecksumMode.WhenRequired;
    /// <summary>S3 endpoints that callers may name besides the hub's own: <c>host:port</c> or <c>scheme://host:port</c>. Loopback and private addresses are reached only when listed here.</summary>
    public IList<string> AllowedEndpoints { get; } = [];
    /// <summary>Folders below which <c>file:///</c> addresses may be.</summary>
    public IList<string> FileRoots { get; } = [];
    /// <summary>
    /// Folders and files that <c>file:///</c> may never reach, links followed: the hub's tokens, keys and database. The store's own Root always is one. A FileRoot below one is open again.
    /// </summary>
    public IList<string> DeniedRoots { get; } = [];
    /// <summary>Any file that the hub's user may read and write. Unset: true in Development when no FileRoots are given.</summary>
    public bool? AllowAnyFile { get; set; }

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Kind == StorageKind.Files && (string.IsNullOrWhiteSpace(Root) || !System.IO.Path.IsPathFullyQualified(Root)))
        {
            yield return Wrong("Root must be an absolute folder when Kind is files.", nameof(Root));
        }

        if (Kind == StorageKind.S3 && (Endpoint is null || !Endpoint.Contains("://", StringComparison.Ordinal) || StorageEndpoint.TryParse(Endpoint.TrimEnd('/'), "https") is null))
        {
            yield return Wrong("Endpoint must be http(s)://host[:port] when Kind is s3.", nameof(Endpoint));
        }

        if (string.IsNullOrEmpty(AccessKey) != string.IsNullOrEmpty(SecretKey)) yield return Wrong("AccessKey and SecretKey go together.", nameof(SecretKey));
        if (!IsBucket(Bucket)) yield return Wrong("Bucket is not a bucket name.", nameof(Bucket));
        foreach (var allowed in AllowedEndpoints)
        {
            if (StorageEndpoint.TryParse(allowed, "http") is null) yield return Wrong($"AllowedEndpoints: \"{allowed}\" is not host:port or scheme://host:port.", nameof(AllowedEndpoints));
        }

        foreach (var root in FileRoots)
        {
            if (!System.IO.Path.IsPathFullyQualified(root)) yield return Wrong($"FileRoots: \"{root}\" is not an absolute folder.", nameof(FileRoots));
        }
    }

    private static bool IsBucket(string bucket)
    {
        try
        {
            ObjectKey.CheckBucket(bucket);
            return true;
        }
        catch (StoreException)
        {
            return false;
        }
    }

    private static ValidationResult Wrong(string message, string member) => new($"{Section}: {message}", [member]);
}
