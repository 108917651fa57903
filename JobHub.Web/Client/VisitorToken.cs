using System.Net;
using System.Net.Http.Headers;
using JobHub.Web.SignIn;
using Microsoft.Extensions.Options;

namespace JobHub.Web.Client;

/// <summary>Each call to the Api is its visitor's: it carries the token of his cookie. In development, without one, that of the dashboard.</summary>
public sealed class VisitorToken(IHttpContextAccessor visitors, IHostEnvironment environment, IOptions<WebSettings> settings) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (await TokenAsync(cancellationToken) is { } token) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        var answer = await base.SendAsync(request, cancellationToken);
        if (answer.StatusCode is not HttpStatusCode.Unauthorized) return answer;
        answer.Dispose();
        throw new SessionEndedException();
    }

    private async Task<string?> TokenAsync(CancellationToken cancellationToken)
    {
        if (visitors.HttpContext is { } visitor && await SessionTicket.ReadAsync(visitor) is { } session) return session.Token;
        return environment.IsDevelopment() && settings.Value.TokenFile is { Length: > 0 } file && File.Exists(file)
            ? (await File.ReadAllTextAsync(file, cancellationToken)).Trim()
            : null;
    }
}

/// <summary>The Api wants to know who asks: nobody is signed in, or his session has ended.</summary>
public sealed class SessionEndedException() : Exception("The API wants a sign-in.");
