using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Worker.Agent;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime;
using JobHub.Worker.Runtime.Leaves;
using JobHub.Worker.Runtime.Sockets;
using JobHub.Worker.Runtime.Streaming;
using Microsoft.Extensions.Options;

namespace JobHub.Worker;

/// <summary>The parts of a worker, as both verbs use them.</summary>
public static class WorkerServices
{
    /// <summary>Options, hub access, launcher and runner.</summary>
    public static IServiceCollection AddAttempts(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<WorkerOptions>().BindConfiguration("JobHub:Worker").ValidateDataAnnotations().ValidateOnStart()
            .PostConfigure(o => o.CommandNetwork = o.HasCommandNetwork(configuration["services:api:http:0"]));
        services.AddProgramLauncher(configuration);
        services.AddSingleton<HubAddress>(provider => new HubAddress(configuration, provider.GetRequiredService<IOptions<WorkerOptions>>()));
        services.AddSingleton<WorkerToken>(provider => new WorkerToken(provider.GetRequiredService<IOptions<WorkerOptions>>()));
        services.AddSingleton<AgentClient>();
        services.AddSingleton(provider => provider.GetRequiredService<IOptions<WorkerOptions>>().Value is var o ? new ProgramCache(o.ProgramPath, o.ProgramCacheBytes) : null!);
        services.AddOptions<LeafOptions>().BindConfiguration(LeafOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<LeafCommands>();
        services.AddSingleton(provider => Bodies(provider.GetRequiredService<LeafCommands>()));
        services.AddSingleton(provider => provider.GetRequiredService<Launcher>().PlanRoots(OwnPaths(provider.GetRequiredService<IOptions<WorkerOptions>>().Value)));
        services.AddSingleton(provider => new GpuPool(provider.GetRequiredService<IOptions<WorkerOptions>>().Value.OfferedGpus));
        services.AddSingleton<AttemptRunner>();
        return services;
    }

    /// <summary>Claims and runs; nothing when the worker has no slots.</summary>
    public static IServiceCollection AddAgentRole(this IServiceCollection services)
    {
        services.AddSingleton(provider => new Outbox(provider.GetRequiredService<AgentClient>(), provider.GetRequiredService<IOptions<WorkerOptions>>().Value.OutboxPath,
            provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<Outbox>>()));
        services.AddSingleton<AgentLoop>();
        services.AddHostedService(provider => provider.GetRequiredService<AgentLoop>());
        return services;
    }

    /// <summary>What is the worker's own and must not be seen, should it lie in a folder that is shown.</summary>
    private static IEnumerable<string> OwnPaths(WorkerOptions options) =>
        new[] { options.DataFolder, options.ProgramPath, options.TokenFile, AppContext.BaseDirectory }.OfType<string>().Select(Path.GetFullPath);

    private static AttemptBodies Bodies(LeafCommands leaves)
    {
        var bodies = new AttemptBodies();
        bodies.Add(TaskKind.Command, ProgramType.Streaming, () => new CommandBody(leaves));
        bodies.Add(TaskKind.Map, ProgramType.Streaming, () => new StreamingMapBody());
        bodies.Add(TaskKind.Reduce, ProgramType.Streaming, () => new StreamingReduceBody());
        bodies.Add(TaskKind.Map, ProgramType.Executable, () => new SocketMapBody());
        bodies.Add(TaskKind.Reduce, ProgramType.Executable, () => new SocketReduceBody());
        bodies.Add(TaskKind.Analysis, ProgramType.Streaming, () => new AnalysisBody());
        return bodies;
    }
}
