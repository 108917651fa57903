using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Engine;
using JobHub.Engine.Artifacts;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Commands;

/// <summary>Turns a submission into one command task and the files of its tree.</summary>
public sealed class CommandPlanner(FileSpace space, ArtifactStore artifacts, IOptions<FileSpaceOptions> options)
{
    /// <summary>The job, or a refusal that names the field.</summary>
    public async Task<JobSpec> PlanAsync(CommandRequest request, string project, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        var wire = request.Wire;
        var command = SubmitCommandRules.Command(wire.Command);
        var workdir = SubmitCommandRules.Workdir(wire.Workdir);
        var memory = SubmitCommandRules.Memory(wire.Memory);
        var image = SubmitCommandRules.Image(wire.Image);
        var gpus = (int)SubmitFields.Within("gpus", wire.Gpus ?? 0, 0, 1024);
        var cpus = (int)SubmitFields.Within("cpus", wire.Cpus ?? 0, 0, 4096);
        var spec = new JobSpec
        {
            Family = JobFamily.Commands, Name = SubmitCommandRules.UniqueId(wire.UniqueId), Project = project, Title = SubmitCommandRules.Title(command),
            Labels = SubmitFields.Labels(wire.Labels), Priority = (int)SubmitFields.Within("priority", wire.Priority ?? 255, 0, 255),
            MaxAttempts = (int)SubmitFields.Within("max_attempts", wire.MaxAttempts ?? 1, 1, 100), TimeoutSeconds = SubmitCommandRules.Timeout(wire.Timeout), Speculative = false,
            Needs = new Requirement(image is null ? [] : [Requirement.ContainerTag], gpus, cpus, Requirement.RoundMemory(memory), null),
            Tasks = [new TaskGroup(TaskKind.Command, 1, Blocked: false)], Details = "",
        };
        var env = SubmitFields.Environment("env", wire.Env);
        var files = Uploaded(request.Uploads, workdir);
        files.AddRange(await NamedAsync([.. wire.Files ?? [], .. wire.FileParts ?? []], project, workdir, ct));
        if (files.Count > options.Value.FilesPerJob) throw new RefusedException(413, "too-many-files", $"A job takes at most {options.Value.FilesPerJob} files.", "files");
        CheckPlaces(files, workdir);
        var details = new CommandDetails
        {
            Command = command, WorkingFolder = workdir.Value, Environment = env, MemoryLimitBytes = memory, Gpus = gpus, Cpus = cpus, Image = image, Tree = true, Files = files.Count,
        };
        return spec with { Details = JsonSerializer.Serialize(details, EngineJson.Default.CommandDetails), Files = files };
    }

    /// <summary>What is a folder wherever a command may run.</summary>
    private static readonly HashSet<string> SystemFolders = new(StringComparer.Ordinal)
    {
        "/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/media", "/mnt", "/nix", "/opt", "/root", "/run", "/sbin", "/srv", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local",
        "/usr/local/bin", "/usr/sbin", "/usr/share", "/var", "/var/cache", "/var/lib", "/var/log", "/var/tmp",
    };

    private static List<JobFile> Uploaded(IReadOnlyList<(string Name, StagedFile File)> uploads, FilePath workdir)
    {
        var files = new List<JobFile>(uploads.Count);
        foreach (var (name, file) in uploads)
        {
            if (name.EndsWith('/')) throw new RefusedException(400, "invalid-path", "A file's destination does not end with '/'.", "file[]");
            if (FilePath.Read(name, workdir, out var path) is { } reason) throw new RefusedException(400, "invalid-path", reason, "file[]");
            files.Add(new(path, file.Object, file.Size, file.Executable, Uploaded: true));
        }

        return files;
    }

    private async Task<List<JobFile>> NamedAsync(NamedFileWire[] named, string project, FilePath workdir, CancellationToken ct)
    {
        var files = new List<JobFile>();
        for (var index = 0; index < named.Length; index++)
        {
            var field = $"files[{index}]";
            if (string.IsNullOrEmpty(named[index].Path) && string.IsNullOrEmpty(named[index].Artifact)) throw new RefusedException(400, "missing-field", $"'{field}' names neither a path nor an artifact.", field);
            var place = named[index].Path is { Length: > 0 } text ? PathOf(text, $"{field}.path", workdir) : default(FilePath?);
            if (named[index].Artifact is { Length: > 0 } name)
            {
                if (await artifacts.FindAsync(name, ct) is not { } artifact)
                    throw new RefusedException(404, "artifact-not-found", $"There is no artifact '{(name.Length <= 128 ? name : name[..128] + "…")}'.", $"{field}.artifact");
                files.Add(new(place ?? PathOf(artifact.Name, $"{field}.artifact", workdir), ArtifactStore.KeyOf(artifact.Hash), artifact.Size, Executable: true, Uploaded: false));
                continue;
            }

            var before = files.Count;
            // Where a file and a folder have one name, the slash means the folder.
            var file = named[index].Path!.EndsWith('/') ? null : await space.FindAsync(project, FileSpace.Space, place!.Value, ct);
            if (file is not null) files.Add(Named(file));
            for (string? after = null; file is null;)
            {
                var page = await space.PageAsync(project, FileSpace.Space, place!.Value, after, 1000, ct);
                files.AddRange(page.Select(Named));
                if (files.Count > options.Value.FilesPerJob || page.Count < 1000) break;
                after = page[^1].Path.Value;
            }

            if (files.Count == before) throw new RefusedException(404, "file-not-found", $"The file space has neither a file nor a folder {place}.", $"{field}.path");
        }

        return files;
    }

    private static JobFile Named(StoredFile file) => new(file.Path, file.Object, file.Size, file.Executable, Uploaded: false);

    private static FilePath PathOf(string text, string field, FilePath workdir) =>
        FilePath.Read(text, workdir, out var path) is { } reason ? throw new RefusedException(400, "invalid-path", reason, field) : path;

    /// <summary>In a tree a name is a file or a folder, once.</summary>
    private static void CheckPlaces(List<JobFile> files, FilePath workdir)
    {
        var places = new HashSet<string>(StringComparer.Ordinal);
        foreach (var file in files)
        {
            if (!places.Add(file.Path.Value)) throw new RefusedException(400, "repeated-file", $"Two files have the destination {file.Path}.", "file[]");
        }

        if (files.Find(static file => SystemFolders.Contains(file.Path.Value)) is { } system)
            throw new RefusedException(400, "path-conflict", $"{system.Path} is a folder of every machine; name a file in it.", system.Uploaded ? "file[]" : "files");
        foreach (var folder in files.SelectMany(static file => Parents(file.Path.Value)).Concat(Parents(workdir.Value)).Append(workdir.Value))
        {
            if (places.Contains(folder)) throw new RefusedException(400, "path-conflict", $"{folder} would be a file and a folder.", "file[]");
        }
    }

    private static IEnumerable<string> Parents(string path)
    {
        for (var slash = path.LastIndexOf('/'); slash > 0; slash = path.LastIndexOf('/', slash - 1)) yield return path[..slash];
    }
}
