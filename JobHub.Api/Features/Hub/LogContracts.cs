namespace JobHub.Api.Features.Hub;

/// <summary>A line that holds what was searched for.</summary>
/// <param name="Offset">Where the line begins, or what is near the match in one that is very long.</param>
/// <param name="Text">At most 300 characters of it, the match among them.</param>
public sealed record HubLogMatch(long Offset, string Text);

/// <summary>Matches in the order of the log.</summary>
/// <param name="Next">Where to go on.</param>
/// <param name="Done">The search has come to the end of what is printed.</param>
public sealed record HubLogMatches(IReadOnlyList<HubLogMatch> Matches, long Next, bool Done);

/// <summary>A line of a job's log.</summary>
/// <param name="End">Where the next line of this attempt begins.</param>
/// <param name="Gap">Bytes that were not kept, instead of a text.</param>
/// <param name="Missed">While it is followed, instead of a line: so many attempts ended faster than they were read.</param>
public sealed record HubLogLine(string Task, int Attempt, long Offset, long End, string Text, long? Gap = null, int? Missed = null);

/// <summary>Lines of all attempts of a job, task after task.</summary>
/// <param name="Next">Where to go on in the same direction; forward it stays the same where nothing more is printed.</param>
/// <param name="Done">There is no more in this direction.</param>
public sealed record HubMergedLog(IReadOnlyList<HubLogLine> Lines, string Next, bool Done);

/// <summary>A line of a job's log that holds what was searched for.</summary>
public sealed record HubJobLogMatch(string Task, int Attempt, long Offset, string Text);

/// <summary>Matches in the order of the job's log.</summary>
public sealed record HubJobLogMatches(IReadOnlyList<HubJobLogMatch> Matches, string Next, bool Done);

/// <summary>A past event.</summary>
public sealed record HubPastEvent(long Position, DateTimeOffset At, string Kind, string? Job, string? Project, System.Text.Json.JsonElement Payload);

/// <summary>Past events, newest first.</summary>
/// <param name="Next">The next page's <c>before</c>, absent on the last. A page may be empty and not the last.</param>
public sealed record HubPastEvents(IReadOnlyList<HubPastEvent> Items, long? Next);
