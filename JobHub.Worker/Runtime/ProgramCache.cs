using System.Buffers;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;

namespace JobHub.Worker.Runtime;

/// <summary>
/// Programs by SHA-256, verified while they are downloaded, 0555. Bounded by size: least recently used first out, never one in use (a socket mapper starts its program once a line).
/// </summary>
public sealed class ProgramCache
{
    private readonly string _folder;
    private readonly long _limit;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = [];
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _fetching = new();
    private long _clock;

    private sealed class Entry
    {
        public long Size;
        public int Users;
        public long LastUse;
    }

    /// <param name="folder">Made when missing; others may traverse it.</param>
    public ProgramCache(string folder, long limit)
    {
        (_folder, _limit) = (folder, limit);
        Directory.CreateDirectory(folder);
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
        foreach (var file in new DirectoryInfo(folder).EnumerateFiles().OrderBy(f => f.LastAccessTimeUtc))
        {
            // A download that a killed worker left.
            if (file.Name.Length != 64) file.Delete();
            else _entries[file.Name] = new Entry { Size = file.Length, LastUse = _clock++ };
        }
    }

    /// <summary>The program's path, kept until <see cref="Release"/> with the same hash.</summary>
    /// <param name="open">Opens the program's bytes.</param>
    public async Task<string> TakeAsync(ProgramSpec program, Func<CancellationToken, Task<Stream>> open, CancellationToken ct)
    {
        // The hash becomes a file name: nothing but the form of one is let through.
        if (program.Hash.Length != 64 || !program.Hash.All(char.IsAsciiHexDigitLower))
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.ProgramDamaged, $"The program {program.Name} has no valid hash.");
        var path = Path.Combine(_folder, program.Hash);
        if (TryTake(program.Hash)) return path;
        var one = _fetching.GetOrAdd(program.Hash, _ => new SemaphoreSlim(1));
        await one.WaitAsync(ct);
        try
        {
            if (TryTake(program.Hash)) return path;
            var size = await FetchAsync(program, path, open, ct);
            lock (_gate)
            {
                _entries[program.Hash] = new Entry { Size = size, Users = 1, LastUse = _clock++ };
                Evict();
            }
            return path;
        }
        finally { one.Release(); }
    }

    public void Release(string hash)
    {
        lock (_gate)
        {
            if (_entries.TryGetValue(hash, out var entry)) entry.Users--;
            Evict();
        }
    }

    private bool TryTake(string hash)
    {
        lock (_gate)
        {
            if (!_entries.TryGetValue(hash, out var entry)) return false;
            if (!File.Exists(Path.Combine(_folder, hash)))
            {
                _entries.Remove(hash);
                return false;
            }
            entry.Users++;
            entry.LastUse = _clock++;
            return true;
        }
    }

    private void Evict()
    {
        var total = _entries.Values.Sum(e => e.Size);
        if (total <= _limit) return;
        foreach (var (hash, entry) in _entries.Where(e => e.Value.Users == 0).OrderBy(e => e.Value.LastUse).ToList())
        {
            if (total <= _limit) return;
            File.Delete(Path.Combine(_folder, hash));
            _entries.Remove(hash);
            total -= entry.Size;
        }
    }

    private async Task<long> FetchAsync(ProgramSpec program, string path, Func<CancellationToken, Task<Stream>> open, CancellationToken ct)
    {
        var temporary = Path.Combine(_folder, $"{Guid.NewGuid():N}.new");
        var buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            long size = 0;
            await using (var source = await open(ct))
            using (var file = File.OpenHandle(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                int n;
                while ((n = await source.ReadAsync(buffer, ct)) > 0)
                {
                    hash.AppendData(buffer, 0, n);
                    RandomAccess.Write(file, buffer.AsSpan(0, n), size);
                    size += n;
                }
            }
            if (Convert.ToHexStringLower(hash.GetHashAndReset()) != program.Hash)
                throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.ProgramDamaged, $"The program {program.Name} does not have the hash it was uploaded with.");
            File.SetUnixFileMode(temporary, (UnixFileMode)0b101_101_101);
            File.Move(temporary, path, overwrite: true);
            return size;
        }
        catch (FileNotFoundException) { throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.ProgramMissing, $"The program {program.Name} is not in the store."); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw DiskFaults.Of(e, "Keeping a program"); }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            File.Delete(temporary);
        }
    }
}
