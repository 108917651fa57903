using System.Reflection;

namespace JobHub.Engine.Analyses;

/// <summary>What an analysis gives.</summary>
public enum AnalysisKind : short
{
    /// <summary>Edges between the profiles of a dataset.</summary>
    Inference = 0,
    /// <summary>Coordinates of the profiles of an inference.</summary>
    Visualization = 1,
}

/// <summary>
/// One way to analyse a dataset: a class with a name, typed parameters, progress and cancellation. Every concrete class of this assembly is offered by the API and can be run by
/// every worker: adding one touches its own file only. It knows neither database nor store.
/// </summary>
public abstract class Algorithm
{
    public abstract AnalysisKind Kind { get; }

    /// <summary>Its name on the wire, lower case.</summary>
    public abstract string Name { get; }

    /// <summary>What <c>parameters[]</c> holds, in this order.</summary>
    public abstract IReadOnlyList<AlgorithmParameter> Parameters { get; }

    /// <summary>
    /// Works it out. Called on a thread of its own; throws OperationCanceledException soon (well under 2 s) after <paramref name="ct"/> is canceled. The result depends on the input alone.
    /// </summary>
    public abstract void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct);

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Algorithm> All { get; } =
        [.. typeof(Algorithm).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(Algorithm)) && !t.IsAbstract).OrderBy(t => t.Name, StringComparer.Ordinal).Select(t => (Algorithm)Activator.CreateInstance(t)!)];

    /// <summary>The one of a kind and name, or null.</summary>
    public static Algorithm? Find(AnalysisKind kind, string name) => All.FirstOrDefault(a => a.Kind == kind && a.Name == name);
}

/// <summary>One of an algorithm's parameters.</summary>
public abstract record AlgorithmParameter(string Name);

/// <summary>The id of a dataset of the project: the profiles to analyse.</summary>
public sealed record DatasetParameter(string Name) : AlgorithmParameter(Name);

/// <summary>The id of an inference of that dataset: the edges to draw.</summary>
public sealed record InferenceParameter(string Name) : AlgorithmParameter(Name);

/// <summary>A whole number.</summary>
/// <param name="Most">The largest one, by the number of loci of the dataset.</param>
public sealed record WholeNumberParameter(string Name, int Least, Func<int, int> Most) : AlgorithmParameter(Name);

/// <summary>What an algorithm reads.</summary>
/// <param name="Profiles">The dataset's.</param>
/// <param name="Edges">Of the inference, for algorithms that ask for one.</param>
/// <param name="Numbers">The whole numbers among its parameters, in their order.</param>
public sealed record AnalysisInput(ProfileTable Profiles, IReadOnlyList<TreeEdge>? Edges, IReadOnlyList<int> Numbers);

/// <summary>What an algorithm gives: one of the two, by its kind.</summary>
public abstract class AnalysisOutput
{
    /// <summary>An edge of an inference, in the order found.</summary>
    public abstract void Edge(string from, string to, double distance);

    /// <summary>A profile of a visualization; components are numbered from 1.</summary>
    public abstract void Point(string profile, int component, double x, double y);
}

/// <summary>An edge of a tree, directed away from its root.</summary>
public readonly record struct TreeEdge(string From, string To, double Distance);

/// <summary>A profile's place in a picture.</summary>
public readonly record struct TreePoint(string Profile, int Component, double X, double Y);

/// <summary>The profiles of a dataset in its order. Alleles are numbered within a locus from 0; -1 is a missing one.</summary>
/// <param name="Alleles">Profile by profile, one number a locus.</param>
/// <param name="Isolates">How many isolates have each profile.</param>
public sealed record ProfileTable(string[] Loci, string[] Ids, int[] Isolates, int[] Alleles)
{
    public int Count => Ids.Length;

    /// <summary>The alleles of one profile.</summary>
    public ReadOnlySpan<int> Of(int profile) => Alleles.AsSpan(profile * Loci.Length, Loci.Length);
}
