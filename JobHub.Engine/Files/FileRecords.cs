namespace JobHub.Engine.Files;

/// <summary>A file as stored: by its path in a project's file space or a job's tree.</summary>
/// <param name="Object">Where its bytes are in the hub's bucket. Immutable: other bytes are another object.</param>
public sealed record StoredFile(FilePath Path, string Object, long Size, bool Executable, DateTimeOffset ModifiedAt)
{
    /// <summary>Changes with the bytes.</summary>
    public string ETag => Object[(Object.LastIndexOf('/') + 1)..];
}

/// <summary>One line of a folder's listing. A folder has neither size nor time: it is what its files make it.</summary>
/// <param name="Maker">The number of the job that brought or made the file; null when it was uploaded by itself, or lies in a job's own tree.</param>
public sealed record FolderEntry(string Name, bool IsFolder, long? Size, DateTimeOffset? ModifiedAt, long? Maker = null)
{
    /// <summary>Where it stands in its folder's order: a file and a folder may have one name.</summary>
    public string Place => IsFolder ? Name + "/" : Name;
}

/// <summary>Bytes in the store that no path refers to yet; removed by upkeep unless one does within a day.</summary>
/// <param name="Sha256">Lower-case hex, when it was asked for.</param>
public sealed record StagedFile(string Object, long Size, bool Executable, string? Sha256);

/// <summary>A file that is placed in a job's tree before its command starts.</summary>
/// <param name="Uploaded">It came with the job: it is the project's newest of its path, too.</param>
public sealed record JobFile(FilePath Path, string Object, long Size, bool Executable, bool Uploaded);
