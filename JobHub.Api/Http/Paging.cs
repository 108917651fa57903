using Microsoft.AspNetCore.Http.Extensions;

namespace JobHub.Api.Http;

/// <summary>Pages by the last id seen. Without <c>limit</c> a list is whole and streamed.</summary>
public static class Paging
{
    public const int LargestPage = 10_000;

    /// <summary>The caller's <c>limit</c>, 1 to <see cref="LargestPage"/>.</summary>
    public static int? LimitOf(HttpRequest request, int largest = LargestPage) => (int?)request.QueryNumber("limit", 1, largest);

    /// <summary>At most <paramref name="limit"/> items of a source that was asked for one more, and whether there are more.</summary>
    public static async Task<(List<T> Items, bool More)> TakeAsync<T>(IAsyncEnumerable<T> source, int limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(source);
        var items = new List<T>(Math.Min(limit, 1024));
        await foreach (var item in source.WithCancellation(ct))
        {
            if (items.Count == limit) return (items, true);
            items.Add(item);
        }

        return (items, false);
    }

    /// <summary><c>Link: &lt;…&gt;; rel="next"</c>: this request with another <c>after</c>.</summary>
    public static void LinkNext(HttpContext context, string after)
    {
        ArgumentNullException.ThrowIfNull(context);
        var query = new QueryBuilder();
        foreach (var (name, values) in context.Request.Query)
        {
            if (!string.Equals(name, "after", StringComparison.OrdinalIgnoreCase)) query.Add(name, values.AsEnumerable().Select(static value => value ?? ""));
        }

        query.Add("after", after);
        context.Response.Headers.Link = $"<{context.Request.PathBase.ToUriComponent()}{context.Request.Path.ToUriComponent()}{query.ToQueryString()}>; rel=\"next\"";
    }
}
