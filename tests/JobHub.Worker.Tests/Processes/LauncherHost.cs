using Xunit;
using System.Text;
using JobHub.Worker.Executors.Processes;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Tests.Processes;

/// <summary>A launcher with a folder its programs may use.</summary>
public sealed class LauncherHost : IDisposable
{
    private readonly string root;
    private readonly ServiceProvider provider;

    private readonly bool ownsRoot;

    public LauncherHost(params IEnumerable<KeyValuePair<string, string?>> settings)
        : this(Path.Combine("/var/tmp", $"jobhub-test-{Guid.NewGuid():N}"), settings) => ownsRoot = true;

    public LauncherHost(string root, params IEnumerable<KeyValuePair<string, string?>> settings)
    {
        this.root = root;
        var services = new ServiceCollection().AddLogging().AddProgramLauncher(
            new ConfigurationBuilder().AddInMemoryCollection([new("JobHub:Worker:ScratchRoot", root), .. settings]).Build());
        provider = services.BuildServiceProvider();
        Scratch = provider.GetRequiredService<ScratchFolders>();
        Folder = Scratch.Create("work");
        Launcher = provider.GetRequiredService<IProgramLauncher>();
    }

    public IProgramLauncher Launcher { get; }
    public int? GuardPid => ((Launcher)Launcher).GuardPid;
    public ScratchFolders Scratch { get; }
    public string Folder { get; }

    public ProgramStart Shell(string script, Guid? token = null) => Program("/bin/sh", ["-c", script], token);

    public ProgramStart Program(string file, string[]? arguments = null, Guid? token = null) => new()
    {
        File = file, Arguments = arguments ?? [], Environment = new Dictionary<string, string> { ["PATH"] = "/usr/local/bin:/usr/bin:/bin" }, WorkingFolder = Folder,
        Token = token ?? Guid.NewGuid(), Sandbox = false,
    };

    /// <summary>Runs it to its end: exit, stdout, stderr.</summary>
    public async Task<(ProgramExit Exit, string Out, string Err)> RunAsync(ProgramStart start)
    {
        using var program = Launcher.Start(start);
        var output = Text(program.Stdout);
        var errors = program.Stderr is { } stderr ? Text(stderr) : Task.FromResult("");
        var exit = await program.Exit;
        await Launcher.EndAllAsync(start.Token, TimeSpan.FromSeconds(1), CancellationToken.None);
        return (exit, await output, await errors);
    }

    public static Task<string> Text(SafeFileHandle handle) => Task.Run(() =>
    {
        using var reader = new StreamReader(new FileStream(handle, FileAccess.Read, 1, isAsync: false), Encoding.UTF8);
        return reader.ReadToEnd();
    });

    /// <summary>One read of what the program printed.</summary>
    public static int Read(RunningProgram program, byte[] into)
    {
        using var stream = new FileStream(new SafeFileHandle(program.Stdout.DangerousGetHandle(), ownsHandle: false), FileAccess.Read, 0, isAsync: false);
        return stream.Read(into);
    }

    public static async Task EventuallyAsync(Func<bool> holds, string what)
    {
        for (var i = 0; i < 3000; i++)
        {
            if (holds()) return;
            await Task.Delay(10);
        }

        Assert.Fail($"Never happened: {what}");
    }

    public static bool Runs(int pid) => File.Exists($"/proc/{pid}/stat") && !File.ReadAllText($"/proc/{pid}/stat").Contains(") Z", StringComparison.Ordinal);

    public void Dispose()
    {
        provider.Dispose();
        if (!ownsRoot) return;
        Assert.Empty(Directory.GetFileSystemEntries(root));
        Directory.Delete(root);
    }
}
