using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace JobHub.Api.Tests.Farm;

/// <summary>A mail as it came: who it is for, and its lines as they were sent.</summary>
internal sealed record ReceivedMail(string From, IReadOnlyList<string> To, string Text)
{
    /// <summary>The body, decoded.</summary>
    public string Body => Text[(Text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..] is var body && Text.Contains("base64", StringComparison.OrdinalIgnoreCase)
        ? Encoding.UTF8.GetString(Convert.FromBase64String(body.Replace("\r\n", "", StringComparison.Ordinal))) : body.Replace("=\r\n", "", StringComparison.Ordinal);

    public string Header(string name) => Text[..Text.IndexOf("\r\n\r\n", StringComparison.Ordinal)].Replace("\r\n ", " ", StringComparison.Ordinal)
        .Split("\r\n").Where(l => l.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase)).Select(l => l[(name.Length + 1)..].Trim()).Single();
}

/// <summary>As much of SMTP as a sender needs, on loopback.</summary>
internal sealed class SmtpInbox : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly TcpListener listener;
    private readonly Task accepting;

    public SmtpInbox(int port = 0)
    {
        listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

    public ConcurrentQueue<ReceivedMail> Mails { get; } = new();

    /// <summary>The answer to a recipient; 250 takes it.</summary>
    public Func<string, string> AnswerRecipient { get; set; } = _ => "250 ok";

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        await accepting;
        stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        var talks = new List<Task>();
        try
        {
            while (true) talks.Add(TalkAsync(await listener.AcceptTcpClientAsync(stop.Token)));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(talks);
        }
    }

    private async Task TalkAsync(TcpClient client)
    {
        using var _ = client;
        try
        {
            await using var stream = client.GetStream();
            using var reader = new StreamReader(stream, Encoding.Latin1);
            await using var writer = new StreamWriter(stream, Encoding.Latin1) { AutoFlush = true, NewLine = "\r\n" };
            await writer.WriteLineAsync("220 inbox");
            var (from, to) = ("", new List<string>());
            while (await reader.ReadLineAsync(stop.Token) is { } line)
            {
                var word = line.Split(' ', ':')[0].ToUpperInvariant();
                var answer = "250 ok";
                if (word == "MAIL") (from, to) = (line, []);
                if (word == "RCPT")
                {
                    var address = line[(line.IndexOf('<', StringComparison.Ordinal) + 1)..line.IndexOf('>', StringComparison.Ordinal)];
                    answer = AnswerRecipient(address);
                    if (answer.StartsWith("250", StringComparison.Ordinal)) to.Add(address);
                }

                if (word == "DATA")
                {
                    await writer.WriteLineAsync("354 go on");
                    var text = new StringBuilder();
                    while (await reader.ReadLineAsync(stop.Token) is { } data && data != ".") text.Append(data.StartsWith("..", StringComparison.Ordinal) ? data[1..] : data).Append("\r\n");
                    Mails.Enqueue(new(from, [.. to], text.ToString()));
                }

                await writer.WriteLineAsync(word == "QUIT" ? "221 bye" : answer);
                if (word == "QUIT") return;
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // The sender, or the test, is gone.
        }
    }
}
