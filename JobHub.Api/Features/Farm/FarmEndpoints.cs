using JobHub.Api.Http;
using JobHub.Engine.Trees;

namespace JobHub.Api.Features.Farm;

/// <summary>/api/jobs and its companions: trees of commands, as render farms know them.</summary>
public static class FarmEndpoints
{
    public static void AddFarm(this IServiceCollection services)
    {
        services.AddOptions<FarmOptions>().BindConfiguration("JobHub:Farm").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<DiscoveryOptions>().BindConfiguration("JobHub:Farm").ValidateDataAnnotations().ValidateOnStart();
        services.AddHostedService<Discovery>();
        services.AddSingleton<CommandRules>().AddSingleton<FarmAccess>().AddSingleton<TreeLog>();
    }

    public static void MapFarm(this IEndpointRouteBuilder routes)
    {
        ArgumentNullException.ThrowIfNull(routes);
        // An expression that cannot be used is said at the start and not to the first caller.
        routes.ServiceProvider.GetRequiredService<CommandRules>();
        var farm = routes.MapGroup("").WithGroupName("farm");
        farm.MapFarmJobs();
        farm.MapFarmCommandLine();
        farm.MapFormWorkers();
        farm.MapWorkers();
        farm.MapAffinities();
        farm.MapEvents();
    }

    /// <summary>What a call on a tree came to, in HTTP: done is what <paramref name="done"/> says, or the bare number 1.</summary>
    public static IResult Answer(this TreeResult result, Func<TreeResult.Done, IResult>? done = null) => result switch
    {
        TreeResult.Done made => done is null ? One() : done(made),
        TreeResult.NotFound unknown => Problems.NotFound(unknown.Code, unknown.Message),
        TreeResult.Conflict conflict => Problems.Conflict(conflict.Code, conflict.Message),
        TreeResult.KeyReused => Problems.KeyReused(),
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    /// <summary>What every write answers.</summary>
    public static IResult One() => TypedResults.Ok(1);
}
