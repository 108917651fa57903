using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>Takes the bytes of a message. Each call may throw <see cref="JsonRefusedException"/>.</summary>
internal interface IMessageReceiver
{
    /// <summary>Where the next bytes go.</summary>
    Span<byte> Room();

    void Arrived(int count);

    void Ended();
}

/// <summary>What one program sends to our listening socket. A connection without a byte (a program that tries whether somebody listens) is nothing; two messages are one too many.</summary>
internal sealed class Inbox(SafeFileHandle listener, IMessageReceiver receiver) : IDisposable
{
    // Then the program's output gets its turn again.
    private const int BytesAtOnce = 4 << 20;

    private SafeFileHandle? _connection;
    private bool _begun;

    /// <summary>A whole message has come.</summary>
    public bool Complete { get; private set; }

    public void Watch(ref Posix.PollEntry entry) => entry.Watch(_connection ?? listener, Posix.In);

    /// <summary>Takes what is there.</summary>
    /// <param name="atEnd">The program has ended: all it sent is here, and whoever keeps its connection open sends nothing that counts.</param>
    public void Take(bool atEnd)
    {
        var taken = 0;
        while (taken < BytesAtOnce || atEnd)
        {
            _connection ??= Posix.Accept(listener);
            if (_connection is null)
            {
                return;
            }

            var got = Posix.Read(_connection, receiver.Room());
            if (got > 0)
            {
                if (Complete)
                {
                    throw new JsonRefusedException("there is more than one message", 0);
                }

                _begun = true;
                receiver.Arrived(got);
                taken += got;
            }
            else if (got == 0 || atEnd)
            {
                _connection.Dispose();
                _connection = null;
                if (_begun && !Complete)
                {
                    receiver.Ended();
                    Complete = true;
                }
            }
            else
            {
                return;
            }
        }
    }

    public void Dispose() => _connection?.Dispose();
}
