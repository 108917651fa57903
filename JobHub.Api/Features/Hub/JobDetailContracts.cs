namespace JobHub.Api.Features.Hub;

/// <summary>The newest attempts of a job by their end, those that run first.</summary>
public sealed record HubTimeline(IReadOnlyList<HubBar> Items);

/// <summary>An attempt as a bar of time: no end and no outcome while it runs. <paramref name="Speculative"/>: it began beside another of its task.</summary>
public sealed record HubBar(string Task, string Kind, int Index, int Attempt, string? Worker, DateTimeOffset StartedAt, DateTimeOffset? EndedAt, string? Outcome, bool Speculative);

/// <summary>What a job was given: input objects, or files of its tree.</summary>
public sealed record HubInputs(IReadOnlyList<HubInput> Items, string? Next);

/// <summary>One of them; <paramref name="FirstTask"/> is the first map of an object.</summary>
public sealed record HubInput(string Path, long Size, int? FirstTask);

/// <summary>What a job left. <paramref name="Place"/> is where its results are; not <paramref name="Readable"/>: with keys of its caller, so that the hub neither lists nor gives them.</summary>
public sealed record HubOutputs(string? Place, bool Readable, IReadOnlyList<HubOutput> Items, string? Next);

/// <summary>One of them; its name is what <c>outputs/content?name=</c> takes.</summary>
public sealed record HubOutput(string Name, long Size, DateTimeOffset? ModifiedAt);

/// <summary>The job that another became.</summary>
public sealed record HubRunAgain(string Id);

/// <summary>What belongs to a job and what waits for what. <paramref name="Hidden"/>: jobs of projects that the caller may not see; <paramref name="More"/>: there is more than is told.</summary>
public sealed record HubGraph(IReadOnlyList<HubGraphNode> Nodes, IReadOnlyList<HubGraphEdge> Edges, int Hidden, bool More);

/// <summary>A job, or a phase of one. <paramref name="Kind"/>: Job, Group, Input, Map, Shuffle, Reduce, Output, Command or Analysis; <paramref name="Parent"/>: the key of the group it is in.</summary>
/// <param name="Job">The id of the job that it is.</param>
/// <param name="Tasks">Tasks of a phase, jobs of a group.</param>
public sealed record HubGraphNode(
    string Key, string Kind, string State, string? Title = null, string? Job = null, long? Number = null, string? Parent = null, HubLeafCounts? Tasks = null, long? Bytes = null, long? Records = null);

/// <summary><paramref name="To"/> waits for <paramref name="From"/>: keys of nodes.</summary>
public sealed record HubGraphEdge(string From, string To);

/// <summary>A number a task in task order, two bytes each, little-endian, as base64. Of workers 0 is none and n the n-th of <paramref name="Names"/>.</summary>
public sealed record HubTaskVector(IReadOnlyList<string> Names, byte[] Tasks);

/// <summary>How long tasks took that have ended. <paramref name="Longest"/>: the one that took longest.</summary>
public sealed record HubTaskTimes(int Ended, double? MeanSeconds, string? Longest, double? LongestSeconds);

/// <summary>Bytes of map output by reduce. They are of <paramref name="Maps"/> of <paramref name="MapsTotal"/> maps.</summary>
public sealed record HubPartitions(int Maps, int MapsTotal, IReadOnlyList<HubPartition> Items);

/// <summary>One of them, in the order of their numbers. <paramref name="Records"/> and <paramref name="Groups"/> (keys) when its reduce has succeeded.</summary>
public sealed record HubPartition(long Bytes, long? Records, long? Groups);
