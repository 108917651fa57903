using JobHub.Engine.Files;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.StaticFiles;

namespace JobHub.Api.Http;

/// <summary>What a request names in a file space.</summary>
/// <param name="AsFolder">Its path ends with a slash: the folder is meant, also where a file has the same name.</param>
public readonly record struct FilePlace(string Project, FilePath Path, bool AsFolder);

/// <summary>Files of a project as requests bring and take them, the same for every family that has routes for them.</summary>
public static class ProjectFiles
{
    private static readonly FileExtensionContentTypeProvider Types = new();

    /// <summary>The place that <c>?project=</c> and <c>?path=</c> name.</summary>
    public static FilePlace PlaceOf(HttpRequest request)
    {
        var project = Project.Of(request);
        var text = request.QueryText("path") ?? throw SubmitFields.Missing("path");
        if (FilePath.Read(text, folder: null, out var path) is { } reason) throw new RefusedException(400, "invalid-path", reason, "path");
        return new(project, path, text.EndsWith('/'));
    }

    /// <summary>A file's bytes, as an attachment.</summary>
    public static BytesResult ContentOf(StoredFile file, FilePath path, FileSpace space)
    {
        ArgumentNullException.ThrowIfNull(file);
        return new()
        {
            Size = file.Size, ETag = file.ETag, Modified = file.ModifiedAt, FileName = path.Name,
            ContentType = Types.TryGetContentType(path.Name, out var type) ? type : "application/octet-stream",
            Open = (offset, length, cancel) => space.OpenAsync(file, offset, length, cancel),
        };
    }

    /// <summary>Makes the body the file of a place.</summary>
    public static async Task<StagedFile> TakeAsync(HttpRequest request, FilePlace place, FileSpace space, FileStaging staging, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(space);
        ArgumentNullException.ThrowIfNull(staging);
        var path = place.Path;
        if (place.AsFolder || path.IsRoot) throw new RefusedException(400, "invalid-path", "A file's path does not end with '/'.", "path");
        if (request.HasFormContentType) throw new RefusedException(415, "unsupported-media-type", "Send the file's bytes as the body, not a form.", "Content-Type");
        var staged = await staging.StageAsync(request.Body, hash: false, ct);
        var put = FileChange.NotFound;
        try
        {
            put = await space.PutAsync(place.Project, path, staged, ct);
        }
        finally
        {
            if (put != FileChange.Done) await staging.DropAsync([staged.Object]);
        }

        return put switch
        {
            FileChange.Done => staged,
            FileChange.IsFolder => throw new RefusedException(409, "path-is-folder", $"{path} is a folder.", "path"),
            _ => throw new RefusedException(409, "path-below-file", $"A part of {path} is a file.", "path"),
        };
    }

    /// <summary>Removes a file, or with <paramref name="recursive"/> a folder and all below it.</summary>
    public static async Task RemoveAsync(FilePlace place, bool recursive, FileSpace space, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(space);
        switch (await space.RemoveAsync(place.Project, place.Path, place.AsFolder, recursive, ct))
        {
            case FileChange.Done: return;
            case FileChange.IsFolder: throw new RefusedException(409, "folder-not-empty", $"{place.Path} is a folder with files. Say ?recursive=true to remove all of them.", "path");
            default: throw Unknown(place.Path);
        }
    }

    /// <summary>The answer of a path that leads nowhere.</summary>
    public static RefusedException Unknown(FilePath path) => new(404, "file-not-found", $"There is neither a file nor a folder {path}.");
}
