using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Engine.Trees;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Farm;

/// <summary>What callers say of jobs: new ones, and changes of those that are there.</summary>
public static class FarmJobFields
{
    /// <summary>The largest texts, in bytes of UTF-8.</summary>
    public const int LongestTitle = 64 << 10, LongestDir = 4096, LongestEnvironment = 1 << 20, LongestAffinity = 8 << 10, LongestUser = 1024, LongestUrl = 64 << 10, LongestPattern = 4096;

    /// <summary>How often a job may be run again, and the jobs it may depend on.</summary>
    public const int MostRetries = 1_000_000, MostDependencies = JobTrees.MostDependencies;

    private const int LeastPriority = 0, MostPriority = 255;

    private enum Field
    {
        Parent, Title, Command, Dir, Environment, State, Paused, Retry, Timeout, Priority, Affinity, User, Url, ProgressPattern, Dependencies,
    }

    private static readonly FrozenDictionary<string, Field> Written = new Dictionary<string, Field>
    {
        ["parent"] = Field.Parent, ["title"] = Field.Title, ["command"] = Field.Command, ["dir"] = Field.Dir, ["environment"] = Field.Environment, ["state"] = Field.State,
        ["paused"] = Field.Paused, ["retry"] = Field.Retry, ["timeout"] = Field.Timeout, ["priority"] = Field.Priority, ["affinity"] = Field.Affinity, ["user"] = Field.User,
        ["url"] = Field.Url, ["progress_pattern"] = Field.ProgressPattern, ["dependencies"] = Field.Dependencies,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    // Clients send back whole job objects, so a new job may carry them; a change of them is a mistake.
    private static readonly FrozenSet<string> ReadOnly = FarmJobWire.Names.Where(static name => !Written.ContainsKey(name)).ToFrozenSet(StringComparer.Ordinal);

    private sealed class Values
    {
        public long? Parent;
        public string? Title, Command, Dir, Environment, State, Affinity, User, Url, ProgressPattern;
        public bool? Paused;
        public int? Retry, Timeout, Priority;
        public long[]? Dependencies;
    }

    /// <summary>PUT /api/jobs: one job, or many in an array.</summary>
    public static NewFarmJobs ReadNew(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.StartObject) return new([NewOf(ReadValues(ref reader, "", ignoreReadOnly: true))], Many: false);
        if (reader.TokenType != JsonTokenType.StartArray) throw Problems.InvalidField("body", "The body must be a job's object, or an array of them.");
        var jobs = new List<NewTreeJob>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var place = string.Create(CultureInfo.InvariantCulture, $"[{jobs.Count}]");
            if (jobs.Count == FarmBody.MostJobs) throw FarmBody.TooMany();
            if (reader.TokenType != JsonTokenType.StartObject) throw Problems.InvalidField(place, $"'{place}' must be a job's object.");
            jobs.Add(NewOf(ReadValues(ref reader, place, ignoreReadOnly: true)));
        }

        return new(jobs, Many: true);
    }

    /// <summary>POST /api/jobs: changes by id.</summary>
    public static IReadOnlyList<TreeEdit> ReadEdits(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw Problems.InvalidField("body", "The body must be an object of jobs' ids, each with the fields to change: {\"123\":{\"title\":\"…\"}}.");
        var edits = new Dictionary<long, TreeEdit>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var name = FarmTokens.Name(ref reader, "");
            var place = FarmTokens.Join("", name);
            if (!long.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var id) || id == 0) throw Problems.InvalidField(place, $"'{place}' must be the id of a job.");
            if (edits.Count == FarmBody.MostJobs) throw FarmBody.TooMany();
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject) throw Problems.InvalidField(place, $"'{place}' must be an object of the fields to change.");
            if (!edits.TryAdd(id, EditOf(id, place, ReadValues(ref reader, place, ignoreReadOnly: false)))) throw FarmTokens.Repeated(place);
        }

        return [.. edits.Values];
    }

    private static Values ReadValues(ref Utf8JsonReader reader, string place, bool ignoreReadOnly)
    {
        var values = new Values();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var name = FarmTokens.Name(ref reader, place);
            var path = FarmTokens.Join(place, name);
            if (!seen.Add(name)) throw FarmTokens.Repeated(path);
            var known = Written.TryGetValue(name, out var field);
            if (!known && !ReadOnly.Contains(name)) throw new RefusedException(400, "unknown-field", $"There is no field '{path}'. Known: {string.Join(", ", Written.Keys.Order(StringComparer.Ordinal))}.", path);
            if (!known && !ignoreReadOnly) throw new RefusedException(400, "read-only-field", $"'{path}' cannot be changed. What can: {string.Join(", ", Written.Keys.Order(StringComparer.Ordinal))}.", path);
            reader.Read();
            // null is the same as absent.
            if (!known) reader.Skip();
            else if (reader.TokenType != JsonTokenType.Null) Set(values, field, ref reader, path);
        }

        return values;
    }

    private static void Set(Values values, Field field, ref Utf8JsonReader reader, string path)
    {
        switch (field)
        {
            case Field.Parent: values.Parent = FarmTokens.Whole(ref reader, path, 0, long.MaxValue); break;
            case Field.Title: values.Title = Bounded(path, FarmTokens.Text(ref reader, path), LongestTitle); break;
            case Field.Command: values.Command = Bounded(path, FarmTokens.Text(ref reader, path), SubmitFields.LongestArgument); break;
            case Field.Dir: values.Dir = Bounded(path, FarmTokens.Text(ref reader, path), LongestDir); break;
            case Field.Environment: values.Environment = Environment(path, FarmTokens.Text(ref reader, path)); break;
            case Field.State: values.State = FarmTokens.Text(ref reader, path); break;
            case Field.Paused: values.Paused = FarmTokens.Flag(ref reader, path); break;
            case Field.Retry: values.Retry = (int)FarmTokens.Whole(ref reader, path, 0, MostRetries); break;
            case Field.Timeout: values.Timeout = (int)FarmTokens.Whole(ref reader, path, 0, int.MaxValue); break;
            case Field.Priority: values.Priority = Priority(FarmTokens.Whole(ref reader, path, long.MinValue, long.MaxValue)); break;
            case Field.Affinity: values.Affinity = Affinity(path, FarmTokens.Text(ref reader, path)); break;
            case Field.User: values.User = Bounded(path, FarmTokens.Text(ref reader, path), LongestUser); break;
            case Field.Url: values.Url = Bounded(path, FarmTokens.Text(ref reader, path), LongestUrl); break;
            case Field.ProgressPattern: values.ProgressPattern = Bounded(path, FarmTokens.Text(ref reader, path), LongestPattern); break;
            case Field.Dependencies:
                values.Dependencies = FarmTokens.Ids(ref reader, path);
                if (values.Dependencies.Length > MostDependencies) throw Problems.InvalidField(path, $"'{path}' has more than {MostDependencies} jobs. Put them into a group and depend on that.");
                break;
            default: throw new System.Diagnostics.UnreachableException();
        }
    }

    /// <summary>A priority is kept within what the queue knows: old clients send 1000.</summary>
    public static int Priority(long asked) => (int)Math.Clamp(asked, LeastPriority, MostPriority);

    /// <summary>Text of at most so many bytes.</summary>
    public static string Bounded(string field, string text, int most) =>
        Encoding.UTF8.GetByteCount(text) <= most ? text : throw Problems.InvalidField(field, $"'{field}' is over {most} bytes.");

    /// <summary>K=V a line. Lines that set nothing are kept as they are; the hub's own names are its own.</summary>
    public static string Environment(string field, string text)
    {
        Bounded(field, text, LongestEnvironment);
        var lines = text.Replace("\\n", "\n", StringComparison.Ordinal).AsSpan();
        foreach (var range in lines.Split('\n'))
        {
            var line = lines[range].TrimStart();
            if (line.StartsWith("JOBHUB_", StringComparison.OrdinalIgnoreCase)) throw Problems.InvalidField(field, $"'{field}' sets a name that begins with JOBHUB_; those are set by the hub.");
            if (Encoding.UTF8.GetByteCount(line) > SubmitFields.LongestArgument) throw Problems.InvalidField(field, $"'{field}' has a line of over {SubmitFields.LongestArgument} bytes.");
        }

        return text;
    }

    /// <summary>Tags parted by commas. A line end would part a worker's alternatives, so that no worker could offer such a tag.</summary>
    public static string Affinity(string field, string text)
    {
        Bounded(field, text, LongestAffinity);
        return text.Any(char.IsControl) ? throw Problems.InvalidField(field, $"'{field}' has a control character. It is the names of affinities, parted by commas.") : text;
    }

    private static NewTreeJob NewOf(Values values)
    {
        var job = new NewTreeJob();
        return job with
        {
            Parent = values.Parent ?? 0, Title = values.Title ?? "", Command = values.Command ?? "", Dir = values.Dir ?? "", Environment = values.Environment ?? "",
            // Any other word means that it waits.
            Paused = values.Paused == true || values.State == FarmMapping.Paused,
            Retry = values.Retry ?? 0, TimeoutSeconds = values.Timeout ?? job.TimeoutSeconds, Priority = values.Priority ?? job.Priority, Affinity = values.Affinity ?? "",
            User = values.User ?? "", Url = values.Url ?? "", ProgressPattern = values.ProgressPattern ?? "", Dependencies = values.Dependencies ?? [],
        };
    }

    private static TreeEdit EditOf(long id, string place, Values values)
    {
        bool? pause = values.State switch
        {
            null => null,
            FarmMapping.Paused => true,
            FarmMapping.Waiting => false,
            _ => throw Problems.InvalidField($"{place}.state", $"'{place}.state' can be set to WAITING (start) or PAUSED (pause) only."),
        };
        if (pause is { } asked && values.Paused is { } flag && flag != asked) throw Problems.InvalidField($"{place}.paused", $"'{place}.paused' and '{place}.state' say opposite things.");
        return new TreeEdit(id)
        {
            Title = values.Title, Command = values.Command, Dir = values.Dir, Environment = values.Environment, Pause = pause, Paused = pause is null ? values.Paused : null,
            Retry = values.Retry, TimeoutSeconds = values.Timeout, Priority = values.Priority, Affinity = values.Affinity, User = values.User, Url = values.Url,
            ProgressPattern = values.ProgressPattern, Parent = values.Parent, Dependencies = values.Dependencies,
        };
    }
}

/// <summary>New jobs as they were asked for: one, or an array that is answered by an array.</summary>
public sealed record NewFarmJobs(IReadOnlyList<NewTreeJob> Jobs, bool Many);
