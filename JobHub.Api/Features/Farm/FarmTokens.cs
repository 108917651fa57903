using System.Text.Json;
using JobHub.Api.Http;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Farm;

/// <summary>Single values of this family's bodies. Each names its field when it is not what the field takes.</summary>
public static class FarmTokens
{
    /// <summary>A member's name.</summary>
    public static string Name(ref Utf8JsonReader reader, string place) => Decoded(ref reader, place.Length == 0 ? "body" : place);

    /// <summary>Text that can be stored and given to a program.</summary>
    public static string Text(ref Utf8JsonReader reader, string field)
    {
        if (reader.TokenType != JsonTokenType.String) throw Problems.InvalidField(field, $"'{field}' must be text.");
        return SubmitFields.Clean(field, Decoded(ref reader, field));
    }

    /// <summary>A whole number in a range; a fraction, an exponent or one that 64 bits do not hold is none.</summary>
    public static long Whole(ref Utf8JsonReader reader, string field, long least, long most)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number)) return SubmitFields.Within(field, number, least, most);
        throw Problems.InvalidField(field, most == long.MaxValue ? $"'{field}' must be a whole number from {least}." : $"'{field}' must be a whole number from {least} to {most}.");
    }

    /// <summary>true, false, 1 or 0.</summary>
    public static bool Flag(ref Utf8JsonReader reader, string field) => reader.TokenType switch
    {
        JsonTokenType.True => true,
        JsonTokenType.False => false,
        JsonTokenType.Number when reader.TryGetInt64(out var number) && number is 0 or 1 => number == 1,
        _ => throw Problems.InvalidField(field, $"'{field}' must be true, false, 1 or 0."),
    };

    /// <summary>An array of job ids, each once and in its order.</summary>
    public static long[] Ids(ref Utf8JsonReader reader, string field)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw Problems.InvalidField(field, $"'{field}' must be an array of job ids.");
        var ids = new List<long>();
        var index = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (index == FarmBody.MostJobs) throw FarmBody.TooMany();
            ids.Add(Whole(ref reader, At(field, index++), 1, long.MaxValue));
        }

        return [.. ids.Distinct()];
    }

    /// <summary>An array of texts that is the whole body, each once and in its order.</summary>
    public static string[] Names(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw Problems.InvalidField("body", "The body must be an array of names.");
        var names = new List<string>();
        var index = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray) names.Add(Text(ref reader, At("", index++)));
        return [.. names.Distinct(StringComparer.Ordinal)];
    }

    /// <summary>An array of job ids that is the whole body.</summary>
    public static long[] BodyOfIds(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw Problems.InvalidField("body", "The body must be an array of job ids, as [123,124].");
        return Ids(ref reader, "");
    }

    /// <summary>The refusal of a member that is given a second time.</summary>
    public static RefusedException Repeated(string field) => new(400, "repeated-field", $"The field '{field}' is given twice.", field);

    /// <summary>A member's place, for messages; a caller's own text is not repeated at any length.</summary>
    public static string Join(string place, string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var shown = name.Length <= 64 ? name : name[..64] + "…";
        return place.Length == 0 ? shown : $"{place}.{shown}";
    }

    private static string At(string place, int index) => $"{place}[{index}]";

    private static string Decoded(ref Utf8JsonReader reader, string field)
    {
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // Half a surrogate pair as an escape, or bytes that are no UTF-8.
            throw Problems.InvalidField(field, $"'{field}' has a character that cannot be passed on (half a surrogate pair, or bytes that are not UTF-8).");
        }
    }
}
