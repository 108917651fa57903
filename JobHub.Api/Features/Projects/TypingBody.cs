using JobHub.Api.Http;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Features.Projects;

/// <summary>A file of typing data as a request brings it: the form file <c>file</c>, or the body itself.</summary>
internal static class TypingBody
{
    /// <summary>Stores it, all of its good lines or none.</summary>
    public static async Task<UploadResult> StoreAsync(HttpRequest request, DatasetUpload upload, CancellationToken ct)
    {
        if (request.Headers.ContentEncoding is [{ Length: > 0 } coding, ..] && !coding.Equals("identity", StringComparison.OrdinalIgnoreCase))
            throw new RefusedException(415, "unsupported-media-type", "Send the text as it is, not compressed.", HeaderNames.ContentEncoding);
        try
        {
            if (request.HasFormContentType && request.ContentType!.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase)) await ReadFormAsync(request, upload, ct);
            else await upload.ReadAsync(request.Body, ct);
            // What breaks off has been refused by now: the form's end, or the body's, was read.
            return await upload.CommitAsync(ct);
        }
        catch (TypingRefusedException refused)
        {
            throw new RefusedException(new Problem(refused.Conflict ? 409 : refused.TooLarge ? 413 : 400, refused.Code, refused.Message), refused);
        }
    }

    private static async Task ReadFormAsync(HttpRequest request, DatasetUpload upload, CancellationToken ct)
    {
        var read = false;
        await foreach (var part in MultipartForm.ReadAsync(request, ct))
        {
            if (part.Name != "file") throw new RefusedException(400, "unknown-field", "The form has one part, 'file'.", part.Name.Length <= 200 ? part.Name : part.Name[..200]);
            if (read) throw new RefusedException(400, "repeated-field", "The form has more than one 'file'.", "file");
            await upload.ReadAsync(part.Body, ct);
            read = true;
        }

        if (!read) throw Problems.InvalidField("file", "The form has no part 'file': the text, parted by tabs.");
    }
}
