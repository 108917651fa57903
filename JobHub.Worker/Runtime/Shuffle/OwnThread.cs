namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>Work that blocks on pipes or sorts for seconds gets a thread of its own: the pool's threads are for the agent's short work.</summary>
internal static class OwnThread
{
    public static Task RunAsync(string name, Action work)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                work();
                done.SetResult();
            }
            catch (Exception problem)
            {
                done.SetException(problem);
            }
        })
        { IsBackground = true, Name = name };
        thread.Start();
        return done.Task;
    }
}
