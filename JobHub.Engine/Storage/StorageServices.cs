using JobHub.Engine.MapReduce;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace JobHub.Engine.Storage;

/// <summary>Object storage in a host.</summary>
public static class StorageServices
{
    /// <summary>Adds <see cref="StoreRegistry"/> and <see cref="InputPlanner"/>; refuses wrong <c>JobHub:Storage</c> at start.</summary>
    public static IServiceCollection AddObjectStorage(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<StorageOptions>().Bind(configuration.GetSection(StorageOptions.Section)).ValidateDataAnnotations().ValidateOnStart();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(provider => new StoreRegistry(
            provider.GetRequiredService<IOptions<StorageOptions>>().Value,
            provider.GetRequiredService<TimeProvider>(),
            allowAnyFile: provider.GetService<IHostEnvironment>()?.IsDevelopment() == true));
        services.TryAddSingleton<InputPlanner>();
        return services;
    }
}
