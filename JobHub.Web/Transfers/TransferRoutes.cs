using System.Text.RegularExpressions;

namespace JobHub.Web.Transfers;

/// <summary>What of the hub's API browsers send to and take from directly: bytes of any size, which the connection of an open page is not made for. Nothing else is forwarded.</summary>
public static partial class TransferRoutes
{
    // What RFC 3986 lets a segment be made of: a backslash would be read as a slash further on, and a # would end the path.
    private const string Segment = "[A-Za-z0-9._~%!$&'()*+,;=:@-]{1,400}";

    /// <summary>Whether a call is on the list.</summary>
    /// <param name="path">Below <c>/hub/v1</c>, as it stands in the request line: nothing decoded.</param>
    public static bool Allows(string method, string path) => method switch
    {
        "GET" or "HEAD" => Read().IsMatch(path),
        "PUT" => path == "/files" || Typing().IsMatch(path),
        "POST" => path == "/artifacts" || Typing().IsMatch(path) || Tree().IsMatch(path),
        _ => false,
    };

    [GeneratedRegex($@"\A/(files/content|jobs/{Segment}/(log|outputs/content)|artifacts/{Segment}/versions/\d{{1,9}}/content|projects/{Segment}/datasets/{Segment}/inferences/{Segment}(/visualizations/{Segment})?)\z", RegexOptions.CultureInvariant)]
    private static partial Regex Read();

    [GeneratedRegex($@"\A/projects/{Segment}/datasets/{Segment}/(profiles|isolates)/files\z", RegexOptions.CultureInvariant)]
    private static partial Regex Typing();

    [GeneratedRegex($@"\A/projects/{Segment}/datasets/{Segment}/inferences\z", RegexOptions.CultureInvariant)]
    private static partial Regex Tree();
}
