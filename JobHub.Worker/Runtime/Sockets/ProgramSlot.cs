using JobHub.Worker.Executors.Processes;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>One place where programs run one after another: a host folder that is their /tmp, and our listening socket in it. Belongs to one thread.</summary>
internal sealed class ProgramSlot : IDisposable
{
    private const UnixFileMode Everybody = (UnixFileMode)0x1ff;

    private readonly string _socketName;
    private SafeFileHandle? _listener;
    private (long, long) _listenerFile;

    public ProgramSlot(AttemptContext context, SlotTeam team, int number, string socketName, bool watch)
    {
        (Context, Team, _socketName) = (context, team, socketName);
        Folder = Path.Combine(context.ScratchFolder, $"tmp-{number}");
        // The program may run as another user; nobody else gets through the scratch folder above.
        Directory.CreateDirectory(Folder);
        File.SetUnixFileMode(Folder, Everybody);
        Handle = Posix.Folder(Folder);
        Exited = Posix.Event();
        Names = watch ? Posix.WatchNames(Folder) : null;
    }

    public AttemptContext Context { get; }

    public SlotTeam Team { get; }

    public string Folder { get; }

    public SafeFileHandle Handle { get; }

    /// <summary>Signalled at each program's end.</summary>
    public SafeFileHandle Exited { get; }

    /// <summary>Tells of new names in the folder; null when not asked for, or when the machine has no more watches to give.</summary>
    public SafeFileHandle? Names { get; }

    public byte[] OutputBuffer { get; } = new byte[16 << 10];

    /// <summary>The listening socket, made again when a program has removed or replaced its name.</summary>
    public SafeFileHandle Listener()
    {
        if (_listener is not null)
        {
            if (Posix.FileOf(Handle, _socketName) == _listenerFile)
            {
                return _listener;
            }

            _listener.Dispose();
            _listener = null;
        }

        Posix.Remove(Handle, _socketName);
        _listener = Posix.Listen(Handle, _socketName);
        _listenerFile = Posix.FileOf(Handle, _socketName);
        return _listener;
    }

    public ProgramStart Start(string program, IReadOnlyDictionary<string, string> environment, string workingFolder, long number, IReadOnlyList<ReadOnlyMemory<byte>> rest) => new()
    {
        File = program,
        Arguments = [number.ToString()],
        RawArguments = rest,
        Environment = environment,
        WorkingFolder = workingFolder,
        Token = Context.Spec.Token,
        TmpFolder = Folder,
        MemoryLimitBytes = Context.Spec.MemoryLimitBytes,
        MergeStderr = true,
    };

    public void Dispose()
    {
        _listener?.Dispose();
        Names?.Dispose();
        Exited.Dispose();
        Handle.Dispose();
    }
}
