using Microsoft.Extensions.Options;

namespace JobHub.Worker.Agent;

/// <summary>The worker's bearer token, from its file; read again after a 401, so that a replaced token needs no restart.</summary>
public sealed class WorkerToken
{
    private readonly string? _file;
    private volatile string? _text;

    public WorkerToken(IOptions<WorkerOptions> options) => _file = options.Value.TokenFile;

    private WorkerToken(string text) => _text = text;

    /// <summary>A token that was given, not kept in a file.</summary>
    public static WorkerToken Of(string text) => new(text);

    /// <summary>Throws IOException while the file is not there yet: the caller's retry waits for it.</summary>
    public string Read()
    {
        if (_text is { } known) return known;
        if (_file is null) throw new InvalidOperationException("The worker needs JobHub:Worker:TokenFile.");
        var text = File.ReadAllText(_file).Trim();
        if (text.Length == 0) throw new IOException($"The token file {_file} is empty.");
        return _text = text;
    }

    internal void Forget()
    {
        if (_file is not null) _text = null;
    }
}
