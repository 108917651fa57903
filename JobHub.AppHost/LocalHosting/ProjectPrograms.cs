using System.Runtime.InteropServices;
using JobHub.AppHost.LocalHosting.Model;

namespace JobHub.AppHost.LocalHosting;

/// <summary>Finds the built program of a project: beside this one's build output, or beside its published folder.</summary>
internal sealed class ProjectPrograms
{
    private readonly string here = Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory);

    // <root>/shared/Microsoft.NETCore.App/<version>/ is where we run from, so this is the dotnet we run with.
    private readonly string dotnet = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));

    public ProcessPlan PlanOf(ProjectResource project, IReadOnlyDictionary<string, string?> environment)
    {
        var assembly = Path.GetFileNameWithoutExtension(project.ProjectPath) + ".dll";
        var (folder, program) = Candidates(project.ProjectPath, assembly).FirstOrDefault(c => File.Exists(c.Program));
        if (program is null)
            throw new HubStartException($"{assembly} is not built. Build the solution, or publish it beside {here}.");
        return new ProcessPlan(dotnet, ["exec", program, .. project.Arguments]) { Environment = environment, Folder = folder, HoldInput = true };
    }

    private IEnumerable<(string Folder, string Program)> Candidates(string projectPath, string assembly)
    {
        // bin/<configuration>/<framework> of this project: the others have the same.
        var framework = Path.GetFileName(here);
        var configuration = Path.GetFileName(Path.GetDirectoryName(here) ?? "");
        var project = Path.GetFullPath(Path.Combine(here, "..", "..", "..", Path.GetDirectoryName(projectPath)!));
        yield return (project, Path.Combine(project, "bin", configuration, framework, assembly));
        var published = Path.GetFullPath(Path.Combine(here, "..", Path.GetFileNameWithoutExtension(projectPath)));
        yield return (published, Path.Combine(published, assembly));
    }
}
