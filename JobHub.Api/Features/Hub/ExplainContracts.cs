namespace JobHub.Api.Features.Hub;

/// <summary>Why a job waits, null when it does not, and what its tasks wait for, those that wait alike together.</summary>
public sealed record HubExplained(HubWaiting? Waiting, IReadOnlyList<HubWaitingTasks> Tasks);

/// <summary>Why a task waits; null when it does not.</summary>
public sealed record HubTaskExplained(HubWaiting? Waiting);

/// <summary>A reason of a closed list, what is so and what would change it in a sentence each, the numbers behind it, and when it ends by itself where that is known.</summary>
public sealed record HubWaiting(string Reason, string Message, string Change, DateTimeOffset? Until, Dictionary<string, long> Numbers);

/// <summary>Tasks of one kind that wait for the same.</summary>
public sealed record HubWaitingTasks(long Count, string Kind, string Reason, string Message, string Change, DateTimeOffset? Until, Dictionary<string, long> Numbers);

/// <summary>Waiting tasks by reason.</summary>
public sealed record HubWaitingCounts(IReadOnlyList<HubWaitingCount> Items);

/// <summary>How many tasks wait for a reason; <paramref name="AtLeast"/> when counting stopped before the end.</summary>
public sealed record HubWaitingCount(string Reason, long Count, bool AtLeast);
