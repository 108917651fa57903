namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// One UTF-8 text for each JSON value: two values are equal exactly when their texts are. Members ordered by the UTF-8 bytes of their names, numbers by exact
/// decimal value (1, 1.0, 1e0 are one number; -0 is 0), strings by value with one escaping, no white space. Duplicate members are refused.
/// </summary>
public static class CanonicalJson
{
    /// <summary>Arrays and objects inside each other.</summary>
    public const int MaxDepth = 256;

    /// <summary>Appends the canonical text of exactly one value. On <see cref="JsonRefusedException"/> the output holds a part of it.</summary>
    public static void Append(ReadOnlySpan<byte> json, ByteBuffer output)
    {
        var text = new JsonText(json);
        text.Value(output, JsonForm.Canonical);
        text.End();
    }

    /// <summary>Appends the value checked and without white space, otherwise as it was written.</summary>
    public static void AppendCompact(ReadOnlySpan<byte> json, ByteBuffer output)
    {
        var text = new JsonText(json);
        text.Value(output, JsonForm.Compact);
        text.End();
    }

    /// <summary>The canonical text of exactly one value.</summary>
    public static byte[] Of(ReadOnlySpan<byte> json)
    {
        var output = new ByteBuffer();
        Append(json, output);
        return output.Span.ToArray();
    }
}
