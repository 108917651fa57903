using System.Diagnostics;
using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/trees/affinities</c>: the names of the slots that affinities of jobs of trees are.</summary>
public static class HubTreeSlots
{
    private const int LongestName = 255;

    public static void MapTreeSlots(this RouteGroupBuilder trees)
    {
        trees.MapGet("/affinities", GetAsync).Produces<HubSlots>().WithSummary("The names of the slots; those that are free are left out.");
        trees.MapPost("/affinities", SetAsync).Accepts<HubSlotNames>("application/json").ProducesProblem(400).ProducesProblem(409).WithSummary("Names slots, an empty name frees one: all or none.");
    }

    /// <summary>A name as it may be stored.</summary>
    internal static void CheckName(string field, string? name, bool empty)
    {
        if (name is null || (name.Length == 0 && !empty) || name.Length > LongestName || name.Any(static c => char.IsControl(c) || c == ',') || name.Trim() != name)
            throw Problems.InvalidField(field, $"The name of an affinity has {(empty ? "at most" : "1 to")} {LongestName} characters, no comma and no control character, and no blank at its ends.");
    }

    private static async Task<IResult> GetAsync(AffinitySlots slots, CancellationToken ct)
    {
        var names = await slots.ListAsync(ct);
        return TypedResults.Ok(new HubSlots(AffinitySlots.Count, names.Index().Where(static n => n.Item.Length > 0).ToDictionary(static n => (n.Index + 1).ToString(CultureInfo.InvariantCulture), static n => n.Item)));
    }

    private static async Task<IResult> SetAsync(HttpContext context, AffinitySlots slots, CancellationToken ct)
    {
        if ((await JsonBody.ReadAsync<HubSlotNames>(context.Request, ct)).Value.Names is not { Count: > 0 } wanted) throw Problems.InvalidField("names", "'names' names slots by their numbers, as {\"1\": \"LINUX\"}.");
        var names = new Dictionary<int, string>();
        foreach (var (key, name) in wanted)
        {
            if (!int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var slot) || slot is < 1 or > AffinitySlots.Count || key[0] == '0') throw Problems.InvalidField("names", $"There are slots 1 to {AffinitySlots.Count}.");
            CheckName($"names.{slot}", name, empty: true);
            names[slot] = name;
        }

        AuditNote.Objects(context, names.Keys);
        return await slots.SetAsync(names, ct) switch
        {
            SlotResult.Done => TypedResults.NoContent(),
            SlotResult.InUse used => Problems.Conflict("affinity-in-use", $"Slot {used.Slot} is '{used.Name}', which {used.By} uses. Nothing was changed.", $"names.{used.Slot}"),
            SlotResult.Twice twice => Problems.Conflict("affinity-name-taken", $"'{twice.Name}' would be the name of slot {twice.Slot} and of another. Nothing was changed.", $"names.{twice.Slot}"),
            _ => throw new UnreachableException(),
        };
    }
}

/// <summary>The slots that have names, by their numbers, and how many slots there are.</summary>
public sealed record HubSlots(int Slots, Dictionary<string, string> Names);

/// <summary>Names by slot; an empty one frees it.</summary>
public sealed record HubSlotNames(Dictionary<string, string>? Names);
