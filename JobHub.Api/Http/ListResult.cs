namespace JobHub.Api.Http;

/// <summary>A JSON array: with a limit a page and a Link to the next, without one whole and streamed.</summary>
public static class ListResult
{
    /// <param name="items">In order; asked for with the limit plus one, so that it is known whether more follow.</param>
    public static async Task<IResult> OfAsync<TView, TWire>(
        HttpContext context, IAsyncEnumerable<TView> items, int? limit, Func<TView, TWire> wire, Func<TView, string> id, CancellationToken ct)
    {
        if (limit is not { } most) return TypedResults.Ok(items.Select(wire));
        var (page, more) = await Paging.TakeAsync(items, most, ct);
        if (more) Paging.LinkNext(context, id(page[^1]));
        return TypedResults.Ok(page.Select(wire));
    }
}
