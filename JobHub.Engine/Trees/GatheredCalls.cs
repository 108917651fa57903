using System.Collections.Concurrent;
using JobHub.Engine.Jobs;

namespace JobHub.Engine.Trees;

/// <summary>
/// Makes what several callers want at the same moment in one transaction: while one is on its way the next gather, so a lone call waits for nobody and many cost little more
/// than one. Where not all of them can be made each is made by itself, so nobody hears of another's mistake.
/// </summary>
internal sealed class GatheredCalls(Func<IReadOnlyList<NewTreeJob>, Submission, CancellationToken, Task<TreeResult>> make)
{
    private const int Most = 64;
    private readonly ConcurrentQueue<Call> _calls = new();
    private readonly SemaphoreSlim _turns = new(2, 2);

    private sealed record Call(IReadOnlyList<NewTreeJob> Jobs, Submission Who)
    {
        public TaskCompletionSource<TreeResult> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>A caller that goes away before its turn has wanted nothing; later it does not take back what may be made already.</summary>
    public async Task<TreeResult> MakeAsync(IReadOnlyList<NewTreeJob> jobs, Submission who, CancellationToken ct)
    {
        var mine = new Call(jobs, who);
        _calls.Enqueue(mine);
        while (!mine.Answer.Task.IsCompleted)
        {
            // Whoever has the turn makes what has gathered, perhaps this call; perhaps it is another's work by now.
            var turn = _turns.WaitAsync(ct);
            if (await Task.WhenAny(turn, mine.Answer.Task) == mine.Answer.Task)
            {
                _ = turn.ContinueWith(t => _turns.Release(), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
                break;
            }

            try
            {
                await turn;
            }
            catch (OperationCanceledException)
            {
                mine.Answer.TrySetCanceled(ct);
                break;
            }

            try
            {
                if (!mine.Answer.Task.IsCompleted) await MakeGatheredAsync();
            }
            finally
            {
                _turns.Release();
            }
        }

        return await mine.Answer.Task;
    }

    private async Task MakeGatheredAsync()
    {
        var gathered = new List<Call>();
        while (gathered.Count < Most && _calls.TryDequeue(out var call))
        {
            if (!call.Answer.Task.IsCompleted) gathered.Add(call);
        }

        foreach (var alike in gathered.GroupBy(c => (c.Who.Caller, c.Who.Project)))
        {
            var calls = alike.ToArray();
            if (calls.Length > 1 && await TogetherAsync(calls)) continue;
            foreach (var call in calls) await AloneAsync(call);
        }
    }

    /// <summary>False: not all of them can be made, and none was.</summary>
    private async Task<bool> TogetherAsync(Call[] calls)
    {
        try
        {
            if (await make([.. calls.SelectMany(c => c.Jobs)], calls[0].Who, CancellationToken.None) is not TreeResult.Done all) return false;
            var at = 0;
            foreach (var call in calls)
            {
                call.Answer.TrySetResult(new TreeResult.Done([.. all.Ids.Skip(at).Take(call.Jobs.Count)]));
                at += call.Jobs.Count;
            }

            return true;
        }
        catch (Exception fault) when (fault is Npgsql.PostgresException)
        {
            // The database refused all of it, perhaps for one of them.
            return false;
        }
        catch (Exception fault)
        {
            // Nobody knows what became of it: all of them are told so.
            foreach (var call in calls) call.Answer.TrySetException(fault);
            return true;
        }
    }

    private async Task AloneAsync(Call call)
    {
        try
        {
            call.Answer.TrySetResult(await make(call.Jobs, call.Who, CancellationToken.None));
        }
        catch (Exception fault)
        {
            call.Answer.TrySetException(fault);
        }
    }
}
