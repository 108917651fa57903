using System.Text.Json;
using JobHub.Web.Client;
using JobHub.Web.Components.Shared;

namespace JobHub.Web.Components.Pages.Events;

/// <summary>What an event says.</summary>
public static class EventWords
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static int Fields(PastEvent happened)
    {
        ArgumentNullException.ThrowIfNull(happened);
        return happened.Payload.ValueKind == JsonValueKind.Object ? happened.Payload.EnumerateObject().Count() : 0;
    }

    /// <summary>The fields that are words or numbers, in a line.</summary>
    /// <param name="title">The job's, where it is told with its submission.</param>
    public static string Says(PastEvent happened, string? title)
    {
        ArgumentNullException.ThrowIfNull(happened);
        if (happened.Payload.ValueKind != JsonValueKind.Object) return "";
        var parts = new List<string>();
        if (happened.Kind == "job-submitted" && title is not null) parts.Add(title);
        foreach (var field in happened.Payload.EnumerateObject().Take(8))
        {
            if (field.NameEquals("error") && field.Value.ValueKind == JsonValueKind.Object) parts.Add(field.Value.TryGetProperty("message", out var message) ? message.ToString() : field.Value.ToString());
            else if (field.Value.ValueKind is JsonValueKind.String or JsonValueKind.Number) parts.Add($"{field.Name} {field.Value}");
            else if (field.Value.ValueKind == JsonValueKind.Array) parts.Add($"{field.Name}: {field.Value.GetArrayLength()}");
        }

        return Shown.Name(string.Join(" · ", parts));
    }

    /// <summary>All of it, indented.</summary>
    public static string Payload(PastEvent happened)
    {
        ArgumentNullException.ThrowIfNull(happened);
        return Shown.Text(JsonSerializer.Serialize(happened.Payload, Indented), 4000);
    }
}
