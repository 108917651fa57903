using System.Text;
using JobHub.Engine.Analyses;
using JobHub.Engine.Files;
using JobHub.Engine.Storage;
using Npgsql;

namespace JobHub.Engine.Projects;

/// <summary>
/// A dataset as one immutable object in the hub's store, in the form of <see cref="AnalysisFiles"/>: what analyses read. Written once for a state of the data. It is kept as long as the
/// dataset is in that state or a row of <c>analysis</c> names it in its column <c>profiles</c>; a submission has ten minutes to write that row. Upkeep removes it afterwards.
/// </summary>
public sealed class DatasetSnapshot(NpgsqlDataSource database, FileStaging staging)
{
    private const int Chunk = 2000;

    /// <summary>The object's key in the hub's bucket and the size of what it holds; null when the project has no such dataset.</summary>
    public async Task<(string Key, int Profiles, int Loci)?> EnsureAsync(string project, Guid dataset, CancellationToken ct)
    {
        while (true)
        {
            if (await StateAsync(project, dataset, ct) is not { } state) return null;
            if (state.Snapshot is { } known) return (known, state.Profiles, state.Loci.Length);
            await using var lines = new Lines(database, dataset, state);
            var staged = await staging.StageAsync(lines, hash: false, ct);
            // An upload that came in between took the rows of this revision away, perhaps while they were read: then what was written is no state of the data.
            await using var command = database.CreateCommand("""
                WITH kept AS (UPDATE dataset SET snapshot = $1 WHERE id = $2 AND revision = $3 AND isolates_revision = $4 AND snapshot IS NULL RETURNING snapshot)
                DELETE FROM file_garbage WHERE object = (SELECT snapshot FROM kept)
                """);
            command.Parameters.AddWithValue(staged.Object);
            command.Parameters.AddWithValue(dataset);
            command.Parameters.AddWithValue(state.Revision);
            command.Parameters.AddWithValue(state.IsolatesRevision);
            if (await command.ExecuteNonQueryAsync(ct) == 1) return (staged.Object, state.Profiles, state.Loci.Length);
            await staging.DropAsync([staged.Object]);
        }
    }

    private async Task<State?> StateAsync(string project, Guid dataset, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT revision, isolates_revision, profiles, loci, snapshot FROM dataset WHERE id = $1 AND project = $2");
        command.Parameters.AddWithValue(dataset);
        command.Parameters.AddWithValue(project);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct)
            ? new(reader.GetInt32(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetFieldValue<string[]>(3), reader.IsDBNull(4) ? null : reader.GetString(4)) : null;
    }

    private sealed record State(int Revision, int IsolatesRevision, int Profiles, string[] Loci, string? Snapshot);

    /// <summary>The object's bytes, made a chunk of rows at a time: no statement lasts as long as the store takes.</summary>
    private sealed class Lines(NpgsqlDataSource database, Guid dataset, State state) : ReadingStream
    {
        private readonly StringBuilder text = new(AnalysisFiles.ProfilesHead(state.Loci));
        private ReadOnlyMemory<byte> ready;
        private int position;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.IsEmpty) return 0;
            while (ready.IsEmpty)
            {
                if (text.Length == 0)
                {
                    if (position >= state.Profiles) return 0;
                    await FillAsync(cancellationToken);
                }

                ready = Encoding.UTF8.GetBytes(text.ToString());
                text.Clear();
            }

            var count = Math.Min(buffer.Length, ready.Length);
            ready[..count].CopyTo(buffer);
            ready = ready[count..];
            return count;
        }

        private async Task FillAsync(CancellationToken ct)
        {
            // About as many alleles a chunk, however many loci.
            var end = position + Math.Max(1, Math.Min(Chunk, 200_000 / Math.Max(1, state.Loci.Length)));
            await using var connection = await database.OpenConnectionAsync(ct);
            await using var batch = DatasetStore.Keyed(connection, """
                SELECT p.id, coalesce((SELECT isolates FROM isolate_count c WHERE c.dataset = $1 AND c.revision = $3 AND c.profile = p.id), 0), p.alleles
                FROM (SELECT * FROM profile WHERE dataset = $1 AND revision = $2 AND position >= $4 AND position < $5 ORDER BY position OFFSET 0) p
                """, dataset, state.Revision, state.IsolatesRevision, position, end);
            await using var reader = await DatasetStore.ReadAsync(batch, ct);
            while (await reader.ReadAsync(ct)) text.Append(AnalysisFiles.ProfileLine(reader.GetString(0), reader.GetInt32(1), reader.GetString(2)));
            position = end;
        }
    }
}
