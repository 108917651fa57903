using JobHub.Api.Http;
using JobHub.Engine.Webhooks;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/webhooks</c>: addresses that are told what happens to jobs, and what became of each message.</summary>
public static class WebhookEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500;
    private const int ShortestSecret = 16, LongestSecret = 256;

    internal static void MapWebhooks(this IEndpointRouteBuilder hub)
    {
        var webhooks = hub.MapGroup("/webhooks").WithTags("Webhooks");
        webhooks.MapPost("", CreateAsync).Accepts<CreateWebhook>("application/json").ProducesProblem(400).ProducesProblem(409)
            .WithSummary("A new webhook; events from now on are its. The answer holds its secret, which is not shown again.");
        webhooks.MapGet("", ListAsync).WithSummary("All webhooks, oldest first.");
        webhooks.MapGet("/{id}", GetAsync).WithSummary("One webhook.").ProducesProblem(404);
        webhooks.MapPatch("/{id}", ChangeAsync).Accepts<ChangeWebhook>("application/json").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("Switches a webhook on or off. Off: what is pending waits, and what happens meanwhile is not told.");
        webhooks.MapDelete("/{id}", DeleteAsync).WithSummary("Removes a webhook with its deliveries.").ProducesProblem(404);
        webhooks.MapPost("/{id}/ping", PingAsync).WithSummary("Sends a message that says nothing, to try the receiver.").ProducesProblem(404);
        webhooks.MapGet("/{id}/deliveries", DeliveriesAsync).ProducesProblem(400).ProducesProblem(404)
            .WithSummary("Deliveries, newest first. ?state=pending, delivered or dead; ?limit= to 500 (50); ?after= is the last page's next.");
        webhooks.MapGet("/{id}/deliveries/{delivery}", DeliveryAsync).WithSummary("One delivery with its body.").ProducesProblem(404);
        webhooks.MapPost("/{id}/deliveries/{delivery}/redeliver", RedeliverAsync).WithSummary("Sends a delivery once more, dead or not.").ProducesProblem(404);
    }

    private static async Task<Results<Created<HubWebhook>, ProblemResult>> CreateAsync(HttpContext context, WebhookStore webhooks, WebhookAddresses addresses, CancellationToken ct)
    {
        var body = (await JsonBody.ReadAsync<CreateWebhook>(context.Request, ct)).Value;
        if (body.Secret is { } given && (given.Length is < ShortestSecret or > LongestSecret || given.Any(static c => c is <= ' ' or > '~')))
            throw Problems.InvalidField("secret", $"'secret' has {ShortestSecret} to {LongestSecret} ASCII characters without blanks; leave it out and one is made.");
        var filter = body.Events switch
        {
            null or "final" => WebhookFilter.Final,
            "all" => WebhookFilter.All,
            _ => throw Problems.InvalidField("events", "'events' must be one of final, all."),
        };
        if (body.Project is { } project) Project.Check(project);
        if (await addresses.ObjectionAsync(body.Url, ct) is { } objection) throw Problems.InvalidField("url", objection);
        return await webhooks.CreateAsync(body.Url!, body.Project, filter, body.Secret, ct) is (var webhook, var secret)
            ? TypedResults.Created($"/hub/v1/webhooks/{webhook.Id:D}", ToWire(webhook) with { Secret = secret })
            : Problems.Conflict("too-many-webhooks", "There are as many webhooks as there may be (JobHub:Webhooks:Most). Remove one.");
    }

    private static async Task<Ok<HubWebhookList>> ListAsync(WebhookStore webhooks, CancellationToken ct) =>
        TypedResults.Ok(new HubWebhookList([.. (await webhooks.ListAsync(ct)).Select(ToWire)]));

    private static async Task<Results<Ok<HubWebhook>, ProblemResult>> GetAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct) =>
        IdOf(context) is { } id && await webhooks.GetAsync(id, ct) is { } webhook ? TypedResults.Ok(ToWire(webhook)) : Unknown();

    private static async Task<Results<Ok<HubWebhook>, ProblemResult>> ChangeAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct)
    {
        if (IdOf(context) is not { } id) return Unknown();
        var body = (await JsonBody.ReadAsync<ChangeWebhook>(context.Request, ct)).Value;
        if (body.Enabled is not { } enabled) throw Problems.InvalidField("enabled", "'enabled' must be true or false.");
        return await webhooks.EnableAsync(id, enabled, ct) && await webhooks.GetAsync(id, ct) is { } webhook ? TypedResults.Ok(ToWire(webhook)) : Unknown();
    }

    private static async Task<Results<NoContent, ProblemResult>> DeleteAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct) =>
        IdOf(context) is { } id && await webhooks.DeleteAsync(id, ct) ? TypedResults.NoContent() : Unknown();

    private static async Task<Results<Accepted<HubDeliveryAccepted>, ProblemResult>> PingAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct) =>
        IdOf(context) is { } id && await webhooks.PingAsync(id, ct) is { } delivery ? Accepted(id, delivery) : Unknown();

    private static async Task<Results<Ok<HubDeliveryPage>, ProblemResult>> DeliveriesAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct)
    {
        if (IdOf(context) is not { } id || await webhooks.GetAsync(id, ct) is null) return Unknown();
        var request = context.Request;
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        Guid? after = null;
        if (request.QueryText("after") is { } text) after = Guid.TryParse(text, out var last) ? last : throw Problems.InvalidField("after", "'after' must be the id of a delivery.");
        var (items, more) = await Paging.TakeAsync(webhooks.DeliveriesAsync(id, request.QueryWord<DeliveryState>("state"), after, limit + 1, ct), limit, ct);
        return TypedResults.Ok(new HubDeliveryPage([.. items.Select(ToWire)], more ? items[^1].Id.ToString("D") : null));
    }

    private static async Task<Results<Ok<HubDelivery>, ProblemResult>> DeliveryAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct) =>
        IdOf(context) is { } id && IdOf(context, "delivery") is { } delivery && await webhooks.DeliveryAsync(id, delivery, ct) is { } found
            ? TypedResults.Ok(ToWire(found)) : UnknownDelivery();

    private static async Task<Results<Accepted<HubDeliveryAccepted>, ProblemResult>> RedeliverAsync(HttpContext context, WebhookStore webhooks, CancellationToken ct) =>
        IdOf(context) is { } id && IdOf(context, "delivery") is { } delivery && await webhooks.RedeliverAsync(id, delivery, ct) ? Accepted(id, delivery) : UnknownDelivery();

    private static Accepted<HubDeliveryAccepted> Accepted(Guid webhook, Guid delivery) =>
        TypedResults.Accepted($"/hub/v1/webhooks/{webhook:D}/deliveries/{delivery:D}", new HubDeliveryAccepted(delivery.ToString("D")));

    private static HubWebhook ToWire(Webhook webhook) => new(
        webhook.Id.ToString("D"), webhook.Url, webhook.Project, webhook.Filter == WebhookFilter.All ? "all" : "final", webhook.Enabled, webhook.DisabledReason, webhook.CreatedAt,
        webhook.Pending, webhook.Dead);

    private static HubDelivery ToWire(WebhookDelivery d) => new(
        d.Id.ToString("D"), d.Event, d.JobId, d.State switch { DeliveryState.Pending => "pending", DeliveryState.Delivered => "delivered", _ => "dead" }, d.Attempts, d.CreatedAt, d.TriedAt,
        d.DueAt, d.EndedAt, d.LastStatus, d.LastError, d.Body);

    private static Guid? IdOf(HttpContext context, string name = "id") => Guid.TryParse(RouteText.Of(context, name), out var id) ? id : null;

    private static ProblemResult Unknown() => Problems.NotFound("webhook-not-found", "There is no webhook with this id.");

    private static ProblemResult UnknownDelivery() => Problems.NotFound("delivery-not-found", "This webhook has no such delivery; delivered ones are kept for some days only.");
}
