using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Api.Tests.Accounts;
using JobHub.Engine.Accounts;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Projects;

/// <summary>Typing data over HTTP: forms and bodies, whole or refused, also when they break off or are too large.</summary>
[Collection(HubCollection.Name)]
public sealed class DatasetTests(HubFixture fixture) : IAsyncLifetime
{
    private HttpClient member = null!;
    private string dataset = null!;

    public async Task InitializeAsync()
    {
        member = await fixture.Hub.ClientAsync(AccountRole.Member);
        dataset = await member.DatasetAsync(await member.ProjectAsync());
    }

    public Task DisposeAsync()
    {
        member.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Profiles_AsFormOrBodyOfAnyType_AreStored()
    {
        const string Text = "\uFEFFST\ta\tb\r\n1\t1\t2\r\n2\t-\t?\r\n";
        foreach (var content in (HttpContent[])[ProjectCalls.Form(Text), ProjectCalls.Tsv(Text), new ByteArrayContent(Encoding.UTF8.GetBytes(Text)), new StringContent(Text, Encoding.UTF8, "application/x-www-form-urlencoded")])
        {
            var answer = await GoodAsync("PUT", "/profiles/files", content);
            Assert.Equal("""{"profiles":2,"invalid_lines":[],"more_invalid_lines":0}""", answer.ToJsonString());
            Assert.Equal("""[{"id":"1","isolates":0,"alleles":["1","2"]},{"id":"2","isolates":0,"alleles":[null,null]}]""", await member.GetStringAsync($"{dataset}/profiles"));
        }
    }

    [Fact]
    public async Task Profiles_Added_ReadByPagesAndOneByOne()
    {
        await GoodAsync("PUT", "/profiles/files", ProjectCalls.Tsv("ST\ta\n1\t1\nx/y\t2\n"));
        var answer = await GoodAsync("POST", "/profiles/files", ProjectCalls.Form("ST\ta\n3\t3\n1\t4\n"));

        Assert.Equal("The ST '1' is stored already.", (string)answer["invalid_lines"]![0]!["reason"]!);
        Assert.Equal(3, (int)answer["invalid_lines"]![0]!["line"]!);
        Assert.Equal("""[{"id":"3","isolates":0,"alleles":["3"]}]""", await member.GetStringAsync($"{dataset}/profiles?page=1&size=2"));
        Assert.Equal("[]", await member.GetStringAsync($"{dataset}/profiles?page=7"));
        Assert.Equal("2", (string)JsonNode.Parse(await member.GetStringAsync($"{dataset}/profiles/x%2Fy"))!["alleles"]![0]!);
        using var unknown = await member.GetAsync($"{dataset}/profiles/9");
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "profile-not-found");
    }

    [Theory]
    [InlineData("", "header-missing")]
    [InlineData("1\t2\n", "invalid-header")]
    [InlineData("ST\ta\n\u0000", "not-text")]
    [InlineData("ST\ta\nragged\n", "no-valid-lines")]
    public async Task Profiles_OfABadFile_AreRefusedWithItsReason(string text, string code)
    {
        foreach (var content in (HttpContent[])[ProjectCalls.Form(text), ProjectCalls.Tsv(text)])
        {
            using var answer = await member.SendAsync("PUT", $"{dataset}/profiles/files", content);
            await answer.IsProblemAsync(HttpStatusCode.BadRequest, code);
        }
    }

    [Fact]
    public async Task Profiles_OfABadForm_AreRefusedAndNothingChanges()
    {
        await GoodAsync("PUT", "/profiles/files", ProjectCalls.Tsv("ST\ta\n1\t1\n"));
        using var missing = await member.SendAsync("PUT", $"{dataset}/profiles/files", new MultipartFormDataContent("b"));
        using var unknown = await member.SendAsync("PUT", $"{dataset}/profiles/files", ProjectCalls.Form("ST\ta\n2\t1\n", "profiles"));
        var twice = ProjectCalls.Form("ST\ta\n2\t1\n");
        twice.Add(new ByteArrayContent("ST\ta\n3\t1\n"u8.ToArray()), "file", "b");
        using var two = await member.SendAsync("PUT", $"{dataset}/profiles/files", twice);
        var cut = new StringContent("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nST\ta\n2\t1\n");
        cut.Headers.ContentType = MediaTypeHeaderValue.Parse("multipart/form-data; boundary=b");
        using var early = await member.SendAsync("PUT", $"{dataset}/profiles/files", cut);
        var packed = ProjectCalls.Tsv("ST\ta\n2\t1\n");
        packed.Headers.ContentEncoding.Add("gzip");
        using var compressed = await member.SendAsync("PUT", $"{dataset}/profiles/files", packed);

        Assert.Equal(HttpStatusCode.BadRequest, missing.StatusCode);
        await unknown.IsProblemAsync(HttpStatusCode.BadRequest, "unknown-field", "profiles");
        await two.IsProblemAsync(HttpStatusCode.BadRequest, "repeated-field", "file");
        await early.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-multipart");
        await compressed.IsProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        Assert.Single(JsonNode.Parse(await member.GetStringAsync($"{dataset}/profiles"))!.AsArray());
    }

    [Fact]
    public async Task Profiles_WhoseSenderGoesAway_LeaveNothing()
    {
        await GoodAsync("PUT", "/profiles/files", ProjectCalls.Tsv("ST\ta\n1\t1\n"));
        using var gone = new CancellationTokenSource();
        var pipe = new Pipe();
        var sending = Task.Run(async () =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, $"{dataset}/profiles/files") { Content = new StreamContent(pipe.Reader.AsStream()) };
            using var answer = await member.SendAsync(request, gone.Token);
        });
        await pipe.Writer.WriteAsync(Encoding.UTF8.GetBytes(Many(12_000)));
        var id = dataset[^36..];
        await Eventually.TrueAsync(async () => await CountAsync($"SELECT count(*) FROM profile WHERE dataset = '{id}'") > 5000, "the first chunks are written");
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => sending);

        await Eventually.TrueAsync(async () => await CountAsync($"SELECT count(*) FROM profile WHERE dataset = '{id}'") == 1
            && await CountAsync($"SELECT count(*) FROM revision_garbage WHERE dataset = '{id}'") == 0, "what it wrote is removed");
        Assert.Equal(1, (int)JsonNode.Parse(await member.GetStringAsync(dataset))!["profiles"]!);
    }

    [Fact]
    public async Task Upload_WhileAnotherEnds_IsRefusedWithConflict()
    {
        var pipe = new Pipe();
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{dataset}/profiles/files") { Content = new StreamContent(pipe.Reader.AsStream()) };
        var slow = member.SendAsync(request);
        await pipe.Writer.WriteAsync(Encoding.UTF8.GetBytes(Many(6000)));
        await Eventually.TrueAsync(async () => await CountAsync($"SELECT count(*) FROM profile WHERE dataset = '{dataset[^36..]}'") > 0, "the slow one writes");
        await GoodAsync("PUT", "/profiles/files", ProjectCalls.Tsv("ST\ta\nfast\t1\n"));
        await pipe.Writer.CompleteAsync();
        using var answer = await slow;

        await answer.IsProblemAsync(HttpStatusCode.Conflict, "dataset-changed");
        Assert.Equal("""[{"id":"fast","isolates":0,"alleles":["1"]}]""", await member.GetStringAsync($"{dataset}/profiles"));
    }

    [Fact]
    public async Task Profiles_OverALimit_AreRefusedWith413()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Projects:UploadLimit=200000", "--JobHub:Projects:MostRows=8000");
        using var client = await hub.ClientAsync(AccountRole.Member);
        var path = await client.DatasetAsync(await client.ProjectAsync()) + "/profiles/files";
        using var rows = await client.SendAsync("PUT", path, ProjectCalls.Tsv(Many(8001)));
        await rows.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "too-many-profiles");
        foreach (var chunked in (bool[])[false, true])
        {
            // A gigabyte, of which no more is read than the limit.
            using var request = new HttpRequestMessage(HttpMethod.Put, path) { Content = new EndlessLines(1 << 30, chunked) };
            request.Headers.ExpectContinue = true;
            try
            {
                using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
                Assert.Equal(HttpStatusCode.RequestEntityTooLarge, answer.StatusCode);
            }
            catch (HttpRequestException)
            {
                // The hub answers and hangs up while the rest is being sent; not every client still reads the answer.
                Assert.True(chunked);
            }
        }

        Assert.Equal("[]", await client.GetStringAsync(path[..^"/files".Length]));
    }

    [Fact]
    public async Task Dataset_Deleted_IsGoneWithItsRows()
    {
        await GoodAsync("PUT", "/profiles/files", ProjectCalls.Tsv(Many(5001)));
        await GoodAsync("PUT", "/isolates/files", ProjectCalls.Tsv("ID\tST\ni\t1\n"));
        using var deleted = await member.SendAsync("DELETE", dataset);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        foreach (var (method, path) in ((string, string)[])[("GET", ""), ("DELETE", ""), ("GET", "/profiles"), ("GET", "/profiles/1"), ("GET", "/isolates"), ("PUT", "/profiles/files"), ("POST", "/isolates/files")])
        {
            using var gone = await member.SendAsync(method, dataset + path);
            await gone.IsProblemAsync(HttpStatusCode.NotFound, "dataset-not-found");
        }

        var id = dataset[^36..];
        await Eventually.TrueAsync(async () => await CountAsync($"SELECT (SELECT count(*) FROM profile WHERE dataset = '{id}') + (SELECT count(*) FROM isolate WHERE dataset = '{id}') + (SELECT count(*) FROM isolate_count WHERE dataset = '{id}')") == 0, "its rows are removed");
    }

    [Fact]
    public async Task Dataset_OfAnotherProject_IsNotFound()
    {
        var second = await member.ProjectAsync();
        foreach (var id in (string[])[dataset[^36..], "nonsense"])
        {
            using var answer = await member.GetAsync($"/projects/{second}/datasets/{id}");
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "dataset-not-found");
        }
    }

    private async Task<JsonNode> GoodAsync(string method, string path, HttpContent content)
    {
        using var answer = await member.SendAsync(method, dataset + path, content);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, text);
        return JsonNode.Parse(text)!;
    }

    private static string Many(int profiles)
    {
        var text = new StringBuilder("ST\ta\n");
        for (var i = 0; i < profiles; i++) text.Append(CultureInfo.InvariantCulture, $"{i}\t{i % 7}\n");
        return text.ToString();
    }

    private async Task<long> CountAsync(string sql)
    {
        await using var command = fixture.Hub.Services.GetRequiredService<Npgsql.NpgsqlDataSource>().CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>A body of a length, of which nothing is held.</summary>
    private sealed class EndlessLines(long length, bool chunked) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            var line = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("ST\ta\n", 10_000)));
            for (long sent = 0; sent < length; sent += line.Length) await stream.WriteAsync(line);
        }

        protected override bool TryComputeLength(out long computed)
        {
            computed = length;
            return !chunked;
        }
    }
}
