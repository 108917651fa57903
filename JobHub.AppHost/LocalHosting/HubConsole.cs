namespace JobHub.AppHost.LocalHosting;

/// <summary>One terminal for all processes: each line says whose it is.</summary>
internal sealed class HubConsole : IDisposable
{
    private const int NameWidth = 8;
    private static readonly string[] Colours = ["36", "32", "35", "34", "33"];

    private readonly Lock gate = new();
    private readonly Dictionary<string, string> colourOf = [];
    private readonly bool coloured = !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or ""
        && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");
    private readonly StreamWriter? log;

    /// <param name="logFile">Lines of the parts go into this file instead of to the terminal; null = to the terminal.</param>
    public HubConsole(string? logFile)
    {
        if (logFile is null) return;
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write, Share = FileShare.Read, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
        log = new StreamWriter(logFile, options) { AutoFlush = true };
    }

    /// <summary>A line a part printed.</summary>
    public void Part(string name, string text)
    {
        lock (gate)
        {
            if (log is not null) log.WriteLine($"{name,-NameWidth} | {text}");
            else Console.Out.WriteLine($"{Prefix(name)}{(coloured ? text : WithoutEscapes(text))}");
        }
    }

    /// <summary>A line of the AppHost's own.</summary>
    public void Say(string text)
    {
        lock (gate)
        {
            log?.WriteLine($"{"hub",-NameWidth} | {text}");
            if (log is null) Console.Out.WriteLine($"{Prefix("hub")}{text}");
        }
    }

    /// <summary>A line without a prefix, for people and for scripts that wait for it.</summary>
    public void Headline(string text)
    {
        lock (gate) Console.Out.WriteLine(text);
    }

    public void Dispose()
    {
        lock (gate) log?.Dispose();
    }

    private string Prefix(string name)
    {
        if (!coloured) return $"{name,-NameWidth} | ";
        if (!colourOf.TryGetValue(name, out var colour)) colourOf[name] = colour = Colours[colourOf.Count % Colours.Length];
        return $"\e[{colour}m{name,-NameWidth} |\e[0m ";
    }

    private static string WithoutEscapes(string text) => text.Contains('\e') ? text.Replace("\e", "␛") : text;
}
