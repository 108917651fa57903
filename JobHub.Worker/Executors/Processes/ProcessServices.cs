using Microsoft.Extensions.DependencyInjection.Extensions;

namespace JobHub.Worker.Executors.Processes;

public static class ProcessServices
{
    /// <summary>Adds <see cref="IProgramLauncher"/> and <see cref="ScratchFolders"/> with the settings of <c>JobHub:Worker</c>.</summary>
    public static IServiceCollection AddProgramLauncher(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<ProcessOptions>().Bind(configuration.GetSection(ProcessOptions.Section)).ValidateDataAnnotations().ValidateOnStart();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<ScratchFolders>();
        services.TryAddSingleton<Launcher>();
        services.TryAddSingleton<IProgramLauncher>(provider => provider.GetRequiredService<Launcher>());
        return services;
    }
}
