using System.Runtime.ExceptionServices;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// The threads of one attempt. Each blocks in poll for one program at a time, so they are threads of their own and not the pool's. The first failure, or cancellation, stops all.
/// </summary>
internal sealed class SlotTeam : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<Task> _members = [];
    private readonly List<Action> _onStop = [];
    private Exception? _failure;

    /// <summary>Readable for ever once the attempt stops.</summary>
    public SafeFileHandle Stopping { get; } = Posix.Event();

    public bool Stopped { get; private set; }

    /// <summary>Adds something that wakes waiters when the attempt stops.</summary>
    public void OnStop(Action wake)
    {
        lock (_gate)
        {
            _onStop.Add(wake);
        }
    }

    public void Start(string name, Action work)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                work();
            }
#pragma warning disable CA1031 // Whatever it is, it is the attempt's end and is thrown again from WaitAsync.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                Stop(failure);
            }
            finally
            {
                done.SetResult();
            }
        })
        { IsBackground = true, Name = name };
        _members.Add(done.Task);
        thread.Start();
    }

    public void Stop(Exception why)
    {
        lock (_gate)
        {
            // What the others throw because they were stopped is not the cause.
            if (_failure is null || (_failure is OperationCanceledException && why is not OperationCanceledException))
            {
                _failure = why;
            }

            if (Stopped)
            {
                return;
            }

            Stopped = true;
            Posix.Signal(Stopping);
        }

        foreach (var wake in _onStop)
        {
            wake();
        }
    }

    /// <summary>Waits for all threads; throws what stopped them.</summary>
    public async Task WaitAsync(CancellationToken ct)
    {
        await using (ct.Register(() => Stop(new OperationCanceledException(ct))))
        {
            await Task.WhenAll(_members);
        }

        ct.ThrowIfCancellationRequested();
        if (_failure is not null)
        {
            ExceptionDispatchInfo.Throw(_failure);
        }
    }

    public void Dispose() => Stopping.Dispose();
}
