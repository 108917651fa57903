using System.Reflection;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.Metadata;

namespace JobHub.Api.Http;

/// <summary>A refusal as an endpoint's result.</summary>
public sealed class ProblemResult(Problem problem) : IResult, IStatusCodeHttpResult, IEndpointMetadataProvider
{
    public Problem Problem { get; } = problem;

    int? IStatusCodeHttpResult.StatusCode => Problem.Status;

    public Task ExecuteAsync(HttpContext httpContext) => Problem.WriteAsync(httpContext);

    static void IEndpointMetadataProvider.PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(400, typeof(Microsoft.AspNetCore.Mvc.ProblemDetails), [Problem.MediaType]));
}

/// <summary>The refusals of endpoints, by status. Codes are stable: clients switch on <c>urn:jobhub:&lt;code&gt;</c>.</summary>
public static class Problems
{
    public static ProblemResult BadRequest(string code, string detail, string? field = null) => Of(400, code, detail, field);

    public static ProblemResult NotFound(string code, string detail) => Of(404, code, detail);

    public static ProblemResult Conflict(string code, string detail, string? field = null) => Of(409, code, detail, field);

    public static ProblemResult Unprocessable(string code, string detail, string? field = null) => Of(422, code, detail, field);

    public static ProblemResult Unavailable(string code, string detail) => Of(503, code, detail);

    public static ProblemResult Of(int status, string code, string detail, string? field = null) => new(new Problem(status, code, detail, field));

    /// <summary>A value of the request that is not what the route takes.</summary>
    public static RefusedException InvalidField(string field, string detail) => new(400, "invalid-field", detail, field);

    /// <summary>The key that made one job was sent with another request.</summary>
    public static ProblemResult KeyReused() => Unprocessable(
        "idempotency-key-reused", "This Idempotency-Key was used with another body. Use a new key for a new submission.", IdempotencyKey.Header);
}
