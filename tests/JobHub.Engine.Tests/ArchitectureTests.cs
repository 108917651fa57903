using System.Text.RegularExpressions;
using System.Xml.Linq;
using JobHub.Engine.Tasks;
using Xunit;

namespace JobHub.Engine.Tests;

/// <summary>What CONTRIBUTING.md says about who may use whom, and that the documents draw what the code does.</summary>
public sealed partial class ArchitectureTests
{
    private static readonly string Repository = FindRepository();

    [Theory]
    [InlineData("JobHub.Engine", new string[0])]
    [InlineData("JobHub.ServiceDefaults", new string[0])]
    [InlineData("JobHub.Api", new[] { "JobHub.Engine", "JobHub.ServiceDefaults" })]
    [InlineData("JobHub.Worker", new[] { "JobHub.Engine", "JobHub.ServiceDefaults" })]
    [InlineData("JobHub.Web", new[] { "JobHub.ServiceDefaults" })]
    // Started as processes: built with the AppHost, never loaded into it.
    [InlineData("JobHub.AppHost", new string[0])]
    public void Project_ItsReferences_AreTheAllowedOnes(string project, string[] allowed)
    {
        var references = XDocument.Load(Path.Combine(Repository, project, $"{project}.csproj")).Descendants("ProjectReference")
            .Where(r => r.Attribute("ReferenceOutputAssembly")?.Value != "false")
            .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')))
            .Order(StringComparer.Ordinal);

        Assert.Equal(allowed, references);
    }

    [Theory]
    [InlineData("JobHub.Engine", "JobHub.Engine")]
    [InlineData("JobHub.ServiceDefaults", "JobHub.ServiceDefaults")]
    [InlineData("JobHub.Api", "JobHub.Api JobHub.Engine JobHub.ServiceDefaults")]
    [InlineData("JobHub.Web", "JobHub.Web JobHub.ServiceDefaults")]
    [InlineData("JobHub.AppHost", "JobHub.AppHost")]
    [InlineData("JobHub.Worker/Upkeep", "JobHub.Worker JobHub.Engine")]
    // The agent holds neither database nor store: the wire records, the enums they speak in, and the store's interface are all it may know.
    [InlineData("JobHub.Worker/Agent", AgentSide)]
    [InlineData("JobHub.Worker/Runtime", AgentSide)]
    [InlineData("JobHub.Worker/Executors", AgentSide)]
    [InlineData("JobHub.Worker/Program.cs", AgentSide)]
    [InlineData("JobHub.Worker/RunAttempt.cs", AgentSide)]
    [InlineData("JobHub.Worker/WorkerServices.cs", AgentSide)]
    public void Folder_ItsUsings_AreTheAllowedOnes(string folder, string allowed)
    {
        var prefixes = allowed.Split(' ');
        var wrong = Usings(folder).Where(u => !prefixes.Any(p => Covers(p, u.Namespace)));

        Assert.Empty(wrong);
    }

    [Fact]
    public void AgentSide_Anywhere_NamesNoDatabase()
    {
        var wrong = new[] { "Agent", "Runtime", "Executors" }.SelectMany(f => Sources($"JobHub.Worker/{f}"))
            .Where(f => DatabaseWord().IsMatch(File.ReadAllText(f)));

        Assert.Empty(wrong);
    }

    [Fact]
    public void Family_ItsUsings_NameNoOtherFamily()
    {
        var families = Directory.GetDirectories(Path.Combine(Repository, "JobHub.Api", "Features")).Select(d => Path.GetFileName(d)).ToArray();
        var wrong = families.SelectMany(family => Usings($"JobHub.Api/Features/{family}")
            .Where(u => Covers("JobHub.Api.Features", u.Namespace) && !Covers($"JobHub.Api.Features.{family}", u.Namespace)));

        Assert.NotEmpty(families);
        Assert.Empty(wrong);
    }

    [Fact]
    public void Http_ItsUsings_NameNoFamily() => Assert.DoesNotContain(Usings("JobHub.Api/Http"), u => Covers("JobHub.Api.Features", u.Namespace));

    [Fact]
    public void StateMachine_ItsDiagram_IsTheTableForEveryPair()
    {
        var page = File.ReadAllText(Path.Combine(Repository, "docs", "state-machine.md"));
        var diagram = page[page.IndexOf("```mermaid", StringComparison.Ordinal)..];
        diagram = diagram[..diagram.IndexOf("\n```", StringComparison.Ordinal)];
        var drawn = Transition().Matches(diagram).Select(m => (Enum.Parse<TaskState>(m.Groups[1].Value), Enum.Parse<TaskTrigger>(m.Groups[3].Value), Enum.Parse<TaskState>(m.Groups[2].Value)));

        var table = from @from in Enum.GetValues<TaskState>()
                    from trigger in Enum.GetValues<TaskTrigger>()
                    let to = TaskStates.Next(@from, trigger)
                    where to is not null
                    select (@from, trigger, to.Value);

        Assert.Equal(table.Order(), drawn.Order());
    }

    [Fact]
    public void LogEvents_Everywhere_HaveNumbersOfTheirOwn()
    {
        var numbers = Directory.GetDirectories(Repository, "JobHub.*").SelectMany(d => Sources(Path.GetFileName(d)))
            .SelectMany(f => LogNumber().Matches(File.ReadAllText(f))).Select(m => m.Groups[1].Value);

        Assert.DoesNotContain(numbers.CountBy(n => n), n => n.Value > 1);
    }

    [Fact]
    public void Documents_TheirLinks_LeadSomewhere()
    {
        var pages = Directory.GetFiles(Path.Combine(Repository, "docs"), "*.md", SearchOption.AllDirectories)
            .Concat(Directory.GetFiles(Repository, "*.md")).Concat(Directory.GetFiles(Path.Combine(Repository, "samples"), "*.md", SearchOption.AllDirectories));
        var broken = from page in pages
                     from Match link in Link().Matches(File.ReadAllText(page))
                     let target = link.Groups[1].Value.Split('#')[0]
                     where target.Length > 0 && !target.Contains("://", StringComparison.Ordinal)
                     let path = Path.Combine(Path.GetDirectoryName(page)!, target)
                     where !File.Exists(path) && !Directory.Exists(path)
                     select $"{Path.GetRelativePath(Repository, page)}: {target}";

        Assert.Empty(broken);
    }

    private const string AgentSide = "JobHub.Worker JobHub.ServiceDefaults JobHub.Engine.Protocol JobHub.Engine.Storage JobHub.Engine.Tasks JobHub.Engine.Attempts JobHub.Engine.Analyses";

    private static bool Covers(string prefix, string name) => name == prefix || name.StartsWith(prefix + ".", StringComparison.Ordinal);

    private static IEnumerable<(string File, string Namespace)> Usings(string folder) =>
        from file in Sources(folder)
        from Match line in UsingLine().Matches(File.ReadAllText(file))
        select (Path.GetRelativePath(Repository, file), line.Groups[1].Value);

    private static IEnumerable<string> Sources(string place)
    {
        var path = Path.Combine(Repository, place);
        if (File.Exists(path)) return [path];
        return Directory.GetFiles(path, "*", SearchOption.AllDirectories)
            .Where(f => f.EndsWith(".cs", StringComparison.Ordinal) || f.EndsWith(".razor", StringComparison.Ordinal))
            .Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && !f.Contains("/bin/", StringComparison.Ordinal));
    }

    private static string FindRepository()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "JobHub.sln"))) folder = folder.Parent ?? throw new InvalidOperationException("JobHub.sln was not found.");
        return folder.FullName;
    }

    // Also `using X = JobHub.…;`, `using static JobHub.…;`, `global using` and Razor's `@using`.
    [GeneratedRegex(@"^\s*@?(?:global\s+)?using\s+(?:static\s+)?(?:\w+\s*=\s*)?(JobHub[\w.]*)", RegexOptions.Multiline)]
    private static partial Regex UsingLine();

    [GeneratedRegex(@"^\s*(\w+) --> (\w+): (\w+)$", RegexOptions.Multiline)]
    private static partial Regex Transition();

    [GeneratedRegex(@"LoggerMessage\((\d+)")]
    private static partial Regex LogNumber();

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"\b(Npgsql|EntityFrameworkCore|JobHubDbContext|TaskQueue|StoreRegistry|SecretBox)\b")]
    private static partial Regex DatabaseWord();
}
