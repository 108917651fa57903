using System.Text.Json.Nodes;

namespace JobHub.Web.Components.Pages.Submit;

/// <summary>The forms of the four families.</summary>
public static class SubmitForms
{
    private const string Inputs = "Input", Programs = "Programs", Output = "Output", Runs = "How it runs", What = "What runs", Needs = "What it needs";

    /// <summary>New forms, empty.</summary>
    public static IReadOnlyList<SubmitForm> All() => [MapReduce(), Command(), Analysis(), Farm()];

    private static SubmitField Title => new("title", "Title", FieldKind.Text, 3) { Optional = true, Longest = 256 };

    private static SubmitField Priority => new("priority", "Priority", FieldKind.Number, 1) { Initial = "255", Most = 255 };

    private static SubmitField Project => new("project", "Project", FieldKind.Project, 2) { Optional = true, Longest = 64, Placeholder = "default", Rule = ProjectRule, Linked = true };

    private static SubmitForm MapReduce() => new()
    {
        Family = "mapreduce", Word = "MapReduce", Path = static f => "/api/v1/jobs" + InProject(f),
        Watched = ["inputPath", "inputType", "splitSize", "nReducers", "inputStorageCredentials.username", "inputStorageCredentials.password", "project"],
        Look = static async (f, hub, ct) =>
        {
            if (f.Has("inputStorageCredentials.username") != f.Has("inputStorageCredentials.password")) return default;
            var fields = new JsonObject();
            Text(fields, f, "inputPath", "inputType");
            Whole(fields, f, "splitSize", "nReducers");
            Credentials(fields, f, name => f[name], "inputStorageCredentials");
            return (await hub.InputAsync(ProjectOf(f), fields, ct), null, null);
        },
        Fields =
        [
            new("inputPath", "Input path", FieldKind.Mono, 6) { Section = Inputs, Placeholder = "project:///texts/*.txt", Hint = "project:/// and a path of Files, s3://bucket/key, or file:/// on the hub's machine. A slash at its end or a * takes many.", Rule = PathRule, Linked = true },
            new("inputType", "Type", FieldKind.Choice, 2) { Initial = "file/txt", Choices = [("file/txt", "Text, one record a line"), ("file/gzip", "Gzip, one split an object")] },
            new("splitSize", "Split size", FieldKind.Number, 2) { Optional = true, Placeholder = "67108864", Unit = "bytes", Least = 1 },
            new("inputStorageCredentials.username", "Access key of the input", FieldKind.Text, 3) { Optional = true, Placeholder = "the hub's own", Longest = 256, LookedWhenLeft = true },
            new("inputStorageCredentials.password", "Its secret", FieldKind.Secret, 3) { Optional = true, Longest = 1024, Hint = "Not kept by this page.", LookedWhenLeft = true },
            new("mapperName", "Mapper", FieldKind.Program) { Section = Programs, Linked = true },
            new("reducerName", "Reducer", FieldKind.Program) { Rule = SameType, Linked = true },
            new("combinerName", "Combiner", FieldKind.Program) { Optional = true, Rule = SameType },
            new("mapperArgs", "Mapper arguments", FieldKind.Lines) { Optional = true, Placeholder = "one a line" },
            new("outputPath", "Output path", FieldKind.Mono, 4) { Section = Output, Placeholder = "s3://results/sessions", Hint = "s3:// is the hub's own store; a bucket is made when there is none. Each job writes below its own id.", Rule = static (v, f) => v.StartsWith("project:", StringComparison.OrdinalIgnoreCase) ? "A project's files are only read. Write s3:// and a bucket, or file:/// and a folder." : PathRule(v, f) },
            new("nReducers", "Reducers", FieldKind.Number, 2) { Initial = "1", Least = 1, Most = 10_000 },
            new("outputStorageCredentials.username", "Access key of the output", FieldKind.Text, 3) { Optional = true, Placeholder = "the hub's own", Longest = 256 },
            new("outputStorageCredentials.password", "Its secret", FieldKind.Secret, 3) { Optional = true, Longest = 1024 },
            Title with { Section = Runs }, Priority, Project,
            new("maxAttempts", "Attempts a task", FieldKind.Number, 2) { Optional = true, Placeholder = "4", Least = 1, Most = 100 },
            new("timeoutSeconds", "Time limit", FieldKind.Number, 2) { Optional = true, Placeholder = "none", Unit = "seconds", Least = 1, Most = 31_536_000 },
            new("speculative", "Stragglers", FieldKind.Switch, 2) { Initial = "true", Hint = "Second attempts" },
        ],
        Body = static (f, secret) =>
        {
            var body = new JsonObject();
            Text(body, f, "inputPath", "inputType");
            Whole(body, f, "splitSize");
            Credentials(body, f, secret, "inputStorageCredentials");
            Text(body, f, "mapperName");
            if (f.Lines("mapperArgs") is { Length: > 0 } args) body["mapperArgs"] = List(args);
            Text(body, f, "combinerName", "reducerName");
            Whole(body, f, "nReducers");
            Text(body, f, "outputPath");
            Credentials(body, f, secret, "outputStorageCredentials");
            Text(body, f, "title");
            Whole(body, f, "priority", "maxAttempts", "timeoutSeconds");
            if (f["speculative"] is not "true") body["speculative"] = false;
            return body;
        },
    };

    private static SubmitForm Command() => new()
    {
        Family = "command", Word = "Command", Path = static f => "/jobs" + InProject(f),
        Watched = ["files", "project"],
        Look = static async (f, hub, ct) =>
        {
            foreach (var path in f.Lines("files").Take(MostFiles))
            {
                if (!await hub.HasFileAsync(ProjectOf(f), path, ct)) return (null, "files", $"The project has no file '{(path.Length > 100 ? path[..100] : path)}'. Upload it on the page Files, or take the line away.");
            }

            return default;
        },
        Fields =
        [
            new("command", "Command", FieldKind.Lines, 6) { Section = What, Longest = 131_071, Placeholder = "wc -l < /data/in.csv", Hint = "Run by sh -c." },
            new("files", "Files it reads", FieldKind.Lines) { Optional = true, Placeholder = "/data/in.csv, one a line", Hint = "Files or folders of the project's file space." },
            new("program", "Program", FieldKind.Program) { Optional = true, Hint = "Placed where the command starts.", Aliases = ["artifact"] },
            new("workdir", "Starts in", FieldKind.Mono) { Optional = true, Placeholder = "/job", Rule = static (v, _) => v.StartsWith('/') ? null : "An absolute path." },
            new("env", "Environment", FieldKind.Lines) { Optional = true, Placeholder = "NAME=value, one a line", Rule = static (_, f) => Pairs(f) },
            new("gpus", "GPUs", FieldKind.Number, 2) { Section = Needs, Optional = true, Placeholder = "0", Most = 1024 },
            new("cpus", "Cores", FieldKind.Number, 2) { Optional = true, Placeholder = "0", Most = 4096 },
            new("memory", "Memory", FieldKind.Text, 2) { Optional = true, Placeholder = "none", Hint = "As 512Mi or 4G. Above it the command is killed.", Longest = 40 },
            new("image", "Container image", FieldKind.Mono) { Optional = true, Longest = 512, Hint = "Only workers that run containers take it." },
            Priority with { Section = Runs, Width = 2 }, Project,
            new("max_attempts", "Attempts", FieldKind.Number, 2) { Optional = true, Placeholder = "1", Least = 1, Most = 100 },
            new("timeout", "Time limit", FieldKind.Number, 2) { Optional = true, Placeholder = "none", Unit = "seconds", Least = 1, Most = 31_536_000 },
        ],
        Body = static (f, _) =>
        {
            var body = new JsonObject();
            Text(body, f, "command");
            var files = new JsonArray([.. f.Lines("files").Select(static path => (JsonNode)new JsonObject { ["path"] = path })]);
            if (f.Has("program")) files.Add((JsonNode)new JsonObject { ["artifact"] = f["program"].Trim() });
            if (files.Count > 0) body["files"] = files;
            Text(body, f, "workdir");
            if (f.Lines("env") is { Length: > 0 } env)
                body["env"] = new JsonObject(env.Select(static e => e.Split('=', 2)).DistinctBy(static e => e[0]).Select(static e => KeyValuePair.Create(e[0], (JsonNode?)(e.Length > 1 ? e[1] : ""))));
            Whole(body, f, "gpus", "cpus");
            Text(body, f, "memory", "image");
            Whole(body, f, "priority", "max_attempts", "timeout");
            return body;
        },
    };

    private static SubmitForm Analysis() => new()
    {
        Family = "analysis", Word = "Analysis", Path = static f => $"/projects/{Uri.EscapeDataString(f.Has("project") ? f["project"].Trim() : "PROJECT")}/jobs{(f.Has("priority") && f["priority"] is not "255" ? $"?priority={Uri.EscapeDataString(f["priority"].Trim())}" : "")}",
        Watched = ["dataset", "project", "inference", "analysis"],
        Look = static async (f, hub, ct) =>
        {
            var dataset = $"/hub/v1/projects/{Uri.EscapeDataString(f["project"].Trim())}/datasets/{Uri.EscapeDataString(f["dataset"].Trim())}";
            if (!f.Has("project")) return default;
            if (!await hub.HasAsync(dataset, ct)) return (null, "dataset", "The project has no dataset with this id. Its page lists them.");
            return f["analysis"] is "visualization" && f.Has("inference") && !await hub.HasAsync($"{dataset}/inferences/{Uri.EscapeDataString(f["inference"].Trim())}", ct)
                ? (null, "inference", "The dataset has no inference with this id, or it is not made yet.") : default;
        },
        Fields =
        [
            new("project", "Project", FieldKind.Project, 3) { Section = "Where", Longest = 64, Rule = ProjectRule, Linked = true },
            new("dataset", "Dataset", FieldKind.Mono, 3) { Placeholder = "its id", Rule = IdRule, Aliases = ["parameters"] },
            new("analysis", "Analysis", FieldKind.Choice) { Section = What, Initial = "inference", Choices = [("inference", "Inference: a tree of the profiles (goeBURST)"), ("visualization", "Visualization: a picture of a tree (radial)")] },
            new("level", "Loci that may differ", FieldKind.Number, 2) { Initial = "1", Optional = true, Least = 1, Hint = "Of an inference: 1 to 3, or all loci." },
            new("inference", "Inference", FieldKind.Mono) { Optional = true, Placeholder = "its id", Hint = "Of a visualization.", Rule = IdRule },
            Priority with { Section = Runs, Width = 2 },
        ],
        Body = static (f, _) => f["analysis"] is "visualization"
            ? new JsonObject { ["analysis"] = "visualization", ["algorithm"] = "radial", ["parameters"] = new JsonArray(f["dataset"].Trim(), f["inference"].Trim()) }
            : new JsonObject { ["analysis"] = "inference", ["algorithm"] = "goeburst", ["parameters"] = new JsonArray(f["dataset"].Trim(), f.Number("level") ?? 1) },
    };

    private static SubmitForm Farm() => new()
    {
        Family = "farm", Word = "Farm tree", Method = "PUT", Path = static f => "/api/jobs" + InProject(f),
        Fields =
        [
            Title with { Section = "The group", Optional = false, Longest = 65_536 }, Priority, Project,
            new("affinity", "Affinity", FieldKind.Text) { Optional = true, Placeholder = "LINUX,GPU", Hint = "A worker has to offer all of them.", Longest = 4096 },
            new("user", "User", FieldKind.Text, 2) { Optional = true, Longest = 256 },
            new("paused", "Begins", FieldKind.Switch, 1) { Hint = "Paused" },
            new("commands", "Commands", FieldKind.Lines, 6) { Section = "What is in it", Optional = true, Longest = 200_000, Placeholder = "render --frame 1\nrender --frame 2", Hint = "One job a line. None makes an empty group." },
            new("environment", "Environment", FieldKind.Lines) { Optional = true, Placeholder = "NAME=value, one a line" },
            new("dir", "Runs in", FieldKind.Mono) { Optional = true, Placeholder = "a scratch folder" },
            new("retry", "Run again at most", FieldKind.Number, 2) { Optional = true, Placeholder = "0", Most = 1_000_000 },
            new("timeout", "Time limit", FieldKind.Number, 2) { Optional = true, Placeholder = "1000", Unit = "seconds" },
        ],
        Body = static (f, _) =>
        {
            var body = new JsonObject();
            Text(body, f, "title");
            Whole(body, f, "priority");
            Text(body, f, "affinity", "user");
            if (f["paused"] is "true") body["paused"] = true;
            return body;
        },
        Children = static f => new JsonArray([.. f.Lines("commands").Select((command, index) =>
        {
            var child = new JsonObject { ["title"] = command.Length > 100 ? command[..100] : command, ["command"] = command };
            Text(child, f, "environment", "dir", "user");
            Whole(child, f, "retry", "timeout");
            return (JsonNode)child;
        })]),
    };

    // More are looked at when it is sent.
    private const int MostFiles = 20;

    private static string? ProjectOf(SubmitForm form) => form.Has("project") ? form["project"].Trim() : null;

    private static string InProject(SubmitForm form) => form.Has("project") ? $"?project={Uri.EscapeDataString(form["project"].Trim())}" : "";

    private static void Text(JsonObject body, SubmitForm form, params string[] names)
    {
        foreach (var name in names)
        {
            if (form.Has(name)) body[name] = form[name].Trim();
        }
    }

    private static void Whole(JsonObject body, SubmitForm form, params string[] names)
    {
        foreach (var name in names)
        {
            // What is no number is shown as it stands; it is not sent.
            if (form.Has(name)) body[name] = form.Number(name) is { } number ? number : form[name].Trim();
        }
    }

    private static void Credentials(JsonObject body, SubmitForm form, Func<string, string> secret, string name)
    {
        if (form.Has(name + ".username") || form.Has(name + ".password"))
            body[name] = new JsonObject { ["username"] = form[name + ".username"].Trim(), ["password"] = form.Has(name + ".password") ? secret(name + ".password") : "" };
    }

    private static JsonArray List(string[] values) => new([.. values.Select(static v => (JsonNode)v)]);

    private static string? PathRule(string value, SubmitForm form) => value.Contains('/', StringComparison.Ordinal) ? null : "A path as project:///text.txt, s3://bucket/key, file:///folder/file or http://host:port/bucket/key.";

    private static string? ProjectRule(string value, SubmitForm form) =>
        char.IsAsciiLetterOrDigit(value[0]) && value.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_' or '.') ? null : "Lower-case letters, digits, '-', '_' and '.'.";

    private static string? IdRule(string value, SubmitForm form) => Guid.TryParse(value, out _) ? null : "An id, as 4af95b39-7ca8-40f8-87f8-617dd961fb73.";

    private static string? Pairs(SubmitForm form) => Array.Find(form.Lines("env"), static line => line.IndexOf('=', StringComparison.Ordinal) < 1) is { } wrong ? $"'{(wrong.Length > 40 ? wrong[..40] : wrong)}' is not NAME=value." : null;

    private static string? SameType(string value, SubmitForm form)
    {
        string? TypeOf(string name) => form.Programs.FirstOrDefault(p => p.Name == name.Trim())?.Type;
        return TypeOf(form["mapperName"]) is { } mapper && TypeOf(value) is { } own && own != mapper ? $"It is {own}, the mapper is {mapper}: they must be alike." : null;
    }
}
