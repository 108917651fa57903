using JobHub.Engine.Attempts;
using JobHub.Engine.Events;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Postgres;
using JobHub.Engine.Secrets;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using JobHub.Engine.Workers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
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
            // Every statement is written for one plan, by keys and bounded lists; planning it anew costs as much as running it.
            builder.ConnectionStringBuilder.Options = $"{builder.ConnectionStringBuilder.Options} -c plan_cache_mode=force_generic_plan".Trim();
            builder.Name = "jobhub";
            return builder.Build();
        });
        services.AddDbContextFactory<JobHubDbContext>((provider, options) => options
            .UseNpgsql(provider.GetRequiredService<NpgsqlDataSource>())
            // The SQL files are the schema; a drift test compares them with the model.
            .ConfigureWarnings(w => w.Ignore(RelationalEventId.PendingModelChangesWarning)
                // A failed statement is thrown to its caller. Logged here as well, it made the first start of every hub print an error: EF asks a new database for its migrations.
                .Log((RelationalEventId.CommandError, LogLevel.Debug))));
        return services;
    }

    /// <summary>The whole engine without its upkeep loop: what the Api answers from.</summary>
    public static IServiceCollection AddEngine(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddEngineDatabase(configuration).AddObjectStorage(configuration).AddSecretBox(configuration).AddMetrics();
        services.AddOptions<LeaseOptions>().BindConfiguration("JobHub:Lease").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<BulkOptions>().BindConfiguration("JobHub:Bulk").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<RetryOptions>().BindConfiguration("JobHub:Retry").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<Wakeups>().AddSingleton<EngineMeter>().AddSingleton<RequirementClasses>();
        services.AddSingleton<Accounts.ProjectRights>().AddSingleton<Accounts.JobProjects>().AddSingleton<Accounts.AccountStore>().AddSingleton<Accounts.TokenStore>();
        services.AddSingleton<Accounts.Passwords>().AddSingleton<Accounts.SignIns>().AddSingleton<Auditing.AuditLog>();
        services.AddSingleton<Accounts.TokenUse>().AddHostedService(static provider => provider.GetRequiredService<Accounts.TokenUse>());
        services.AddSingleton<Projects.ProjectStore>().AddSingleton<Projects.DatasetStore>().AddSingleton<Projects.DatasetSnapshot>().AddSingleton<Projects.DatasetUploads>();
        services.AddOptions<Projects.TypingOptions>().BindConfiguration("JobHub:Projects").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<JobService>().AddSingleton<JobReader>().AddSingleton<JobSearch>().AddSingleton<Explain>().AddSingleton<JobChanges>().AddSingleton<JobRemoval>().AddSingleton<JobContexts>().AddSingleton<JobObjects>().AddSingleton<EventReader>().AddSingleton<LogReader>().AddSingleton<JobLogs>().AddSingleton<JobLogFollow>();
        services.AddSingleton<BulkStore>().AddSingleton<JobIds>();
        services.AddOptions<Files.FileSpaceOptions>().BindConfiguration("JobHub:Files").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<Files.FileSpace>().AddSingleton<Files.FileStaging>().AddSingleton<Files.AttemptFiles>();
        services.AddSingleton<Trees.JobTrees>().AddSingleton<Trees.TreeReader>().AddSingleton<Trees.TreeChanges>();
        services.AddSingleton<TaskVectors>().AddSingleton<Timelines>().AddSingleton<TaskSums>().AddSingleton<JobGraphs>().AddSingleton<JobInputs>().AddSingleton<JobRepeats>();
        services.AddSingleton<Projects.AnalysisJobs>().AddSingleton<Projects.AnalysisStore>();
        services.AddSingleton<TaskQueue>().AddSingleton<Claims>().AddSingleton<AttemptSpecs>().AddSingleton<WorkerSessions>();
        services.AddSingleton<AffinitySlots>().AddSingleton<WorkerDirectory>().AddSingleton<FormLogs>().AddSingleton<FormWorkers>().AddSingleton<RunReader>();
        services.AddSingleton<HubHealth>().AddSingleton<Artifacts.ArtifactHistory>().AddSingleton<Projects.ProjectOverview>().AddSingleton<Jobs.JobNames>();
        services.AddSingleton<WorkerReader>().AddSingleton<Statistics.StatisticReader>().AddSingleton<Statistics.LedgerStatistics>().AddSingleton<Statistics.QueueStatistics>();
        services.AddSingleton<Artifacts.ArtifactStore>().AddSingleton<Completions>().AddSingleton<OutputCommits>().AddSingleton<AttemptEndings>().AddSingleton<FencedAttempts>();
        return services;
    }

    /// <summary>The upkeep loop and the wake-ups between Apis; every Api runs them.</summary>
    public static IServiceCollection AddEngineUpkeep(this IServiceCollection services)
    {
        services.AddSingleton<LedgerFolder>().AddSingleton<JobSteps>().AddSingleton<Sweeper>().AddSingleton<Cleaner>().AddSingleton<Speculation>().AddSingleton<JobChangeSteps>().AddSingleton<BulkRunner>().AddSingleton<JobUpkeep>().AddSingleton<Projects.ProjectRemoval>();
        services.AddHostedService<WakeupRelay>().AddHostedService<UpkeepLoop>();
        return services;
    }
}
