using System.Globalization;
using System.Text;

namespace JobHub.Web.Components.Shared;

/// <summary>A chart's upright axis: from nothing to a round number above the most, with a few lines between.</summary>
public readonly record struct ChartScale(double Most, double Step)
{
    /// <param name="most">The largest value.</param>
    /// <param name="lines">About how many lines above the ground.</param>
    public static ChartScale Of(double most, int lines)
    {
        if (most <= lines) return new(lines, 1);
        var rough = most / lines;
        var unit = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        var step = unit * ((rough / unit) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 });
        return new(Math.Ceiling(most / step) * step, step);
    }

    /// <summary>The lines' values, from the ground up.</summary>
    public IEnumerable<double> Lines()
    {
        for (var value = 0.0; value <= Most + (Step / 2); value += Step) yield return value;
    }

    /// <summary>Where a value stands between the ground and the top.</summary>
    public double Y(double value, double top, double ground) => ground - (Math.Clamp(value / Most, 0, 1) * (ground - top));

    /// <summary>A number on an axis: 40k.</summary>
    public static string Label(double value) => value switch
    {
        >= 1_000_000 => $"{value / 1_000_000:0.#}M", >= 10_000 => $"{value / 1000:0.#}k", _ => value.ToString("#,0.##", CultureInfo.InvariantCulture),
    };

    /// <summary>A number of pixels as SVG has it.</summary>
    public static string Px(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    /// <summary>Points of a line over times of equal distance.</summary>
    public static string Points(IEnumerable<(double X, double Y)> points)
    {
        ArgumentNullException.ThrowIfNull(points);
        var text = new StringBuilder();
        foreach (var (x, y) in points) text.Append(Px(x)).Append(',').Append(Px(y)).Append(' ');
        return text.ToString().TrimEnd();
    }
}
