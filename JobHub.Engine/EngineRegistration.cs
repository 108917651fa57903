using JobHub.Engine.Postgres;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Npgsql;

namespace JobHub.Engine;

/// <summary>What a process needs to use the engine.</summary>
public static class EngineRegistration
{
    /// <summary>Data source and model over ConnectionStrings:jobhub.</summary>
    public static IServiceCollection AddEngineDatabase(this IServiceCollection services, IConfiguration configuration)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(_ =>
        {
            var text = configuration.GetConnectionString("jobhub")
                ?? throw new InvalidOperationException("ConnectionStrings:jobhub is not set: the address of the hub's Postgres database.");
            // No statement lasts over a second on the hot path; the limit is for a database in trouble.
            var builder = new NpgsqlDataSourceBuilder(new NpgsqlConnectionStringBuilder(text)
            {
                MaxAutoPrepare = 60, AutoPrepareMinUsages = 2, NoResetOnClose = true, ApplicationName = "jobhub",
            }.ConnectionString);
            builder.Name = "jobhub";
            return builder.Build();
        });
        services.AddDbContextFactory<JobHubDbContext>((provider, options) => options
            .UseNpgsql(provider.GetRequiredService<NpgsqlDataSource>())
            // The SQL files are the schema; a drift test compares them with the model.
            .ConfigureWarnings(w => w.Ignore(RelationalEventId.PendingModelChangesWarning)));
        return services;
    }
}
