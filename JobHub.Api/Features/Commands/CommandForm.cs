using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using JobHub.Api.Http;
using JobHub.Engine.Files;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Commands;

/// <summary>
/// Reads a submission as multipart/form-data (streamed: a file's bytes go to the store as they come, whatever the order of the parts), as application/x-www-form-urlencoded,
/// or as JSON. Disposing gives up the bytes that no job took.
/// </summary>
public sealed class CommandForm(FileStaging staging, IOptions<FileSpaceOptions> options) : IAsyncDisposable
{
    private const string FilePart = "file[]";

    private readonly List<(string Name, StagedFile File)> uploads = [];
    private readonly Dictionary<string, string> values = new(StringComparer.Ordinal);
    private bool taken;

    /// <summary>Reads the whole request.</summary>
    public async Task<CommandRequest> ReadAsync(HttpRequest request, bool hash, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.HasJsonContentType())
        {
            var body = await JsonBody.ReadAsync<SubmitCommandWire>(request, ct, JsonBody.DefaultLimit);
            return new CommandRequest(body.Value, [], body.Hash);
        }

        var seen = hash ? new List<string>() : null;
        if (IsType(request, "application/x-www-form-urlencoded")) await ReadEncodedAsync(request, seen, ct);
        else if (IsType(request, "multipart/form-data")) await ReadPartsAsync(request, seen, ct);
        else throw new RefusedException(415, "unsupported-media-type", "Send multipart/form-data, application/x-www-form-urlencoded or application/json.", "Content-Type");
        return new CommandRequest(Wire(), uploads, seen is null ? null : HashOf(seen));
    }

    /// <summary>The uploads belong to a job now.</summary>
    public void Take() => taken = true;

    public async ValueTask DisposeAsync()
    {
        if (!taken) await staging.DropAsync([.. uploads.Select(upload => upload.File.Object)]);
    }

    // Clients do not promise to send parts in the same order again.
    private static byte[] HashOf(List<string> seen) => SHA256.HashData(Encoding.UTF8.GetBytes(string.Join("\0\0", seen.Order(StringComparer.Ordinal))));

    private static bool IsType(HttpRequest request, string type) =>
        Microsoft.Net.Http.Headers.MediaTypeHeaderValue.TryParse(request.ContentType, out var media) && media.MediaType.Equals(type, StringComparison.OrdinalIgnoreCase);

    private async Task ReadPartsAsync(HttpRequest request, List<string>? seen, CancellationToken ct)
    {
        await foreach (var part in MultipartForm.ReadAsync(request, ct))
        {
            if (part.Name is not (FilePart or "file"))
            {
                Add(part.Name, await part.ReadTextAsync(SubmitFields.LongestArgument, ct), seen);
                continue;
            }

            if (part.FileName is not { } name) throw Problems.InvalidField(FilePart, $"'{FilePart}' must be an uploaded file; the part's file name is its destination.");
            if (uploads.Count == options.Value.FilesPerJob) throw new RefusedException(413, "too-many-files", $"A job takes at most {options.Value.FilesPerJob} files.", FilePart);
            var file = await staging.StageAsync(part.Body, hash: seen is not null, ct);
            uploads.Add((name, file));
            seen?.Add($"file\0{name}\0{file.Sha256}");
        }

        // What a browser sends for a file field that was left empty.
        if (uploads.Find(static upload => upload.Name.Length == 0) is { File: { Size: 0 } empty } blank)
        {
            uploads.Remove(blank);
            await staging.DropAsync([empty.Object]);
        }
    }

    private async Task ReadEncodedAsync(HttpRequest request, List<string>? seen, CancellationToken ct)
    {
        using var body = await JsonBody.BoundedAsync(request, JsonBody.DefaultLimit, ct);
        foreach (var pair in Encoding.UTF8.GetString(body.GetBuffer(), 0, (int)body.Length).Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var at = pair.IndexOf('=', StringComparison.Ordinal);
            Add(Decoded(at < 0 ? pair : pair[..at]), at < 0 ? "" : Decoded(pair[(at + 1)..]), seen);
        }
    }

    private static string Decoded(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));

    private void Add(string name, string value, List<string>? seen)
    {
        // An empty value counts as absent.
        if (value.Length == 0 && name != "command") return;
        if (!values.TryAdd(name, value)) throw new RefusedException(400, "repeated-field", $"The form has more than one '{Shown(name)}'.", Shown(name));
        if (values.Count > 2000) throw new RefusedException(413, "too-many-fields", "The form has more than 2000 fields.");
        seen?.Add($"field\0{name}\0{value}");
    }

    private SubmitCommandWire Wire()
    {
        var (env, labels) = (new Dictionary<string, string>(StringComparer.Ordinal), new Dictionary<string, string>(StringComparer.Ordinal));
        foreach (var (name, value) in values)
        {
            if (Inside(name, "env") is { } variable) env[variable] = value;
            else if (Inside(name, "labels") is { } label) labels[label] = value;
            else if (name is not ("command" or "gpus" or "unique_id" or "image" or "cpus" or "memory" or "timeout" or "priority" or "workdir" or "max_attempts"))
            {
                throw new RefusedException(400, "unknown-field",
                    $"There is no field '{Shown(name)}'. Known: command, file[], gpus, unique_id, image, cpus, memory, timeout, priority, env[NAME], workdir, max_attempts, labels[NAME].", Shown(name));
            }
        }

        return new SubmitCommandWire
        {
            Command = values.GetValueOrDefault("command"), Gpus = Number("gpus"), UniqueId = values.GetValueOrDefault("unique_id"), Image = values.GetValueOrDefault("image"),
            Cpus = Number("cpus"), Memory = values.GetValueOrDefault("memory"), Timeout = Seconds("timeout"), Priority = Number("priority"), Env = env,
            Workdir = values.GetValueOrDefault("workdir"), MaxAttempts = Number("max_attempts"), Labels = labels,
        };
    }

    private static string? Inside(string name, string field) =>
        name.StartsWith(field + "[", StringComparison.Ordinal) && name.EndsWith(']') ? name[(field.Length + 1)..^1] : null;

    private int? Number(string field)
    {
        if (!values.TryGetValue(field, out var text)) return null;
        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : throw Problems.InvalidField(field, $"'{field}' must be a whole number.");
    }

    private double? Seconds(string field)
    {
        if (!values.TryGetValue(field, out var text)) return null;
        return double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw Problems.InvalidField(field, $"'{field}' must be a number.");
    }

    private static string Shown(string name) => name.Length <= 64 ? name : name[..64] + "…";
}
