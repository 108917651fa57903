using JobHub.Testing;
using System.Text;
using JobHub.Engine.Projects;
using Xunit;

namespace JobHub.Engine.Tests.Projects;

/// <summary>Files of profiles and isolates: what is stored of them, what is told, and that a reader never sees half of one.</summary>
public sealed class DatasetUploadTests : TypingTestBase
{
    protected override Dictionary<string, string?> Settings => new() { ["JobHub:Projects:MostRows"] = "20000", ["JobHub:Projects:MostAlleles"] = "60000", ["JobHub:Projects:MostLoci"] = "300" };

    [Theory]
    [InlineData("ST\ta\tb\n1\t1\t2\n2\t3\t4\n")]
    [InlineData("\uFEFFST\ta\tb\r\n1\t1\t2\r\n2\t3\t4\r\n")]
    [InlineData("ST\ta\tb\n\n1\t1\t2\n\n\n2\t3\t4")]
    [InlineData("st\t a \tb\n 1 \t1\t 2\n2\t3\t4\r\n\r\n")]
    public async Task Profiles_InAnyOfItsForms_AreStored(string text)
    {
        var result = await PutAsync(text);

        Assert.Equal((2, 0, 0L), (result.Stored, result.Invalid.Count, result.MoreInvalid));
        Assert.Equal(["1:0:1|2", "2:0:3|4"], await StoredAsync());
        var dataset = (await Store.GetAsync(Project, Dataset, Ct))!;
        Assert.Equal(["a", "b"], dataset.Loci);
        Assert.Equal(2, dataset.Profiles);
    }

    [Fact]
    public async Task Profiles_MissingAlleles_AreStoredEmpty()
    {
        await PutAsync("ST\ta\tb\tc\n1\t-\t?\t\n2\t \t1\t-1\n");

        Assert.Equal(["1:0:||", "2:0:|1|-1"], await StoredAsync());
    }

    [Fact]
    public async Task Profiles_BadLines_AreNamedAndTheGoodOnesStored()
    {
        var text = "ST\ta\tb\n1\t1\t2\n2\t1\n3\t1\t2\t3\n\t1\t2\n1\t5\t5\n-\t1\t1\n" + new string('x', 65) + "\t1\t2\n4\t" + new string('y', 65) + "\t1\n5\t1\u0007\t1\n6\t1\u0085\t2\n7\t1\t2\n";
        var result = await PutAsync(text);

        Assert.Equal(["1:0:1|2", "7:0:1|2"], await StoredAsync());
        Assert.Equal(2, result.Stored);
        Assert.Equal(
        [
            new(3, "The line has 2 fields, the header 3."), new(4, "The line has 4 fields; 3 are the most."), new(5, "There is no ST."), new(6, "The ST '1' is given twice."), new(7, "There is no ST."),
            new(8, "The ST has more than 64 characters."), new(9, "The allele of 'a' has more than 64 characters."), new(10, "The line holds the control character U+0007."),
            new(11, "The line holds the control character U+0085."),
        ], result.Invalid);
    }

    [Fact]
    public async Task Profiles_InvalidUtf8AndOverlongLines_AreNamed()
    {
        byte[] text = [.. "ST\ta\n1\t"u8, 0xC3, 0x28, .. "\n2\t"u8, .. Enumerable.Repeat((byte)'x', 200_000), .. "\n3\t4\n"u8];
        var result = await SendAsync(text);

        Assert.Equal(["3:0:4"], await StoredAsync());
        Assert.Equal("The line is not valid UTF-8.", result.Invalid[0].Reason);
        Assert.StartsWith("The line has more than", result.Invalid[1].Reason);
        Assert.Equal([2, 3], result.Invalid.Select(static i => (int)i.Line));
    }

    // On a table without statistics the primary key and the index over ids look alike to the planner: through the first every id would read the whole revision.
    [Fact]
    public async Task Profiles_OnTablesThatWereNeverAnalysed_AreLookedUpByTheirIds()
    {
        await ExecuteAsync("ALTER TABLE profile SET (autovacuum_enabled = off)");
        await PutAsync("ST\ta\n1\t1\n2\t2\n");
        await PutAsync("ST\ta\n" + string.Concat(Enumerable.Range(1, 20_000).Select(static i => $"{i}\t{i}\n")));
        await Eventually.TrueAsync((Func<Task<bool>>)(async () =>
        {
            // Connections tell what they read when they end.
            Engine.Database.Clear();
            await using var command = Engine.Database.CreateCommand("SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE indexrelname = 'profile_id'");
            return (long)(await command.ExecuteScalarAsync())! >= 15_000;
        }), "ids are looked up by their index");
    }

    [Fact]
    public async Task Profiles_DuplicatesFarApart_AreNamed()
    {
        var text = new StringBuilder("ST\ta\n");
        for (var i = 0; i < 12_000; i++) text.Append(i).Append("\t1\n");
        text.Append("0\t2\n11999\t2\n12000\t2\n");
        var result = await PutAsync(text.ToString());

        Assert.Equal(12_001, result.Stored);
        Assert.Equal([new(12_002, "The ST '0' is given twice."), new(12_003, "The ST '11999' is given twice.")], result.Invalid);
    }

    [Fact]
    public async Task Profiles_ManyBadLines_AreCountedAndTheFirstNamed()
    {
        var result = await PutAsync("ST\ta\n1\t1\n" + string.Concat(Enumerable.Repeat("bad\n", 2500)));

        Assert.Equal((1, 1000, 1500L), (result.Stored, result.Invalid.Count, result.MoreInvalid));
        Assert.Equal([.. Enumerable.Range(3, 1000)], result.Invalid.Select(static i => (int)i.Line));
    }

    [Theory]
    [InlineData("", "header-missing")]
    [InlineData("\n\r\n", "header-missing")]
    [InlineData("1\t2\t3\n", "invalid-header")]
    [InlineData("ST\n1\n", "invalid-header")]
    [InlineData("ST\ta\ta\n", "invalid-header")]
    [InlineData("ST\ta\t\n", "invalid-header")]
    [InlineData("ST,a,b\n1,2,3\n", "invalid-header")]
    [InlineData("ST\ta\u0001\n", "invalid-header")]
    [InlineData("ST\ta\n1\n2\n", "no-valid-lines")]
    [InlineData("ST\ta\n1\t1\n2\t\0\n", "not-text")]
    public async Task Profiles_NoSuchFile_IsRefusedAndNothingChanges(string text, string code)
    {
        await PutAsync("ST\ta\n1\t1\n");

        Assert.Equal(code, await RefusedAsync(Encoding.UTF8.GetBytes(text)));
        Assert.Equal(["1:0:1"], await StoredAsync());
    }

    [Fact]
    public async Task Profiles_BinaryOrUtf16OrCompressed_IsRefused()
    {
        Assert.Equal("not-text", await RefusedAsync(Encoding.Unicode.GetPreamble().Concat(Encoding.Unicode.GetBytes("ST\ta\n1\t1\n")).ToArray()));
        Assert.Equal("not-text", await RefusedAsync([0x7F, (byte)'E', (byte)'L', (byte)'F', 0, 0, 1]));
        Assert.Equal("invalid-header", await RefusedAsync([0x1F, 0x8B, 8, 9, 1, 2, 3, 0xFF]));
    }

    [Fact]
    public async Task Profiles_OverALimit_AreRefusedWhole()
    {
        Assert.Equal("invalid-header", await RefusedAsync(Encoding.UTF8.GetBytes("ST\t" + string.Join('\t', Enumerable.Range(0, 301)) + "\n")));
        Assert.Equal("invalid-header", await RefusedAsync(Encoding.UTF8.GetBytes(new string('x', 3_000_000))));
        Assert.Equal("invalid-header", await RefusedAsync(Encoding.UTF8.GetBytes("ST\t" + new string('x', 65) + "\n")));
        Assert.Equal("too-many-profiles", await RefusedAsync(Text(20_001, 1)));
        Assert.Equal("too-many-alleles", await RefusedAsync(Text(15_001, 4)));
        Assert.Equal(20_000, (await SendAsync(Text(20_000, 3))).Stored);
        Assert.Equal("too-many-profiles", await RefusedAsync(Encoding.UTF8.GetBytes("ST\tl0\tl1\tl2\nnew\t1\t1\t1\n"), add: true));
        Assert.Equal(20_000, (await Store.GetAsync(Project, Dataset, Ct))!.Profiles);
    }

    [Fact]
    public async Task Profiles_Added_StandBehindTheOldOnes()
    {
        Assert.Equal(1, (await PutAsync("ST\ta\tb\n1\t1\t1\n", add: true)).Stored);
        var result = await PutAsync("ST\ta\tb\n2\t2\t2\n1\t3\t3\n3\t3\t3\n2\t4\t4\n", add: true);

        Assert.Equal(2, result.Stored);
        Assert.Equal([new(3, "The ST '1' is stored already."), new(5, "The ST '2' is given twice.")], result.Invalid);
        Assert.Equal(["1:0:1|1", "2:0:2|2", "3:0:3|3"], await StoredAsync());
        Assert.Equal("other-loci", await RefusedAsync("ST\tb\ta\n9\t1\t1\n"u8.ToArray(), add: true));
        Assert.Equal("other-loci", await RefusedAsync("ST\ta\n9\t1\n"u8.ToArray(), add: true));
    }

    [Fact]
    public async Task Isolates_Counted_ShowAtTheirProfiles()
    {
        await PutAsync("ST\ta\n1\t1\n2\t2\n3\t3\n");
        var result = await PutIsolatesAsync("country\tID\tyear\tST\nPT\ti1\t2001\t2\nPT\ti2\t2002\t2\nPT\ti3\t2003\t9\nPT\ti1\t2004\t1\nPT\t\t2005\t1\nPT\ti6\t2006\t-\nPT\ti7\t1\nPT\ti8\t2008\t3\n");

        Assert.Equal(3, result.Stored);
        Assert.Equal(
        [
            new(4, "There is no profile with the ST '9'."), new(5, "The ID 'i1' is given twice."), new(6, "There is no ID."), new(7, "There is no ST."), new(8, "The line has 3 fields, the header 4."),
        ], result.Invalid);
        Assert.Equal(["1:0:1", "2:2:2", "3:1:3"], await StoredAsync());

        result = await PutIsolatesAsync("ID\tST\ni1\t1\ni9\t1\ni10\t2\n", add: true);

        Assert.Equal(2, result.Stored);
        Assert.Equal([new(2, "The ID 'i1' is stored already.")], result.Invalid);
        Assert.Equal(["1:1:1", "2:3:2", "3:1:3"], await StoredAsync());
        Assert.Equal(["i1/2", "i2/2", "i8/3", "i9/1", "i10/2"], (await Store.IsolatesAsync(Project, Dataset, 0, 100, Ct))!.Select(static i => $"{i.Id}/{i.Profile}"));
        Assert.Equal(5, (await Store.GetAsync(Project, Dataset, Ct))!.Isolates);

        await PutIsolatesAsync("ID\tST\nx\t3\n");
        Assert.Equal(["1:0:1", "2:0:2", "3:1:3"], await StoredAsync());
    }

    [Theory]
    [InlineData("ID\tname\ni\t1\n", "invalid-header")]
    [InlineData("ST\n1\n", "invalid-header")]
    [InlineData("ID\tST\tid\ni\t1\tj\n", "invalid-header")]
    [InlineData("ID\tST\ni\t5\n", "no-valid-lines")]
    public async Task Isolates_NoSuchFile_IsRefused(string text, string code)
    {
        await PutAsync("ST\ta\n1\t1\n");

        Assert.Equal(code, await RefusedAsync(Encoding.UTF8.GetBytes(text), isolates: true));
    }

    [Fact]
    public async Task Uploads_TwoAtOnce_TheLaterEndIsRefused()
    {
        await using var first = await OpenAsync();
        await using var second = await OpenAsync(add: true);
        await first.ReadAsync(new MemoryStream("ST\ta\n1\t1\n"u8.ToArray()), Ct);
        await second.ReadAsync(new MemoryStream("ST\ta\n2\t2\n"u8.ToArray()), Ct);
        await second.CommitAsync(Ct);

        Assert.True((await Assert.ThrowsAsync<TypingRefusedException>(() => first.CommitAsync(Ct))).Conflict);
        Assert.Equal(["2:0:2"], await StoredAsync());
    }

    [Fact]
    public async Task Upload_GivenUp_LeavesRowsThatUpkeepRemoves()
    {
        await PutAsync("ST\ta\n1\t1\n");
        await PutIsolatesAsync("ID\tST\ni\t1\n");
        await using (var upload = await OpenAsync())
        {
            await upload.ReadAsync(new MemoryStream(Text(7000, 2)), Ct);
        }

        await using (var upload = await OpenAsync(add: true, isolates: true))
        {
            await upload.ReadAsync(new MemoryStream("ID\tST\nj\t1\n"u8.ToArray()), Ct);
        }

        Assert.Equal(7001, await RowsAsync("profile"));
        await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);

        Assert.Equal((1, 1, 1, 0), (await RowsAsync("profile"), await RowsAsync("isolate"), await RowsAsync("isolate_count"), await RowsAsync("revision_garbage")));
        Assert.Equal(["1:1:1"], await StoredAsync());
    }

    [Fact]
    public async Task Upload_TakenForGivenUp_IsRefusedAndNotPointedTo()
    {
        await using var upload = await OpenAsync();
        await upload.ReadAsync(new MemoryStream(Text(10, 1)), Ct);
        await ExecuteAsync("UPDATE revision_garbage SET due_at = now() - interval '1 minute'");
        await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);

        await Assert.ThrowsAsync<TypingRefusedException>(() => upload.CommitAsync(Ct));
        Assert.Equal(0, (await Store.GetAsync(Project, Dataset, Ct))!.Profiles);
    }

    [Fact]
    public async Task Readers_WhileAFileIsReplaced_SeeOneOrTheOther()
    {
        await SendAsync(Text(6000, 2, "a"));
        using var done = new CancellationTokenSource();
        var reading = Task.Run(async () =>
        {
            var seen = new HashSet<string>();
            while (!done.IsCancellationRequested)
            {
                var rows = (await Store.ProfilesAsync(Project, Dataset, 0, 20_000, Ct))!;
                seen.Add($"{rows.Count} {string.Join(',', rows.Select(static r => r.Alleles[..1]).Distinct())}");
            }

            return seen;
        });
        for (var round = 0; round < 4; round++)
        {
            await SendAsync(Text(8000, 2, "b"));
            await SendAsync(Text(6000, 2, "a"));
            await new ProjectRemoval(Engine.Database, Store, Engine.Jobs).RemoveAsync(Ct);
        }

        await done.CancelAsync();
        Assert.Empty((await reading).Except(["6000 a", "8000 b"]));
        Assert.Equal(6000, await RowsAsync("profile"));
    }

    private static byte[] Text(int profiles, int loci, string allele = "1")
    {
        var text = new StringBuilder("ST\t" + string.Join('\t', Enumerable.Range(0, loci).Select(static l => $"l{l}")) + "\n");
        var rest = string.Concat(Enumerable.Repeat("\t" + allele, loci)) + "\n";
        for (var i = 0; i < profiles; i++) text.Append(i).Append(rest);
        return Encoding.UTF8.GetBytes(text.ToString());
    }
}
