using System.Security.Cryptography;
using JobHub.Engine.Storage;
using Npgsql;

namespace JobHub.Engine.Files;

/// <summary>
/// Brings bytes into the store before anything refers to them. The object's name is written down as garbage first, so whatever dies on the way, upkeep finds what is left;
/// a row that refers to it takes it out again in its own transaction.
/// </summary>
public sealed class FileStaging(NpgsqlDataSource database, StoreRegistry stores)
{
    internal const string Prefix = "files/";

    /// <summary>Streams the content into a new object. A content that breaks off leaves nothing.</summary>
    public async Task<StagedFile> StageAsync(Stream content, bool hash, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(content);
        var token = Guid.CreateVersion7();
        var path = PathOf(Prefix + token.ToString("N"));
        await using (var note = database.CreateCommand("INSERT INTO file_garbage (object, due_at) VALUES ($1, clock_timestamp() + interval '1 day')"))
        {
            note.Parameters.AddWithValue(path.Key);
            await note.ExecuteNonQueryAsync(ct);
        }

        try
        {
            using var passing = new PassingBytes(content, hash);
            var store = stores.Hub;
            if (store.TemporaryPath(path, token) is null)
            {
                await store.PutAsync(path, passing, onlyNew: false, ct);
            }
            else
            {
                // By way of pending bytes: their temporary name is known from the object's, so a host that dies leaves nothing unnamed.
                var pending = await store.WritePendingAsync(path, token, passing, durable: true, ct);
                if (await store.PromoteAsync(path, token, pending, ct) == PromoteResult.Gone)
                    throw new StoreException(StoreFault.Other, "The store lost the bytes while they were written.", transient: true);
            }

            return new StagedFile(path.Key, passing.Size, passing.LooksExecutable, passing.Finish());
        }
        catch
        {
            await DropAsync([path.Key]);
            throw;
        }
    }

    /// <summary>Gives staged bytes up: upkeep removes them soon.</summary>
    public async Task DropAsync(IReadOnlyCollection<string> objects)
    {
        if (objects.Count == 0) return;
        await using var command = database.CreateCommand("UPDATE file_garbage SET due_at = clock_timestamp() WHERE object = ANY($1)");
        command.Parameters.AddWithValue(objects.ToArray());
        await command.ExecuteNonQueryAsync(CancellationToken.None);
    }

    /// <summary>Removes the objects that nothing refers to and whose time has come. Idempotent; several may do it at once.</summary>
    public async Task CollectAsync(CancellationToken ct)
    {
        while (true)
        {
            var due = new List<(string Object, bool Used)>();
            await using (var command = database.CreateCommand("""
                SELECT g.object, EXISTS (SELECT FROM file f WHERE f.object = g.object)
                    OR (SELECT true FROM dataset d WHERE d.snapshot = g.object LIMIT 1) IS NOT NULL
                    OR (SELECT true FROM analysis a WHERE a.object = g.object LIMIT 1) IS NOT NULL OR (SELECT true FROM analysis a WHERE a.profiles = g.object LIMIT 1) IS NOT NULL
                FROM file_garbage g WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT 200
                """))
            await using (var reader = await command.ExecuteReaderAsync(ct))
            {
                while (await reader.ReadAsync(ct)) due.Add((reader.GetString(0), reader.GetBoolean(1)));
            }

            if (due.Count == 0) return;
            foreach (var (key, used) in due)
            {
                if (used) continue;
                var path = PathOf(key);
                // What a host that died was still writing: a temporary file, or an upload that nobody will complete.
                if (Guid.TryParseExact(key[(key.LastIndexOf('/') + 1)..], "N", out var token)) await stores.Hub.DiscardAsync(path, token, uploadId: null, ct);
                await stores.Hub.DiscardAllAsync(path, ct);
                await stores.Hub.DeleteAsync([path], ct);
            }

            await using var done = database.CreateCommand("""
                WITH gone AS (DELETE FROM captured_file WHERE object = ANY($1)) DELETE FROM file_garbage WHERE object = ANY($1) AND due_at <= clock_timestamp()
                """);
            done.Parameters.AddWithValue(due.Select(d => d.Object).ToArray());
            await done.ExecuteNonQueryAsync(ct);
            if (due.Count < 200) return;
        }
    }

    internal ObjectPath PathOf(string key) => new(stores.HubBucket, key);

    /// <summary>Counts, and hashes when asked, what passes; and sees whether it begins like a program.</summary>
    private sealed class PassingBytes(Stream inner, bool hash) : ReadingStream
    {
        private readonly IncrementalHash? hasher = hash ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;
        private readonly byte[] head = new byte[4];

        public long Size { get; private set; }

        public bool LooksExecutable => Size >= 2 && (head.AsSpan().StartsWith("#!"u8) || head.AsSpan().SequenceEqual("\u007fELF"u8));

        public string? Finish() => hasher is null ? null : Convert.ToHexStringLower(hasher.GetHashAndReset());

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = await inner.ReadAsync(buffer, cancellationToken);
            var seen = buffer.Span[..count];
            if (Size < head.Length) seen[..(int)Math.Min(count, head.Length - Size)].CopyTo(head.AsSpan((int)Size));
            hasher?.AppendData(seen);
            Size += count;
            return count;
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing) hasher?.Dispose();
            base.Dispose(disposing);
        }
    }
}
