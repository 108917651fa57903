using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using Xunit;

namespace JobHub.Engine.Tests.Jobs;

/// <summary>How an ended job reads to callers and in messages.</summary>
public sealed class JobEndingTests
{
    [Theory]
    [InlineData(JobState.Succeeded, AttemptOutcome.Succeeded, null, 0, null, null, 0, null)]
    [InlineData(JobState.Failed, AttemptOutcome.Failed, "exit-code", 3, null, "exit-code", 3, null)]
    [InlineData(JobState.Failed, AttemptOutcome.Failed, "signal", null, 11, "signal", null, 11)]
    [InlineData(JobState.Failed, AttemptOutcome.Failed, "signal", 139, 11, "signal", null, 11)]
    [InlineData(JobState.Failed, AttemptOutcome.TimedOut, "timeout", 143, null, "timeout", 143, null)]
    [InlineData(JobState.Failed, AttemptOutcome.TimedOut, "canceled", null, 9, "timeout", null, 9)]
    [InlineData(JobState.Failed, AttemptOutcome.OutOfMemory, "out-of-memory", null, 9, "out-of-memory", null, 9)]
    [InlineData(JobState.Failed, AttemptOutcome.Lost, "worker-lost", null, null, "worker-lost", null, null)]
    [InlineData(JobState.Failed, AttemptOutcome.Failed, "start-failed", null, null, "start-failed", null, null)]
    [InlineData(JobState.Failed, AttemptOutcome.Failed, "disk-full", null, null, "start-failed", null, null)]
    [InlineData(JobState.Failed, AttemptOutcome.Failed, "store-unavailable", 0, null, "worker-lost", 0, null)]
    [InlineData(JobState.Canceled, AttemptOutcome.Canceled, "canceled", null, 15, "cancelled", null, 15)]
    public void Ending_OfEachCause_IsOneOfTheContractsWords(JobState state, AttemptOutcome outcome, string? cause, int? code, int? signal, string? type, int? saidCode, int? saidSignal)
    {
        var attempt = new AttemptView { Token = Guid.NewGuid(), TaskId = 1, Number = 1, Worker = null, Outcome = outcome, ExitCode = code, Signal = signal, Error = cause is null ? null : new AttemptError(cause, "Why.") };

        var ending = JobEnding.Of(state, state == JobState.Failed ? new JobError(cause!, "Why.", null) : null, attempt);

        Assert.Equal((type, saidCode, saidSignal), (ending.Type, ending.ExitCode, ending.Signal));
        Assert.Equal(type is null, ending.Message is null);
    }

    [Fact]
    public void Ending_OfAJobThatNeverRan_IsSaidToo()
    {
        Assert.Equal("cancelled", JobEnding.Of(JobState.Canceled, null, null).Type);
        Assert.Equal("start-failed", JobEnding.Of(JobState.Failed, null, null).Type);
    }
}
