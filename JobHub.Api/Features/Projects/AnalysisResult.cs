namespace JobHub.Api.Features.Projects;

/// <summary>An analysis written to the answer as it is read from the store.</summary>
internal sealed class AnalysisResult(Stream source, string contentType, Func<Stream, Stream, CancellationToken, Task> write) : IResult
{
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        await using (source)
        {
            httpContext.Response.ContentType = contentType;
            await write(source, httpContext.Response.Body, httpContext.RequestAborted);
        }
    }
}
