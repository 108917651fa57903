using Microsoft.AspNetCore.Components;

namespace JobHub.Web;

/// <summary>All marks and icons, put once into each page.</summary>
public sealed class IconSheet(IWebHostEnvironment environment)
{
    private readonly Lazy<MarkupString> sheet = new(() =>
    {
        using var reader = new StreamReader(environment.WebRootFileProvider.GetFileInfo("icons.svg").CreateReadStream());
        return new MarkupString(reader.ReadToEnd());
    });

    public MarkupString Markup => sheet.Value;
}
