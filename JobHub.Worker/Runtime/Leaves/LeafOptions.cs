using System.ComponentModel.DataAnnotations;

namespace JobHub.Worker.Runtime.Leaves;

/// <summary>How commands of farm jobs run on this worker (<c>JobHub:Worker:Farm</c>). Without any of it they see the machine as the worker's program user sees it.</summary>
public sealed class LeafOptions : IValidatableObject
{
    public const string Section = "JobHub:Worker:Farm";

    /// <summary>
    /// Run them in the worker's sandbox: the machine read-only, a private /tmp, home folders and other attempts hidden; only the scratch folder and <see cref="WritablePaths"/>
    /// can be written. It needs bubblewrap: without it every such attempt fails rather than run open.
    /// </summary>
    public bool Sandbox { get; init; }

    /// <summary>Absolute folders that sandboxed commands may write. One that is not there when a command starts is left out.</summary>
    public IReadOnlyList<string> WritablePaths { get; init; } = [];

    /// <summary>
    /// A command line to run jobs as their users, for example <c>sudo -n -u {user} -- {command}</c> or <c>setpriv --reuid {user} --regid {user} --init-groups {command}</c>.
    /// Words are parted by spaces, no shell reads them. <c>{command}</c> is one word, and may be there once; <c>{user}</c> may be part of a word. Only for workers that are
    /// root. Jobs without a user run as programs do without it. Empty: off.
    /// </summary>
    [StringLength(1000)]
    public string RunAs { get; init; } = "";

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        foreach (var path in WritablePaths)
        {
            if (!Path.IsPathFullyQualified(path) || Path.GetFullPath(path).TrimEnd('/').Length == 0)
                yield return new($"{Section}:WritablePaths holds '{path}'. Give absolute folders other than '/'.", [nameof(WritablePaths)]);
        }
        if (RunAs.Trim().Length > 0 && RunAsTemplate.Fault(RunAs) is { } fault) yield return new($"{Section}:RunAs {fault}", [nameof(RunAs)]);
    }
}
