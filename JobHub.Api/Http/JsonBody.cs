using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Http;

/// <summary>A JSON body read strictly: an unknown, repeated or mistyped member is a 400 that names it.</summary>
/// <param name="Value">What was sent.</param>
/// <param name="Hash">SHA-256 of the body's bytes, for <see cref="IdempotencyKey"/>.</param>
public sealed record JsonBody<T>(T Value, byte[] Hash) where T : class;

/// <inheritdoc cref="JsonBody{T}"/>
public static class JsonBody
{
    /// <summary>The largest JSON body of a route that does not say otherwise.</summary>
    public const long DefaultLimit = 4 << 20;

    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Strict)
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase, allowIntegerValues: false) },
    };

    /// <summary>A body that has to be in memory, up to a limit: one byte more is a 413 at once.</summary>
    public static async Task<MemoryStream> BoundedAsync(HttpRequest request, long limit, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.ContentLength > limit) throw TooLarge(limit);
        var bytes = new MemoryStream((int)Math.Min(request.ContentLength ?? 4096, 64 << 10));
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(32 << 10);
        try
        {
            while (await request.Body.ReadAsync(buffer, ct) is var count and > 0)
            {
                if (bytes.Length + count > limit) throw TooLarge(limit);
                bytes.Write(buffer, 0, count);
            }
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }

        return bytes;
    }

    private static RefusedException TooLarge(long limit) => new(413, "body-too-large", $"The request's body is over this route's limit of {limit} bytes.");

    /// <summary>Reads the whole body, which the given limit or the route's own (<see cref="BodyLimit"/>) bounds.</summary>
    public static async Task<JsonBody<T>> ReadAsync<T>(HttpRequest request, CancellationToken ct, long? limit = null) where T : class
    {
        ArgumentNullException.ThrowIfNull(request);
        if (!string.IsNullOrEmpty(request.ContentType) && !request.HasJsonContentType())
        {
            throw new RefusedException(Problem.OfStatus(StatusCodes.Status415UnsupportedMediaType, request.HttpContext));
        }

        using var bytes = await BoundedAsync(request, limit ?? request.HttpContext.GetEndpoint()?.Metadata.GetMetadata<BodyLimit>()?.MaxRequestBodySize ?? DefaultLimit, ct);
        var body = bytes.GetBuffer().AsMemory(0, (int)bytes.Length);
        if (body.Span.StartsWith(Encoding.UTF8.Preamble)) body = body[Encoding.UTF8.Preamble.Length..];
        if (body.IsEmpty) throw new RefusedException(400, "body-missing", "The request needs a JSON object as its body.");
        return new JsonBody<T>(Bind<T>(body), SHA256.HashData(body.Span));
    }

    private static T Bind<T>(ReadOnlyMemory<byte> body) where T : class
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            Check(document.RootElement, Options.GetTypeInfo(typeof(T)), "");
            return document.Deserialize<T>(Options)!;
        }
        catch (JsonException fault)
        {
            throw new RefusedException(new Problem(400, "invalid-json", fault.LineNumber is { } line
                ? $"The body is not valid JSON: see line {line + 1}, byte {fault.BytePositionInLine + 1}."
                : "The body is not valid JSON."), fault);
        }
    }

    // The serializer says no more than a path, and for unknown members not even that. One walk over the members names what is wrong.
    private static void Check(JsonElement value, JsonTypeInfo type, string path)
    {
        switch (type.Kind)
        {
            case JsonTypeInfoKind.Object when value.ValueKind == JsonValueKind.Object:
                CheckMembers(value, type, path);
                return;
            case JsonTypeInfoKind.Enumerable when value.ValueKind == JsonValueKind.Array:
                var index = 0;
                foreach (var item in value.EnumerateArray()) CheckItem(item, Options.GetTypeInfo(type.ElementType!), $"{path}[{index++}]");
                return;
            case JsonTypeInfoKind.Dictionary when value.ValueKind == JsonValueKind.Object:
                var names = new HashSet<string>(StringComparer.Ordinal);
                foreach (var member in value.EnumerateObject())
                {
                    CheckRepeated(names, member.Name, path);
                    CheckItem(member.Value, Options.GetTypeInfo(type.ElementType!), Join(path, member.Name));
                }

                return;
            default:
                try
                {
                    _ = value.Deserialize(type);
                    if (type.Kind == JsonTypeInfoKind.None) return;
                }
                catch (Exception fault) when (fault is JsonException or InvalidOperationException or FormatException)
                {
                }

                throw Mistyped(path, type.Type);
        }
    }

    private static void CheckMembers(JsonElement value, JsonTypeInfo type, string path)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in value.EnumerateObject())
        {
            var property = type.Properties.FirstOrDefault(candidate => string.Equals(candidate.Name, member.Name, StringComparison.Ordinal));
            if (property is null)
            {
                var known = string.Join(", ", type.Properties.Select(static candidate => candidate.Name));
                throw new RefusedException(400, "unknown-field", $"There is no field '{Shown(Join(path, member.Name))}'. Known: {known}.", Shown(Join(path, member.Name)));
            }

            CheckRepeated(names, member.Name, path);
            // null is the same as absent.
            if (member.Value.ValueKind != JsonValueKind.Null) Check(member.Value, Options.GetTypeInfo(property.PropertyType), Join(path, member.Name));
        }
    }

    private static void CheckItem(JsonElement item, JsonTypeInfo type, string path)
    {
        if (item.ValueKind == JsonValueKind.Null) throw Mistyped(path, type.Type);
        Check(item, type, path);
    }

    private static void CheckRepeated(HashSet<string> names, string name, string path)
    {
        if (!names.Add(name)) throw new RefusedException(400, "repeated-field", $"The field '{Shown(Join(path, name))}' is given twice.", Shown(Join(path, name)));
    }

    private static RefusedException Mistyped(string path, Type type)
    {
        var field = path.Length == 0 ? "body" : Shown(path);
        return Problems.InvalidField(field, $"'{field}' must be {Describe(type)}.");
    }

    private static string Describe(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsEnum) return "one of " + string.Join(", ", Enum.GetNames(type).Select(JsonNamingPolicy.CamelCase.ConvertName));
        if (type.IsArray) return "an array";
        return Type.GetTypeCode(type) switch
        {
            TypeCode.Int32 or TypeCode.Int64 => "a whole number",
            TypeCode.Double or TypeCode.Decimal => "a number",
            TypeCode.Boolean => "true or false",
            TypeCode.String => "text",
            _ => "an object",
        };
    }

    private static string Join(string path, string name) => path.Length == 0 ? name : $"{path}.{name}";

    // A caller's own text comes back to that caller only, and not at any length.
    private static string Shown(string path) => path.Length <= 200 ? path : path[..200] + "…";
}
