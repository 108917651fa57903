using System.Globalization;

namespace JobHub.Web.Components;

/// <summary>Numbers of an address as text: what is none is left out, as if the address did not name it.</summary>
internal static class QueryNumber
{
    public static long? Long(string? text) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    public static int? Int(string? text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
}
