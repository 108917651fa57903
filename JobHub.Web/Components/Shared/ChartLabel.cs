using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Components.Shared;

/// <summary>Text in a chart. Razor takes an element of this name for its own.</summary>
public static class ChartLabel
{
    public static RenderFragment Of(double x, double y, string anchor, string words) => builder =>
    {
        builder.OpenElement(0, "text");
        builder.AddAttribute(1, "x", ChartScale.Px(x));
        builder.AddAttribute(2, "y", ChartScale.Px(y));
        builder.AddAttribute(3, "text-anchor", anchor);
        builder.AddContent(4, words);
        builder.CloseElement();
    };
}
