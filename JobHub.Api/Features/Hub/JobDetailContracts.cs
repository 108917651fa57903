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
