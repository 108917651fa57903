using JobHub.Api.Delivery;
using JobHub.Api.Features.Accounts;
using JobHub.Api.Features.Agents;
using JobHub.Api.Features.Commands;
using JobHub.Api.Features.Farm;
using JobHub.Api.Features.Hub;
using JobHub.Api.Features.MapReduce;
using JobHub.Api.Features.Projects;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine;
using JobHub.Engine.Artifacts;
using JobHub.Engine.MapReduce;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace JobHub.Api;

/// <summary>Composes the Api. The process and the tests start the same host.</summary>
public static class ApiHost
{
    /// <summary>The host, built and not started.</summary>
    /// <exception cref="StartRefusedException">The settings are not safe or not complete.</exception>
    public static WebApplication Build(string[] args)
    {
        // No watching of settings files: it watches the whole working folder, where every attempt makes and removes folders.
        var builder = WebApplication.CreateBuilder(["--hostBuilder:reloadConfigOnChange=false", .. args]);
        builder.AddServiceDefaults();
        AddHttp(builder);
        builder.Services.AddEngine(builder.Configuration).AddHostedService<SchemaAtStart>();
        builder.Services.AddEngineUpkeep();
        builder.Services.AddDelivery(builder.Configuration);
        AddFamilies(builder.Services);

        var app = builder.Build();
        app.Services.GetRequiredService<DevelopmentRule>().CheckConfigured(app.Configuration);
        app.Services.GetRequiredService<FormWorkerRule>().CheckConfigured(app.Configuration);
        app.UseServiceDefaults();
        app.UseMiddleware<EngineFaultMiddleware>();
        app.UseApiDescriptionPage();
        app.UseRouting();
        app.UseMiddleware<AccessMiddleware>();
        app.UseMiddleware<AuditMiddleware>();
        app.UseMiddleware<ProjectGate>();
        app.MapHealth();
        app.MapApiDescription();
        app.MapMapReduce();
        app.MapCommands();
        app.MapFarm();
        app.MapProjects();
        app.MapHub();
        app.MapAccounts();
        app.MapAgents();
        RoutePolicies.Check(((IEndpointRouteBuilder)app).DataSources);
        return app;
    }

    private static void AddFamilies(IServiceCollection services)
    {
        services.AddOptions<ArtifactOptions>().BindConfiguration("JobHub:Artifacts").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<MapReduceSubmitter>();
        services.AddSingleton<CommandPlanner>().AddSingleton<Features.Projects.AnalysisPlanner>();
        services.AddFarm();
        services.AddHealthChecks().AddCheck<DatabaseCheck>("database", timeout: TimeSpan.FromSeconds(5));
    }

    private static void AddHttp(WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddOptions<AuthOptions>().BindConfiguration("JobHub:Auth").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<WebOptions>().BindConfiguration("JobHub:Web").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<BearerTokens>().AddSingleton<CallerReader>().AddSingleton<ProjectAccess>().AddSingleton<Features.Hub.HubJobQuery>().AddSingleton<Features.Hub.OverviewNow>();
        services.AddOptions<SignInOptions>().BindConfiguration("JobHub:Auth:SignIn").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<ProvidersOptions>().BindConfiguration("JobHub:Auth").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<SignInLimit>().AddSingleton<ProviderTokens>();
        services.AddOptions<FormWorkerOptions>().BindConfiguration("JobHub:Farm").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<DevelopmentRule>().AddSingleton<FormWorkerRule>();
        services.AddApiDescription();
        services.AddOptions<KestrelServerOptions>().Configure<DevelopmentRule>(static (kestrel, rule) =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = JsonBody.DefaultLimit;
            kestrel.ConfigureEndpointDefaults(rule.CheckListener);
        });
        // A stream that follows a job ends with the host; what else still runs gets this long.
        services.Configure<HostOptions>(static options => options.ShutdownTimeout = TimeSpan.FromSeconds(10));
    }
}
