using System.Runtime.InteropServices;
using Microsoft.Extensions.Configuration;

namespace JobHub.AppHost.LocalHosting.Model;

/// <summary>Collects the parts of the system.</summary>
public interface IDistributedApplicationBuilder
{
    IConfiguration Configuration { get; }

    IResourceBuilder<T> AddResource<T>(T resource)
        where T : IResource;

    DistributedApplication Build();
}

/// <summary>The system, ready to run.</summary>
public sealed class DistributedApplication
{
    private readonly DistributedApplicationBuilder builder;

    private DistributedApplication(DistributedApplicationBuilder builder) => this.builder = builder;

    public static IDistributedApplicationBuilder CreateBuilder(string[] args) => new DistributedApplicationBuilder(args);

    /// <summary>Starts everything, stays until Ctrl-C, SIGTERM or the token, and stops everything in reverse order.</summary>
    /// <exception cref="HubStartException">It cannot run; what was started is stopped.</exception>
    public async Task RunAsync(CancellationToken cancellationToken = default)
    {
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var hurry = new CancellationTokenSource();
        long asked = 0;
        using var terminate = OnSignal(PosixSignal.SIGTERM);
        using var interrupt = OnSignal(PosixSignal.SIGINT);
        using var quit = OnSignal(PosixSignal.SIGQUIT);
        using var hangUp = OnSignal(PosixSignal.SIGHUP);
        // Whoever started us with a pipe (a test, a script) may be killed; the end of the pipe says so.
        if (builder.Configuration["JOBHUB_PARENT_PIPE"] == "stdin") new Thread(WatchParent) { IsBackground = true, Name = "parent pipe" }.Start();
        var folder = builder.Folder ?? throw new InvalidOperationException("UseDataFolder was not called.");
        await using var host = new LocalHost(builder.Resources, builder.Configuration, folder, builder.Quiet);
        await host.RunAsync(stopping.Token, hurry.Token);

        void WatchParent()
        {
            using var input = Console.OpenStandardInput();
            while (input.ReadByte() >= 0)
            {
                // Nobody writes; only the end counts.
            }
            try
            {
                stopping.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // The hub has stopped already.
            }
        }

        PosixSignalRegistration OnSignal(PosixSignal signal) => PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            // Asked again means: do not wait for anybody. One stop may reach us twice, through `dotnet run` and through our process group.
            var now = TimeProvider.System.GetTimestamp();
            var first = Interlocked.CompareExchange(ref asked, now, 0);
            if (first != 0 && TimeProvider.System.GetElapsedTime(first, now) > TimeSpan.FromSeconds(1)) hurry.Cancel();
            stopping.Cancel();
        });
    }

    internal sealed class DistributedApplicationBuilder(string[] args) : IDistributedApplicationBuilder
    {
        public IConfiguration Configuration { get; } = new ConfigurationBuilder().AddEnvironmentVariables().AddCommandLine(args).Build();

        public List<IResource> Resources { get; } = [];

        public HubFolder? Folder { get; set; }

        public bool Quiet { get; set; }

        public IResourceBuilder<T> AddResource<T>(T resource)
            where T : IResource
        {
            Resources.Add(resource);
            return new ResourceBuilder<T>(this, resource);
        }

        public DistributedApplication Build() => new(this);
    }
}

/// <summary>What Aspire has no call for.</summary>
internal static class DataFolderExtensions
{
    /// <summary>Everything that lasts stands in this folder. While a demo draws on the terminal, the parts print into its log file.</summary>
    public static IDistributedApplicationBuilder UseDataFolder(this IDistributedApplicationBuilder builder, HubFolder folder, HubArguments arguments)
    {
        var local = (DistributedApplication.DistributedApplicationBuilder)builder;
        local.Folder = folder;
        local.Quiet = arguments.Demo is not null;
        return builder;
    }
}
