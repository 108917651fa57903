using System.Net;
using System.Net.Http.Headers;

namespace JobHub.Web.Client;

/// <summary>Puts the visitor's token on each call to the Api.</summary>
public sealed class VisitorToken(Visitor visitor) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (await visitor.TokenAsync(cancellationToken) is { } token) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        var answer = await base.SendAsync(request, cancellationToken);
        if (answer.StatusCode is not HttpStatusCode.Unauthorized) return answer;
        answer.Dispose();
        throw new SessionEndedException();
    }
}

/// <summary>The Api wants to know who asks: nobody is signed in, or his session has ended.</summary>
public sealed class SessionEndedException() : Exception("The API wants a sign-in.");
