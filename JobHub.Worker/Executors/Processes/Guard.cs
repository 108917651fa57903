namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// A shell that reads from a pipe of the worker. The kernel closes the pipe however the worker dies; the shell then kills every process that carries this worker's mark and
/// removes its scratch folder. A word on the pipe is the orderly end. It is in a session of its own and deaf to polite signals, so stopping the worker's group leaves it
/// its work. What threw its environment away outside a sandbox is not found any more once the worker, its adoptive parent, is gone.
/// </summary>
internal sealed class Guard : IDisposable
{
    // grep -a: environ has NUL between its lines. The guard itself does not carry the mark. The bound is for a process that cannot be killed.
    private const string Script = """
        trap '' HUP INT QUIT TERM PIPE
        read -r _ && exit 0
        walk=0
        while [ $walk -lt 500 ]; do
          found=
          for file in $(grep -lsaF "JOBHUB_WORKER=$1" /proc/[0-9]*/environ); do
            pid=${file#/proc/}
            kill -9 "${pid%/environ}" && found=1
          done
          [ "$found" ] || break
          walk=$((walk + 1))
          sleep 0.02
        done
        chmod -R u+rwx -- "$2"
        rm -rf -- "$2" "$2.lock"
        """;

    private readonly Lock gate = new();
    private readonly Func<string, IReadOnlyList<string>, LaunchedProgram> start;
    private readonly ScratchFolders scratch;
    private LaunchedProgram program;
    private bool over;

    /// <param name="start">Starts a program without the worker's mark and with a pipe to read.</param>
    /// <param name="scratch">Whose instance is guarded.</param>
    public Guard(Func<string, IReadOnlyList<string>, LaunchedProgram> start, ScratchFolders scratch)
    {
        (this.start, this.scratch) = (start, scratch);
        program = StartOne();
    }

    /// <summary>The guard's process; another one when it had to be started again.</summary>
    public int Pid
    {
        get
        {
            lock (gate) return program.Pid;
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            over = true;
            using var _ = program;
            try
            {
                using var stdin = new FileStream(program.Stdin!, FileAccess.Write, 0, isAsync: false);
                stdin.Write("end\n"u8);
            }
            catch (IOException)
            {
                // It was killed a moment ago; there is nothing to tell it.
            }
        }
    }

    private LaunchedProgram StartOne()
    {
        var started = start("/bin/sh", ["-c", Script, "jobhub-guard", scratch.Instance.ToString(), scratch.Own]);
        _ = started.Exit.ContinueWith(_ => Replace(started), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        return started;
    }

    private void Replace(LaunchedProgram ended)
    {
        lock (gate)
        {
            if (over || program != ended) return;
            ended.Dispose();
            program = StartOne();
        }
    }
}
