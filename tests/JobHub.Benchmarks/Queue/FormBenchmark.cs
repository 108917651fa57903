using System.Net.Sockets;
using System.Text;
using JobHub.Benchmarks.Measuring;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;

namespace JobHub.Benchmarks.Queue;

/// <summary>Leaves of a tree run by workers that speak by forms: pick, one heartbeat, end, a connection for each call.</summary>
internal static class FormBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 6000);
        var workers = arguments.Number("workers", 10);
        var statements = arguments.Number("statements", 0) > 0;
        await using var server = await BenchServer.StartAsync(statements);
        var table = new Table($"{n:N0} jobs of one group, {workers} form workers, three calls a job and a connection a call", "/s", "1,000/s");
        await table.InterleaveAsync(arguments.Number("runs", 3),
            ("JobHub, nothing printed", false, () => DrainAsync(server, n, workers, "", statements)),
            ("JobHub, 200 bytes printed", false, () => DrainAsync(server, n, workers, new string('x', 200), statements)));
        return table;
    }

    private static async Task<Sample> DrainAsync(BenchServer server, int n, int workers, string printed, bool statements)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        await SubmitAsync(hub, 1000);
        await DrainAsync(hub, workers, printed);
        await SubmitAsync(hub, n);
        await Work.SettleAsync(hub.Engine.Database);
        if (statements) await BenchServer.ForgetStatementsAsync(hub.Engine.Database);
        var done = 0;
        var sample = await Sample.RateAsync(n, async () => done = await DrainAsync(hub, workers, printed));
        if (statements) Console.WriteLine(await BenchServer.StatementsAsync(hub.Engine.Database));
        return done == n ? sample : throw new InvalidOperationException($"{done} of {n} jobs were run.");
    }

    private static async Task SubmitAsync(BenchHub hub, int n)
    {
        var trees = hub.Engine.Get<JobTrees>();
        var who = new Submission("bench", null, null);
        var group = ((TreeResult.Done)await trees.CreateAsync([new()], who, CancellationToken.None)).Ids[0];
        await trees.CreateAsync([.. Enumerable.Range(0, n).Select(_ => new NewTreeJob { Parent = group, Command = "true" })], who, CancellationToken.None);
    }

    private static async Task<int> DrainAsync(BenchHub hub, int workers, string printed)
    {
        var log = Convert.ToBase64String(Encoding.ASCII.GetBytes(printed));
        var all = await Task.WhenAll(Enumerable.Range(0, workers).Select(i => Task.Run(async () =>
        {
            var (me, done) = ($"hostname=node-{i}&load=%5B43%5D&free_memory=1000&total_memory=4000", 0);
            while (true)
            {
                var picked = await CallAsync(hub.Address, "pickjob", me);
                var job = picked[1..picked.IndexOf(',', StringComparison.Ordinal)];
                if (job == "-1") return done;
                if (await CallAsync(hub.Address, "heartbeat", $"{me}&jobId={job}&log={Uri.EscapeDataString(log)}") != "true") throw new InvalidOperationException("A heartbeat was refused.");
                await CallAsync(hub.Address, "endjob", $"hostname=node-{i}&jobId={job}&errorCode=0");
                done++;
            }
        })));
        return all.Sum();
    }

    // As the original does it: HTTP/1.1 over a new connection, which the worker closes. An HttpClient would cost the machine more than the hub does.
    private static async Task<string> CallAsync(Uri hub, string call, string form)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(hub.Host, hub.Port);
        await socket.SendAsync(Encoding.ASCII.GetBytes(
            $"POST /workers/{call} HTTP/1.1\r\nHost: {hub.Authority}\r\nAccept-Encoding: identity\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {form.Length}\r\n\r\n{form}"));
        var buffer = new byte[4096];
        var text = "";
        while (true)
        {
            var read = await socket.ReceiveAsync(buffer);
            if (read == 0) throw new InvalidOperationException("The hub closed the connection: " + text);
            text += Encoding.ASCII.GetString(buffer, 0, read);
            var head = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (head < 0) continue;
            var at = text.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase) + 16;
            var length = int.Parse(text[at..text.IndexOf("\r\n", at, StringComparison.Ordinal)]);
            if (text.Length >= head + 4 + length) return text.Substring(head + 4, length);
        }
    }
}
