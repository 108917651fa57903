using System.Diagnostics;
using System.Text;
using System.Text.Json;
using JobHub.Worker.Runtime;
using Xunit;
using Xunit.Abstractions;

namespace JobHub.Worker.Tests.Sockets;

public sealed class SocketMapReduceTests(ITestOutputHelper console) : IDisposable
{
    private const string OneOfEach = "my ($n, $line) = @ARGV; map_to('{\"pairs\":[{\"key\":' . $line . ',\"value\":' . $n . '}]}');";
    private const string Collect = "my $m = message(listening()); $m =~ /,\"value\":(\\[.*\\])\\}$/s; answer($m, $1);";

    private readonly SocketJob _job = new();

    public void Dispose() => _job.Dispose();

    [Fact]
    public async Task WordCount_OfTheSamples_IsThatOfTheUsualTools()
    {
        var text = string.Concat(Enumerable.Range(0, 40).Select(i => $"the {i % 7} quick \"brown\" \\fox\\ é{i % 3}\tthe{(i % 2 == 0 ? "\r\n" : "\n")}")) + "last line";
        foreach (var (mapper, reducer) in new[] { (PythonMapper(), CReducer()), (CMapper(), PythonReducer()) })
        {
            var results = await _job.RunAsync(mapper, reducer, Encoding.UTF8.GetBytes(text), partitions: 3, splitSize: 301);
            var counts = results.SelectMany(Pairs).ToDictionary(pair => pair.Key, pair => pair.Value);
            var expected = text.Split([' ', '\t', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries).CountBy(word => word)
                .ToDictionary(word => JsonSerializer.Serialize(word.Key, Relaxed), word => word.Value.ToString());
            Assert.Equal(expected.OrderBy(pair => pair.Key), counts.OrderBy(pair => pair.Key));
        }
    }

    [Fact]
    public async Task Keys_OfAnyType_AreGroupedByValueInCanonicalOrder()
    {
        string[] lines = ["1", "1.0", "null", "[1,2]", "{\"b\":1,\"a\":2}", "\"1\"", "10e-1", "[ 1, 2.0 ]", "{\"a\":2e0,\"b\":1}", "true", "\"\\u0031\"", "null"];
        var result = await _job.RunAsync(_job.Perl(OneOfEach), _job.Perl(Collect), Encoding.UTF8.GetBytes(string.Join('\n', lines)));
        Assert.Equal(
            "{\"pairs\":[{\"key\":\"1\",\"value\":[5,10]},{\"key\":1,\"value\":[0,1,6]},{\"key\":[1,2],\"value\":[3,7]},{\"key\":null,\"value\":[2,11]}," +
            "{\"key\":true,\"value\":[9]},{\"key\":{\"a\":2,\"b\":1},\"value\":[4,8]}]}", result[0]);
    }

    [Fact]
    public async Task Input_OfNoLine_LeavesEmptyPairsOfEveryReducer()
    {
        var results = await _job.RunAsync(_job.Perl(OneOfEach), _job.Perl(Collect), [], partitions: 2);
        Assert.Equal(["{\"pairs\":[]}", "{\"pairs\":[]}"], results);
    }

    [Fact]
    public async Task Messages_OfManyMegabytes_PassWhole()
    {
        // 5 MB a line of many pairs to one key, one value of 5 MB, and the reducer's message and answer of as much.
        var mapper = _job.Perl("my @p = map { '{\"key\":\"k\",\"value\":\"' . ($_ x 1000) . '\"}' } 0..9; map_to($ARGV[0] ? '{\"pairs\":[{\"key\":\"k\",\"value\":\"' . ('x' x 5000000) . '\"}]}' : '{\"pairs\": [' . join(',', (@p) x 500) . ']}');");
        var result = await _job.RunAsync(mapper, _job.Perl(Collect), "a\nb\n"u8.ToArray());
        Assert.Equal($"{{\"pairs\":[{{\"key\":\"k\",\"value\":[{string.Join(',', Enumerable.Range(0, 5000).Select(i => $"\"{new string((char)('0' + (i % 10)), 1000)}\""))},\"{new string('x', 5_000_000)}\"]}}]}}", result[0]);
    }

    [Fact]
    public async Task Reducer_ThatReadsOnceAndAnswersBeforeItReads_Succeeds()
    {
        var once = _job.Perl("my $s = listening(); accept(my $c, $s); sysread($c, my $m, 65536); $m =~ /\\]\\}$/ or die 'cut'; answer($m, 1);");
        var line = Encoding.UTF8.GetBytes($"\"{new string('k', 60_000)}\"\n");
        Assert.EndsWith(",\"value\":1}]}", (await _job.RunAsync(_job.Perl(OneOfEach), once, line))[0]);
        var early = _job.Perl("to('/tmp/reduce.sock', '{\"value\":7,\"key\":{\"value\":0,\"key\":\"a\"}}'); my $s = listening(); accept(my $c, $s); close $c;");
        Assert.Equal("{\"pairs\":[{\"key\":\"a\",\"value\":7}]}", (await _job.RunAsync(_job.Perl(OneOfEach), early, "\"a\"\n"u8.ToArray()))[0]);
    }

    [Fact]
    public async Task Line_OfTheLongestArgument_IsPassedAndOneByteMoreFails()
    {
        var length = _job.Perl("map_to('{\"pairs\":[{\"key\":' . length($ARGV[1]) . ',\"value\":0}]}');");
        var fits = Encoding.ASCII.GetBytes(new string('x', 131_071) + "\r\n");
        Assert.Contains("131071", (await _job.RunAsync(length, _job.Perl(Collect), fits))[0], StringComparison.Ordinal);
        await FailsAsync("line-not-passable", "Line 1 ", _job.MapAsync(length, Encoding.ASCII.GetBytes($"a\n{new string('x', 131_072)}\n")));
        await FailsAsync("line-not-passable", "Line 0 ", _job.MapAsync(length, new byte[1_000_000].Select(_ => (byte)'x').ToArray()));
        await FailsAsync("line-not-passable", "Line 2 ", _job.MapAsync(length, "a\nb\nc\0d\n"u8.ToArray()));
    }

    [Fact]
    public async Task Line_ThatIsNotUtf8_ReachesTheMapperAsItIs()
    {
        var hex = _job.Perl("map_to('{\"pairs\":[{\"key\":\"' . unpack('H*', $ARGV[1]) . '\",\"value\":0}]}');");
        Assert.Contains("\"ff20810d41\"", (await _job.RunAsync(hex, _job.Perl(Collect), [0xff, 0x20, 0x81, 0x0d, 0x41, 0x0d, 0x0a]))[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("line-without-message", "exit 0")]
    [InlineData("line-without-message", "socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un('/tmp/map.sock'))")]
    [InlineData("bad-message", "map_to('{\"pairs\":[]}'); map_to('{\"pairs\":[]}')")]
    [InlineData("bad-message", "map_to('{\"pairs\":[]}{}')")]
    [InlineData("bad-message", "map_to('hello')")]
    [InlineData("bad-message", "map_to('{}')")]
    [InlineData("bad-message", "map_to('{\"pairs\":[{\"key\":1}]}')")]
    [InlineData("bad-message", "map_to('{\"pairs\":[{\"key\":1,\"value\":nope}]}')")]
    [InlineData("bad-message", "map_to('{\"pairs\":[{\"key\":1,\"value\":2}')")]
    [InlineData("bad-message", "map_to('{\"pairs\":[{\"key\":{\"a\":1,\"a\":2},\"value\":2}]}')")]
    [InlineData("bad-message", "map_to('x'); sleep 1000")]
    [InlineData("exit-code", "map_to('{\"pairs\":[]}'); exit 3")]
    [InlineData("exit-code", "map_to('{\"pai'); exit 3")]
    [InlineData("signal", "map_to('{\"pairs\":[]}'); kill 9, $$")]
    public async Task Mapper_ThatDoesNotKeepTheContract_FailsWithItsLine(string type, string body) =>
        await FailsAsync(type, "Line 1:", _job.MapAsync(_job.Perl($"if ($ARGV[0] == 0) {{ map_to('{{\"pairs\":null}}'); exit 0 }} {body};"), "a\nb"u8.ToArray()));

    [Theory]
    [InlineData("key-without-answer", "exit 0")]
    [InlineData("key-without-answer", "message(listening())")]
    [InlineData("input-not-taken", "to('/tmp/reduce.sock', '{\"key\":{\"key\":\"b\",\"value\":1},\"value\":2}')")]
    [InlineData("bad-message", "my $m = message(listening()); answer($m, 1); answer($m, 1)")]
    [InlineData("bad-message", "message(listening()); to('/tmp/reduce.sock', '{\"key\":{\"key\":\"a\",\"value\":1},\"value\":2}')")]
    [InlineData("bad-message", "message(listening()); to('/tmp/reduce.sock', '{\"key\":{\"key\":\"b\",\"value\":0},\"value\":2}')")]
    [InlineData("bad-message", "message(listening()); to('/tmp/reduce.sock', '{\"key\":{\"key\":\"b\",\"value\":1}}')")]
    [InlineData("bad-message", "message(listening()); to('/tmp/reduce.sock', 'garbage'); sleep 1000")]
    [InlineData("exit-code", "my $m = message(listening()); answer($m, 1); exit 4")]
    [InlineData("signal", "my $m = message(listening()); kill 9, $$")]
    public async Task Reducer_ThatDoesNotKeepTheContract_FailsWithItsKey(string type, string body)
    {
        var maps = await _job.MapAsync(_job.Perl(OneOfEach), "\"a\"\n\"b\"\n"u8.ToArray());
        await FailsAsync(type, "Key 1:", _job.ReduceAsync(_job.Perl($"if ($ARGV[0] == 0) {{ my $m = message(listening()); answer($m, 1); exit 0 }} {body};"), maps));
    }

    [Fact]
    public async Task Programs_ThatHang_EndWhenTheAttemptIsCanceled()
    {
        using var stop = new CancellationTokenSource();
        var mapping = _job.MapAsync(_job.Perl("syswrite(STDERR, 'hangs'); sleep 1000;"), "a\nb\nc\n"u8.ToArray(), ct: stop.Token);
        await PrintedAsync("hangs");
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => mapping);

        using var stopReduce = new CancellationTokenSource();
        var maps = await _job.MapAsync(_job.Perl(OneOfEach), "1\n2\n3\n"u8.ToArray());
        var reducing = _job.ReduceAsync(_job.Perl("my $s = listening(); syswrite(STDERR, 'sleeps'); sleep 1000;"), maps, ct: stopReduce.Token);
        await PrintedAsync("sleeps");
        await stopReduce.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reducing);
    }

    [Fact]
    public async Task Mapper_ThatRemovesItsSocketAndFillsItsTmp_DoesNotDisturbTheNextLine()
    {
        var mapper = _job.Perl("map_to('{\"pairs\":[{\"key\":1,\"value\":' . $ARGV[1] . '}]}'); unlink '/tmp/map.sock'; symlink '/etc/passwd', '/tmp/map.sock'; print 'out'; warn 'err';");
        var result = await _job.RunAsync(mapper, _job.Perl(Collect), "5\n6\n7\n8\n"u8.ToArray());
        Assert.Equal("{\"pairs\":[{\"key\":1,\"value\":[5,6,7,8]}]}", result[0]);
        Assert.Equal(4, _job.Log.Text.Split("out").Length - 1);
        Assert.Contains("err", _job.Log.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Speed_OfProgramsInC_IsPrinted()
    {
        var (mapper, reducer) = (CMapper(), CReducer());
        var text = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, 2000).Select(i => $"word{i}\n")));
        var began = Stopwatch.GetTimestamp();
        var maps = await _job.MapAsync(mapper, text);
        var mapped = Stopwatch.GetElapsedTime(began);
        began = Stopwatch.GetTimestamp();
        Assert.Equal(2000, Pairs(await _job.ReduceAsync(reducer, maps)).Count());
        console.WriteLine($"{2000 / mapped.TotalSeconds:f0} lines/s, {2000 / Stopwatch.GetElapsedTime(began).TotalSeconds:f0} keys/s");
    }

    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static IEnumerable<(string Key, string Value)> Pairs(string result)
    {
        using var document = JsonDocument.Parse(result);
        foreach (var pair in document.RootElement.GetProperty("pairs").EnumerateArray().ToArray())
        {
            yield return (pair.GetProperty("key").GetRawText(), pair.GetProperty("value").GetRawText());
        }
    }

    private static async Task FailsAsync(string type, string subject, Task attempt)
    {
        var failure = await Assert.ThrowsAsync<AttemptFailedException>(() => attempt);
        Assert.Equal(type, failure.Type);
        Assert.StartsWith(subject, failure.Message, StringComparison.Ordinal);
    }

    private async Task PrintedAsync(string what)
    {
        for (var i = 0; i < 3000 && !_job.Log.Text.Contains(what, StringComparison.Ordinal); i++)
        {
            await Task.Delay(10);
        }

        Assert.Contains(what, _job.Log.Text, StringComparison.Ordinal);
    }

    private string PythonMapper() => _job.Copy(SocketJob.Sample("socket/python/mapper.py"));

    private string PythonReducer() => _job.Copy(SocketJob.Sample("socket/python/reducer.py"));

    private string CMapper() => _job.Compile(SocketJob.Sample("socket/c/mapper.c"));

    private string CReducer() => _job.Compile(SocketJob.Sample("socket/c/reducer.c"));
}
