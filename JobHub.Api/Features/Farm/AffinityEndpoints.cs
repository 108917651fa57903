using System.Globalization;
using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>/api/affinities: the names of the 64 slots.</summary>
public static class AffinityEndpoints
{
    /// <summary>Characters of a name.</summary>
    public const int LongestName = 255;

    /// <summary>Maps the routes.</summary>
    public static void MapAffinities(this IEndpointRouteBuilder routes)
    {
        var affinities = routes.MapGroup("/api/affinities").WithTags("affinities");
        affinities.MapGet("", ListAsync).WithSummary("The names of all 64 slots; a free one's is empty.").Produces<Dictionary<string, string>>();
        affinities.MapPost("", SetAsync).WithBody("Names by slot; an empty one frees it.", """{"1":"LINUX","2":""}""").WithSummary("Names and frees slots, all or none.")
            .Produces<int>().ProducesProblem(400).ProducesProblem(409);
    }

    /// <summary>All slots are taken.</summary>
    internal static ProblemResult SlotsFull() =>
        Problems.Conflict("affinity-slots-full", "All 64 affinity names are taken. Free one that is not used: POST /api/affinities with an empty name.", "affinity");

    /// <summary>Lines of tags as they may be stored.</summary>
    internal static string CheckTags(string field, string text)
    {
        if (text.Length > FarmJobFields.LongestAffinity) throw Problems.InvalidField(field, $"'{field}' has more than {FarmJobFields.LongestAffinity} characters.");
        foreach (var tag in TreeTags.LinesOf(text).SelectMany(static line => line)) CheckName(field, tag);
        return text;
    }

    private static void CheckName(string field, string name)
    {
        if (name.Length > LongestName || name.Any(char.IsControl)) throw Problems.InvalidField(field, $"The name of an affinity has at most {LongestName} characters, none of them a control character.");
    }

    private static async Task<IResult> ListAsync(AffinitySlots slots, CancellationToken ct) =>
        TypedResults.Ok((await slots.ListAsync(ct)).Select(static (name, index) => (name, index)).ToDictionary(static slot => (slot.index + 1).ToString(CultureInfo.InvariantCulture), static slot => slot.name));

    private static async Task<IResult> SetAsync(HttpContext context, AffinitySlots slots, CancellationToken ct)
    {
        if (await FarmBody.ReadAsync(context.Request, ReadNames, ct) is not { Value: { Count: > 0 } names }) return FarmEndpoints.One();
        AuditNote.Objects(context, names.Keys);
        return await slots.SetAsync(names, ct) switch
        {
            SlotResult.Done => FarmEndpoints.One(),
            SlotResult.InUse used => Problems.Conflict("affinity-in-use", $"Slot {used.Slot} is '{used.Name}', which {used.By} uses. Nothing was changed.", used.Slot.ToString(CultureInfo.InvariantCulture)),
            SlotResult.Twice twice => Problems.Conflict("affinity-name-taken", $"'{twice.Name}' would be the name of slot {twice.Slot} and of another. Nothing was changed.", twice.Slot.ToString(CultureInfo.InvariantCulture)),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    private static Dictionary<int, string> ReadNames(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.StartArray && reader.Read() && reader.TokenType == JsonTokenType.EndArray) return [];
        if (reader.TokenType != JsonTokenType.StartObject) throw Problems.InvalidField("body", """The body must be an object of names by slot, as {"1":"LINUX"}.""");
        var names = new Dictionary<int, string>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var key = FarmTokens.Name(ref reader, "");
            var field = FarmTokens.Join("", key);
            if (!int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var slot) || slot is < 1 or > AffinitySlots.Count)
                throw Problems.InvalidField(field, $"'{field}' is no slot: there are 1 to {AffinitySlots.Count}.");
            reader.Read();
            var name = FarmTokens.Text(ref reader, field).Trim();
            if (name.Contains(',', StringComparison.Ordinal)) throw Problems.InvalidField(field, "The name of an affinity has no comma: commas part them.");
            CheckName(field, name);
            if (!names.TryAdd(slot, name)) throw FarmTokens.Repeated(field);
        }

        return names;
    }
}
