using System.ComponentModel.DataAnnotations;
using JobHub.Engine;
using JobHub.Engine.Jobs;
using JobHub.Engine.Storage;
using Microsoft.Extensions.Options;
using Npgsql;
using Quartz;

namespace JobHub.Worker.Upkeep;

/// <summary>Section JobHub:Scheduler.</summary>
public sealed class SchedulerOptions
{
    /// <summary>When retention runs: a Quartz cron expression, UTC.</summary>
    [Required]
    public string Retention { get; init; } = "0 17 3 * * ?";
}

/// <summary>
/// The scheduler role: Quartz with its clustered Postgres store. Any number of workers may have it; each firing is done by one. Quartz makes its own tables (`qrtz_`),
/// so they always are what this version of it wants.
/// </summary>
public static class SchedulerRole
{
    public static IServiceCollection AddSchedulerRole(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddEngineDatabase(configuration);
        services.AddOptions<RetentionOptions>().BindConfiguration("JobHub:Retention").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<MachineOptions>().BindConfiguration(MachineOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<SchedulerOptions>().BindConfiguration("JobHub:Scheduler").ValidateDataAnnotations().ValidateOnStart();
        // Logs in the store can be removed only by a worker that was given the store. Settings beside a store's place are the Api's, in an environment that both share.
        var storage = configuration.GetSection(StorageOptions.Section);
        if (!string.IsNullOrEmpty(storage[nameof(StorageOptions.Root)]) || !string.IsNullOrEmpty(storage[nameof(StorageOptions.Endpoint)])) services.AddObjectStorage(configuration);
        services.AddSingleton(provider => new Retention(provider.GetRequiredService<NpgsqlDataSource>(), provider.GetRequiredService<IOptions<RetentionOptions>>(),
            provider.GetRequiredService<ILogger<Retention>>(), provider.GetService<StoreRegistry>()));
        services.AddQuartz(quartz =>
        {
            // Two schedulers of one cluster must never have one id, also when they share a host's name.
            quartz.ConfigureScheduler(options => options.InstanceId = $"{Environment.MachineName}-{Environment.ProcessId}-{Guid.NewGuid():N}");
            quartz.UseDefaultThreadPool(2);
            quartz.UsePersistentStore(store =>
            {
                store.UsePostgres(NpgsqlFactory.Instance, configuration.GetConnectionString("jobhub")!);
                store.UseClustering();
                store.ProvisionSchema();
            });
            var cron = configuration["JobHub:Scheduler:Retention"] ?? new SchedulerOptions().Retention;
            quartz.AddJob<RetentionJob>(job => job.WithIdentity("retention").StoreDurably());
            quartz.AddTrigger(trigger => trigger.ForJob("retention").WithIdentity("retention").WithCronSchedule(cron, c => c.InTimeZone(TimeZoneInfo.Utc)));
            var machines = configuration.GetSection(MachineOptions.Section).Get<MachineOptions>() ?? new();
            // Durable without a trigger where it is off: one that another scheduler set up before is taken away with its trigger.
            if (!machines.IsOn) return;
            quartz.AddJob<MachinesJob>(job => job.WithIdentity("machines").StoreDurably());
            quartz.AddTrigger(trigger => trigger.ForJob("machines").WithIdentity("machines").WithSimpleSchedule(s => s.WithInterval(machines.Every).RepeatForever()));
        });
        services.AddHostedService<SchedulerHost>();
        return services;
    }
}

/// <summary>Starts Quartz when the hub's schema is there (the Api makes it), however long that takes, and stops it with the host.</summary>
public sealed class SchedulerHost(ISchedulerFactory factory, NpgsqlDataSource db, TimeProvider clock, ILogger<SchedulerHost> logger) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        IScheduler? scheduler = null;
        var wait = new Agent.Backoff(TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(10));
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await using (var command = db.CreateCommand("select to_regclass('job') is not null"))
                {
                    if (await command.ExecuteScalarAsync(stoppingToken) is not true) throw new InvalidOperationException("the hub's schema is not there yet");
                }
                scheduler = await factory.GetScheduler(stoppingToken);
                await scheduler.Start(stoppingToken);
                logger.SchedulerRuns();
                break;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested) { break; }
            catch (Exception e)
            {
                logger.SchedulerWaits(e.Message);
                await Task.Delay(wait.Next(), clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        if (scheduler is null) return;
        await Task.Delay(Timeout.InfiniteTimeSpan, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // What it was doing is continued by the next run; the host's stop must not wait for it.
        await scheduler.Shutdown(false, CancellationToken.None);
    }
}

internal static partial class SchedulerLog
{
    [LoggerMessage(2310, LogLevel.Information, "The scheduler runs")]
    public static partial void SchedulerRuns(this ILogger logger);

    [LoggerMessage(2311, LogLevel.Warning, "The scheduler cannot start yet: {Reason}")]
    public static partial void SchedulerWaits(this ILogger logger, string reason);
}
