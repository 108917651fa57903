using System.Net;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;
using Npgsql;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

public sealed class StoreRegistryTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private StoreRegistry Registry(string[]? endpoints = null, string[]? roots = null, bool? anyFile = null)
    {
        var options = new StorageOptions { Root = Path.Combine(folder.Path, "hub"), AllowAnyFile = anyFile };
        foreach (var endpoint in endpoints ?? []) options.AllowedEndpoints.Add(endpoint);
        foreach (var root in roots ?? []) options.FileRoots.Add(root);
        return new StoreRegistry(options, TimeProvider.System);
    }

    private static StoreFault FaultOf(Action call, out string message)
    {
        var fault = Assert.Throws<StoreException>(call);
        message = fault.Message;
        return fault.Fault;
    }

    [Theory]
    [InlineData("http://host:9000/bucket/key", "host:9000", true)]
    [InlineData("https://host:9000/bucket/key", "host:9000", true)]
    [InlineData("https://host:9000/bucket/key", "https://HOST:9000", true)]
    [InlineData("http://host:9000/bucket/key", "https://host:9000", false)]
    [InlineData("http://host:9001/bucket/key", "host:9000", false)]
    [InlineData("http://host.evil:9000/bucket/key", "host:9000", false)]
    [InlineData("http://host:9000/bucket/key", null, false)]
    public void Open_OfAnEndpoint_WantsItListed(string path, string? listed, bool opens)
    {
        using var registry = Registry(endpoints: listed is null ? [] : [listed]);
        var address = ObjectAddress.Parse(path, useSsl: false);
        if (opens)
        {
            Assert.Equal(new ObjectPath("bucket", "key"), registry.Open(address, null).Path);
            return;
        }

        Assert.Equal(StoreFault.EndpointNotAllowed, FaultOf(() => registry.Open(address, null), out var message));
        Assert.Contains("JobHub:Storage:AllowedEndpoints", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_OfTheHubsOwnBucket_IsDenied()
    {
        using var registry = Registry();
        Assert.Same(registry.Hub, registry.Open(ObjectAddress.Parse("s3://inputs/x", false), new StorageCredentials("", "")).Store);
        Assert.Equal(StoreFault.AccessDenied, FaultOf(() => registry.Open(ObjectAddress.Parse("s3://jobhub/artifacts/x", false), null), out _));
    }

    [Fact]
    public async Task Plan_OfFiles_StaysBelowTheRoots()
    {
        var inside = Directory.CreateDirectory(Path.Combine(folder.Path, "in")).FullName;
        Directory.CreateDirectory(Path.Combine(inside, "sub"));
        await File.WriteAllTextAsync(Path.Combine(inside, "b.txt"), "bb");
        await File.WriteAllTextAsync(Path.Combine(inside, "sub", "c%.txt"), "ccc");
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "secret"), "secret");
        File.CreateSymbolicLink(Path.Combine(inside, "good"), Path.Combine(inside, "b.txt"));
        File.CreateSymbolicLink(Path.Combine(inside, "evil"), Path.Combine(folder.Path, "secret"));
        Directory.CreateSymbolicLink(Path.Combine(inside, "loop"), inside);
        using var registry = Registry(roots: [inside]);
        var planner = new InputPlanner(registry, new(NpgsqlDataSource.Create("Host=none"), registry));

        var plan = await planner.PlanAsync($"file://{inside}/", false, null, "default", default);
        Assert.Equal([$"file://{inside}/b.txt", $"file://{inside}/good", $"file://{inside}/sub/c%25.txt"], plan.Objects.Select(item => item.Path));
        Assert.Equal(7, plan.TotalSize);
        Assert.Equal(2, Assert.Single((await planner.PlanAsync($"file://{inside}/b*", false, null, "default", default)).Objects).Size);
        Assert.Equal(2, (await planner.PlanAsync($"file://{inside}/good", false, null, "default", default)).TotalSize);
        foreach (var path in (string[])[$"file://{folder.Path}/secret", $"file://{inside}/evil", "file:///etc/passwd", $"file://{folder.Path}/"])
        {
            var fault = await Assert.ThrowsAsync<StoreException>(() => planner.PlanAsync(path, false, null, "default", default));
            Assert.Equal(StoreFault.EndpointNotAllowed, fault.Fault);
            Assert.Contains("JobHub:Storage:FileRoots", fault.Message, StringComparison.Ordinal);
        }

        foreach (var path in (string[])[$"file://{inside}/none", $"file://{inside}/none*", $"file://{inside}/none/", $"file://{inside}/sub"])
        {
            Assert.Equal(StoreFault.NotFound, (await Assert.ThrowsAsync<StoreException>(() => planner.PlanAsync(path, false, null, "default", default))).Fault);
        }
    }

    [Fact]
    public async Task Promote_OfAFile_LeavesNoTemporaryNameBeside()
    {
        using var registry = Registry(anyFile: true);
        var output = ObjectAddress.ParseOutput($"file://{folder.Path}/out/deep", false);
        var (store, path) = registry.Open(output.Child($"{Guid.NewGuid()}/part-00000"), null);
        var token = Guid.NewGuid();
        var temporary = store.TemporaryPath(path, token)!;
        await File.WriteAllTextAsync(temporary, "text");
        Assert.Equal(Path.GetDirectoryName(temporary), Path.GetDirectoryName("/" + path.Key));
        await foreach (var item in store.ListAsync(path with { Key = output.Key + "/" }, default)) Assert.Fail(item.Key);
        Assert.Equal(PromoteResult.Promoted, await store.PromoteAsync(path, token, new(4, null, null, null, null), default));
        Assert.Equal("text", await File.ReadAllTextAsync("/" + path.Key));
        Assert.Single(Directory.GetFileSystemEntries(Path.GetDirectoryName(temporary)!));
        await store.DeleteAsync([path], default);
        Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(folder.Path, "out/deep")));
    }

    [Theory]
    [InlineData("8.8.8.8", AddressClass.Public)]
    [InlineData("2606:4700::1", AddressClass.Public)]
    [InlineData("127.8.9.1", AddressClass.Inner)]
    [InlineData("10.1.2.3", AddressClass.Inner)]
    [InlineData("172.31.255.255", AddressClass.Inner)]
    [InlineData("192.168.0.1", AddressClass.Inner)]
    [InlineData("100.64.0.1", AddressClass.Inner)]
    [InlineData("::1", AddressClass.Inner)]
    [InlineData("fd12::1", AddressClass.Inner)]
    [InlineData("169.254.169.254", AddressClass.Forbidden)]
    [InlineData("0.0.0.0", AddressClass.Forbidden)]
    [InlineData("0.1.2.3", AddressClass.Forbidden)]
    [InlineData("::ffff:127.0.0.1", AddressClass.Forbidden)]
    [InlineData("::ffff:8.8.8.8", AddressClass.Forbidden)]
    [InlineData("::127.0.0.1", AddressClass.Forbidden)]
    [InlineData("64:ff9b::7f00:1", AddressClass.Forbidden)]
    [InlineData("2002:7f00:1::", AddressClass.Forbidden)]
    [InlineData("fe80::1", AddressClass.Forbidden)]
    [InlineData("fd00:ec2::254", AddressClass.Forbidden)]
    [InlineData("100.100.100.200", AddressClass.Forbidden)]
    [InlineData("::", AddressClass.Forbidden)]
    [InlineData("255.255.255.255", AddressClass.Forbidden)]
    [InlineData("224.0.0.1", AddressClass.Forbidden)]
    public void Classify_OfAnAddress_KnowsWhereItIs(string address, AddressClass expected) => Assert.Equal(expected, AddressRules.Classify(IPAddress.Parse(address)));
}
