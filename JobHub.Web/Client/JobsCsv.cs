using JobHub.Web.SignIn;

namespace JobHub.Web.Client;

/// <summary>The Api's CSV of jobs, handed on to a visitor as it comes.</summary>
public static class JobsCsv
{
    public static void MapJobsCsv(this IEndpointRouteBuilder routes) => routes.MapGet("/jobs.csv", HandOnAsync);

    private static async Task HandOnAsync(HttpContext context, HubHttp hub)
    {
        try
        {
            using var answer = await hub.Client.GetAsync("/hub/v1/jobs.csv" + context.Request.QueryString, HttpCompletionOption.ResponseHeadersRead, context.RequestAborted);
            context.Response.StatusCode = (int)answer.StatusCode;
            context.Response.ContentType = answer.Content.Headers.ContentType?.ToString();
            if (answer.IsSuccessStatusCode) context.Response.Headers.ContentDisposition = "attachment; filename=\"jobs.csv\"";
            await answer.Content.CopyToAsync(context.Response.Body, context.RequestAborted);
        }
        catch (SessionEndedException)
        {
            context.Response.Redirect(ReturnPath.SignIn("/jobs" + context.Request.QueryString, SignInWords.Ended));
        }
        catch (HttpRequestException) when (!context.Response.HasStarted)
        {
            await Results.Text("The API does not answer. Go back and try again in a moment.", statusCode: 503).ExecuteAsync(context);
        }
    }
}
