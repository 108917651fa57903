using System.Globalization;
using System.Text;
using JobHub.Engine.Analyses;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Projects;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using Xunit;

namespace JobHub.Engine.Tests.Projects;

/// <summary>The object that analyses read, how long it is kept, and what deleting leaves.</summary>
public sealed class DatasetSnapshotTests : TypingTestBase
{
    private DatasetSnapshot Snapshots => Engine.Get<DatasetSnapshot>();

    [Fact]
    public async Task Snapshot_OfAState_IsWrittenOnceWithIsolatesInOrder()
    {
        await PutAsync("ST\ta\tb\n9\t1\t-\n1\t2\t2\n");
        await PutIsolatesAsync("ID\tST\ni\t1\nj\t1\n");

        var (key, profiles, loci) = (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value;

        Assert.Equal((2, 2), (profiles, loci));
        Assert.Equal("a\tb\n9\t0\t1\t\n1\t2\t2\t2\n", await SnapshotTextAsync(key));
        Assert.Equal(key, (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value.Key);
        await PutIsolatesAsync("ID\tST\ni\t9\n");
        var next = (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value.Key;
        Assert.NotEqual(key, next);
        Assert.Equal("a\tb\n9\t1\t1\t\n1\t0\t2\t2\n", await SnapshotTextAsync(next));
        Assert.Null(await Snapshots.EnsureAsync("other", Dataset, Ct));
        Assert.Null(await Snapshots.EnsureAsync(Project, Guid.NewGuid(), Ct));
    }

    [Fact]
    public async Task Snapshot_AskedForByManyWhileTheDataChanges_IsAStateOfTheData()
    {
        var asked = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            var keys = new HashSet<string>();
            for (var i = 0; i < 10; i++) keys.Add((await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value.Key);
            return keys;
        })).ToArray();
        for (var round = 1; round <= 6; round++)
        {
            await PutAsync($"ST\ta\n" + string.Concat(Enumerable.Range(0, 3000).Select(i => string.Create(CultureInfo.InvariantCulture, $"{i}\t{round}\n"))));
            await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);
        }

        foreach (var key in (await Task.WhenAll(asked)).SelectMany(static k => k).Distinct())
        {
            var lines = (await SnapshotTextAsync(key)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.True(lines.Length is 0 or 3001, $"{lines.Length} lines");
            Assert.True(lines.Skip(1).Select(static l => l.Split('\t')[2]).Distinct().Count() <= 1, "Lines of two states.");
        }
    }

    [Fact]
    public async Task Snapshot_Replaced_StaysWhileAnAnalysisNamesIt()
    {
        await PutAsync("ST\ta\n1\t1\n");
        var old = (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value.Key;
        await ExecuteAsync($"INSERT INTO analysis (id, project, dataset, kind, algorithm, parameters, profiles) VALUES (gen_random_uuid(), '{Project}', '{Dataset}', 0, 'x', '[]', '{old}')");
        await PutAsync("ST\ta\n1\t2\n");
        var current = (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value.Key;

        await CollectAllAsync();
        Assert.True(await ExistsAsync(old) && await ExistsAsync(current));

        await ExecuteAsync("DELETE FROM analysis");
        await CollectAllAsync();
        Assert.False(await ExistsAsync(old));
        Assert.True(await ExistsAsync(current));

        Assert.True(await Store.DeleteAsync(Project, Dataset, Ct));
        await CollectAllAsync();
        await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);
        Assert.False(await ExistsAsync(current));
        Assert.Equal(0, await RowsAsync("profile") + await RowsAsync("revision_garbage") + await RowsAsync("file_garbage"));
    }

    [Fact]
    public async Task Project_Deleted_LosesJobsFilesAndData()
    {
        await PutAsync("ST\ta\n1\t1\n");
        await PutIsolatesAsync("ID\tST\ni\t1\n");
        var key = (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value.Key;
        await ExecuteAsync($"INSERT INTO analysis (id, project, dataset, kind, algorithm, parameters, profiles) VALUES (gen_random_uuid(), '{Project}', '{Dataset}', 0, 'x', '[]', '{key}')");
        await ExecuteAsync($"INSERT INTO analysis (id, project, dataset, kind, algorithm, parameters, inference) SELECT gen_random_uuid(), project, dataset, 1, 'y', '[]', id FROM analysis");
        await using (var bytes = new MemoryStream("hello"u8.ToArray()))
        {
            var staged = await Engine.Get<FileStaging>().StageAsync(bytes, hash: false, Ct);
            await ExecuteAsync($"INSERT INTO file (project, job, path, object, size) VALUES ('{Project}', 0, 'a.txt', '{staged.Object}', 5)");
        }

        var job = new JobSpec { Family = JobFamily.Commands, Project = Project, Details = "{}", Tasks = [new(TaskKind.Command, 1, Blocked: false)] };
        await Engine.Jobs.SubmitAsync(job, new("test", null, null), Ct);

        Assert.True(await Engine.Get<ProjectStore>().DeleteAsync(Project, "somebody", Ct));
        Assert.False(await Engine.Get<ProjectStore>().DeleteAsync(Project, "somebody", Ct));
        Assert.False(await Engine.Get<ProjectStore>().DeleteAsync("default", "somebody", Ct));
        await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);
        await ExecuteAsync("UPDATE project_garbage SET due_at = now() - interval '1 second'");
        await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);
        await CollectAllAsync();

        foreach (var table in (string[])["dataset", "analysis", "profile", "isolate", "isolate_count", "revision_garbage", "project_garbage", "file", "file_garbage", "project_member"])
            Assert.True(await RowsAsync(table) == 0, table);
        Assert.Equal(1, await Engine.CountAsync($"SELECT count(*) FROM job WHERE id = '{job.Id.Value}' AND cancel_requested_at IS NOT NULL"));
        await foreach (var left in Engine.Stores.Hub.ListAsync(new ObjectPath(Engine.Stores.HubBucket, "files/"), Ct)) Assert.Fail($"{left.Key} is left.");
    }

    [Fact]
    public async Task Profiles_TwoHundredThousand_AreStoredAndSnapshotted()
    {
        const int Count = 200_000;
        var text = new StringBuilder("ST\tl1\tl2\tl3\tl4\tl5\tl6\tl7\n");
        for (var i = 1; i <= Count; i++) text.Append(CultureInfo.InvariantCulture, $"{i}\t{i % 97}\t{i % 89}\t{i % 83}\t{i % 79}\t{i % 73}\t{i % 71}\t{i % 67}\n");

        var result = await PutAsync(text.ToString());

        Assert.Equal((Count, 0), (result.Stored, result.Invalid.Count));
        Assert.Equal("200000", Assert.Single((await Store.ProfilesAsync(Project, Dataset, Count - 1, 1, Ct))!).Id);
        Assert.Equal("123456", (await Store.ProfileAsync(Project, Dataset, "123456", Ct))!.Id);
        var (key, profiles, loci) = (await Snapshots.EnsureAsync(Project, Dataset, Ct))!.Value;
        await using var stream = await Engine.Stores.Hub.OpenReadAsync(new ObjectPath(Engine.Stores.HubBucket, key), 0, null, Ct);
        var table = await AnalysisFiles.ReadProfilesAsync(stream, Ct);
        Assert.Equal((Count, Count, 7, 7), (profiles, table.Ids.Length, loci, table.Loci.Length));
        Assert.Equal("200000", table.Ids[^1]);
    }

    private async Task CollectAllAsync()
    {
        await ExecuteAsync("UPDATE file_garbage SET due_at = now() - interval '1 second'");
        await Engine.Get<FileStaging>().CollectAsync(Ct);
    }

    private async Task<bool> ExistsAsync(string key) => await Engine.Stores.Hub.HeadAsync(new ObjectPath(Engine.Stores.HubBucket, key), Ct) is not null;
}
