using JobHub.Engine.Jobs;
using Quartz;

namespace JobHub.Worker.Upkeep;

/// <summary>Quartz decides when, the engine what.</summary>
[DisallowConcurrentExecution]
public sealed class RetentionJob(Retention retention) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => await retention.ApplyAsync(cancellationToken);
}
