using System.CommandLine;

namespace JobHub.AppHost;

/// <summary>What the command line asks for.</summary>
internal sealed record HubArguments
{
    public const int DefaultApiPort = 4750;
    public const int DefaultWebPort = 4751;

    public required string Data { get; init; }
    public required int ApiPort { get; init; }
    public required int WebPort { get; init; }
    /// <summary>Programs the local agent runs at once; 0 = no local agent.</summary>
    public required int Slots { get; init; }
    public required bool Web { get; init; }
    /// <summary>The same API on further ports, for clients of the systems it stands in for.</summary>
    public required IReadOnlyList<int> AlsoListen { get; init; }
    /// <summary>Address of the broker that is told about jobs; null = what ConnectionStrings:rabbitmq says. A secret: a password may stand in it.</summary>
    public string? RabbitMq { get; init; }
    /// <summary>Null = no demo.</summary>
    public DemoArguments? Demo { get; init; }

    /// <summary>Reads the command line. The second value is the exit code when there is nothing to run: help (0) or wrong arguments (2).</summary>
    public static (HubArguments? Arguments, int ExitCode) Read(IReadOnlyList<string> args, TextWriter output, TextWriter error)
    {
        var data = new Option<string>("--data") { Description = "Folder that holds everything: database, store, tokens", DefaultValueFactory = _ => ".jobhub", Recursive = true, HelpName = "DIR" };
        var apiPort = Port("--api-port", DefaultApiPort, "Port of the API");
        var webPort = Port("--web-port", DefaultWebPort, "Port of the dashboard");
        var slots = new Option<int>("--slots") { Description = "Programs that run at once on this machine; 0 = no local worker", DefaultValueFactory = _ => Environment.ProcessorCount, Recursive = true, HelpName = "N" };
        slots.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, out var n) && n is < 0 or > 1024) result.AddError("--slots must be 0 to 1024.");
        });
        var noWeb = new Option<bool>("--no-web") { Description = "Without the dashboard", Recursive = true };
        var alsoListen = new Option<string>("--also-listen") { Description = "Further ports for the same API, with commas between", Recursive = true, HelpName = "PORT,..." };
        var rabbit = new Option<string>("--rabbitmq") { Description = "Broker that gets a message about each ended job: amqp://user:password@host:port. Or set ConnectionStrings__rabbitmq", Recursive = true, HelpName = "URL" };
        var inputs = new Argument<string[]>("input") { Description = "Files or folders of text; default: the text of this repository", Arity = ArgumentArity.ZeroOrMore, HelpName = "FILE|FOLDER" };
        var once = new Option<bool>("--once") { Description = "Stop everything when the demo ends; exit code 0 only when its result is right" };
        var demo = new Command("demo", "Start the hub and count the words of a text with it") { inputs, once };
        demo.SetAction(_ => 0);
        var root = new RootCommand("Starts JobHub: Postgres, API, worker and dashboard, all on 127.0.0.1") { data, apiPort, webPort, slots, noWeb, alsoListen, rabbit, demo };
        root.SetAction(_ => 0);

        var parsed = root.Parse(args);
        if (parsed.Errors.Count > 0) return Wrong(parsed.Errors[0].Message);
        // Help and version bring an action of their own.
        if (parsed.Action != parsed.CommandResult.Command.Action)
            return (null, parsed.Invoke(new InvocationConfiguration { Output = output, Error = error }));

        var further = new List<int>();
        foreach (var text in (parsed.GetValue(alsoListen) ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (!int.TryParse(text, out var port) || port is < 1 or > 65535) return Wrong($"--also-listen: '{text}' is not a port (1 to 65535).");
            further.Add(port);
        }
        var broker = parsed.GetValue(rabbit);
        // Its text is not repeated: a password may stand in it.
        if (broker is not null && BrokerAddress.Of(broker) is null) return Wrong("--rabbitmq is not an address of a broker (amqp://user:password@host:port).");
        var isDemo = parsed.CommandResult.Command == demo;
        var arguments = new HubArguments
        {
            Data = Path.GetFullPath(parsed.GetValue(data)!), ApiPort = parsed.GetValue(apiPort), WebPort = parsed.GetValue(webPort),
            Slots = parsed.GetValue(slots), Web = !parsed.GetValue(noWeb), AlsoListen = further, RabbitMq = broker,
            Demo = isDemo ? new DemoArguments(parsed.GetValue(inputs) ?? [], parsed.GetValue(once)) : null,
        };
        var ports = further.Prepend(arguments.ApiPort).ToList();
        if (arguments.Web) ports.Add(arguments.WebPort);
        if (ports.GroupBy(p => p).FirstOrDefault(g => g.Count() > 1) is { } twice) return Wrong($"Port {twice.Key} is given twice.");
        if (arguments.Demo?.Inputs.FirstOrDefault(i => !File.Exists(i) && !Directory.Exists(i)) is { } missing) return Wrong($"There is no file or folder {missing}.");
        if (isDemo && arguments.Slots == 0) return Wrong("The demo needs at least one slot.");
        return (arguments, 0);

        (HubArguments?, int) Wrong(string message)
        {
            error.WriteLine($"{message} See --help.");
            return (null, 2);
        }
    }

    private static Option<int> Port(string name, int value, string description)
    {
        var option = new Option<int>(name) { Description = description, DefaultValueFactory = _ => value, Recursive = true, HelpName = "PORT" };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, out var port) && port is < 1 or > 65535)
                result.AddError($"{name} must be 1 to 65535.");
        });
        return option;
    }
}

/// <summary>What the demo counts, and whether the hub stops after it.</summary>
internal sealed record DemoArguments(IReadOnlyList<string> Inputs, bool Once);

/// <summary>The part of a broker's address that may be shown.</summary>
internal static class BrokerAddress
{
    /// <summary>host:port, or null when it is no address of a broker.</summary>
    public static string? Of(string? text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri is { Scheme: "amqp" or "amqps", Host.Length: > 0 }
            ? $"{uri.Host}:{(uri.Port > 0 ? uri.Port : uri.Scheme == "amqps" ? 5671 : 5672)}"
            : null;
}
