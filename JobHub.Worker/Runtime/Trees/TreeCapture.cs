using System.Globalization;
using System.Text;
using System.Threading.Channels;
using JobHub.Worker.Executors.Processes;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Trees;

/// <summary>
/// Sends what a command made or changed below its tree, once nothing of it runs any more. The tree is walked by handles: regular files of the program's user and nothing
/// else, whatever the command planted. What is left out is named in the attempt's log.
/// </summary>
internal sealed class TreeCapture(CommandTree tree, AttemptFiles files, int owner, ILogSink log)
{
    private const int AtOnce = 4;
    private const int MostLines = 100;
    private const int ShownBytes = 300;
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly Lock _gate = new();
    private long _bytesLeft = tree.Limits.MaxBytes;
    private int _filesLeft = tree.Limits.MaxFiles;
    private int _sent, _leftOut;

    private readonly record struct Found(string Path, byte[] Name, SafeFileHandle File);

    /// <summary>Files that the hub has taken.</summary>
    public int Sent => Volatile.Read(ref _sent);

    public async Task RunAsync(CancellationToken ct)
    {
        var found = Channel.CreateBounded<Found>(AtOnce);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var walk = Task.Run(async () =>
        {
            try
            {
                // The command may have closed its own root.
                tree.Root.Own(-1, -1, 0x1ed);
                await WalkAsync(tree.Root, [], tree.Root.Facts.Device, found.Writer, stop.Token);
                found.Writer.Complete();
            }
            catch (Exception e) { found.Writer.Complete(e); }
        }, CancellationToken.None);
        try
        {
            await Parallel.ForEachAsync(found.Reader.ReadAllAsync(stop.Token), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = stop.Token }, SendAsync);
        }
        finally
        {
            await stop.CancelAsync();
            await walk;
            while (found.Reader.TryRead(out var left)) left.File.Dispose();
            if (_leftOut > MostLines) Say(string.Create(CultureInfo.InvariantCulture, $"jobhub: {_leftOut - MostLines} more were not kept"));
        }
    }

    private async ValueTask SendAsync(Found found, CancellationToken ct)
    {
        using (found.File)
        {
            if (await files.SendAsync(found.Path, found.File, ct) is { } reason) LeaveOut(found.Name, reason);
            else Interlocked.Increment(ref _sent);
        }
    }

    private async Task WalkAsync(FolderHandle folder, byte[] prefix, ulong device, ChannelWriter<Found> found, CancellationToken ct)
    {
        List<byte[]> names;
        try { names = folder.Names(); }
        catch (IOException e)
        {
            LeaveOut(prefix, $"it cannot be listed: {e.Message}");
            return;
        }
        names.Sort(static (a, b) => a.AsSpan().SequenceCompareTo(b));
        foreach (var name in names)
        {
            ct.ThrowIfCancellationRequested();
            byte[] path = [.. prefix, (byte)'/', .. name];
            // Gone meanwhile: it was nobody's to keep.
            if (folder.Look(name) is not { } facts || tree.IsPrepared(facts)) continue;
            if (WhyNot(path, name) is { } reason) LeaveOut(path, facts.IsFolder ? $"{reason}; nor is what is in it" : reason);
            else if (facts.IsFolder)
            {
                using var inner = folder.TryOpen(name, out var error);
                if (inner is null) LeaveOut(path, $"it cannot be opened: {LaunchedProgram.Describe(error)}; nor can what is in it");
                else if (inner.Facts.Device != device) LeaveOut(path, "it is another file system");
                else await WalkAsync(inner, path, device, found, ct);
            }
            else if (Take(folder, path, name, facts, device) is { } file) await found.WriteAsync(file, ct);
        }
    }

    /// <summary>The file at a name when it is to be kept, opened; else it is named in the log, if it is the command's at all.</summary>
    private Found? Take(FolderHandle folder, byte[] path, byte[] name, FileFacts facts, ulong device)
    {
        var text = Strict.GetString(path);
        if (tree.IsUntouched(text, facts)) return null;
        // Asked before it is opened: to open a device or a pipe can already do something.
        if (WhyNot(facts, device) is { } reason)
        {
            LeaveOut(path, reason);
            return null;
        }
        var file = folder.TryOpenFile(name, out var error);
        if (file is null)
        {
            LeaveOut(path, $"it cannot be opened: {LaunchedProgram.Describe(error)}");
            return null;
        }
        // And again of what was opened, should the name mean another file by now.
        reason = FolderHandle.FactsOf(file) is { } opened ? WhyNot(opened, device) ?? Reserve(opened.Size) : "it cannot be looked at";
        if (reason is null) return new Found(text, path, file);
        file.Dispose();
        LeaveOut(path, reason);
        return null;
    }

    private string? WhyNot(in FileFacts facts, ulong device) =>
        !facts.IsRegular ? $"it is {facts.Kind}"
        // A hard link to somebody else's file looks like a file of the tree.
        : facts.Uid != owner ? "it belongs to another user"
        : facts.Device != device ? "it is on another file system"
        : null;

    private string? Reserve(long size)
    {
        if (_filesLeft <= 0) return string.Create(CultureInfo.InvariantCulture, $"more than {tree.Limits.MaxFiles} files were made or changed");
        if (size > _bytesLeft) return string.Create(CultureInfo.InvariantCulture, $"its {size} bytes are more than is left of the {tree.Limits.MaxBytes} that are kept of a job");
        _filesLeft--;
        _bytesLeft -= size;
        return null;
    }

    private static string? WhyNot(byte[] path, byte[] name)
    {
        if (name.Length > CommandTree.MostNameBytes) return "its name is too long";
        if (path.Length > CommandTree.MostPathBytes) return $"its path is longer than {CommandTree.MostPathBytes} bytes";
        try { return Strict.GetString(name).Any(char.IsControl) ? "its name holds a control character" : null; }
        catch (DecoderFallbackException) { return "its name is not valid UTF-8"; }
    }

    private void LeaveOut(byte[] path, string reason)
    {
        lock (_gate)
        {
            if (++_leftOut <= MostLines) Say($"jobhub: not kept: {Shown(path)}: {reason}");
        }
    }

    private void Say(string line) => log.Write(Encoding.UTF8.GetBytes(line + "\n"));

    /// <summary>A path for a log: nothing in it moves a terminal's cursor or looks like a line of its own.</summary>
    internal static string Shown(byte[] path)
    {
        var text = new StringBuilder();
        for (var rest = path.AsSpan(); !rest.IsEmpty && text.Length < ShownBytes;)
        {
            var status = Rune.DecodeFromUtf8(rest, out var rune, out var used);
            if (status == System.Buffers.OperationStatus.Done && !Rune.IsControl(rune) && rune.Value != '\\') text.Append(rune.ToString());
            else foreach (var one in rest[..used]) text.Append(CultureInfo.InvariantCulture, $"\\x{one:x2}");
            rest = rest[used..];
        }
        return text.Length >= ShownBytes ? text + "..." : text.ToString();
    }
}
