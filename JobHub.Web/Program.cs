using JobHub.ServiceDefaults;
using JobHub.Web;
using JobHub.Web.Client;
using JobHub.Web.Components;
using JobHub.Web.Live;
using JobHub.Web.SignIn;
using JobHub.Web.Transfers;
using Radzen;

try
{
    var builder = WebApplication.CreateBuilder(args);
    builder.AddServiceDefaults();
    var settings = builder.Configuration.GetSection("JobHub:Web").Get<WebSettings>() ?? new WebSettings();
    // A foreign page must not read the dashboard under a name of its own that resolves to this machine.
    if (builder.Configuration["AllowedHosts"] is null) builder.Configuration["AllowedHosts"] = string.Join(';', [.. "localhost;127.0.0.1;[::1]".Split(';'), .. settings.Address is { } own ? [own.Host] : Array.Empty<string>()]);
    builder.WebHost.ConfigureKestrel(static kestrel =>
    {
        kestrel.AddServerHeader = false;
        // The largest thing that is sent here is a form of a few fields.
        kestrel.Limits.MaxRequestBodySize = 64 * 1024;
    });
    builder.Services.AddRazorComponents().AddInteractiveServerComponents(static circuits =>
    {
        // A page whose connection broke is kept this long; after that it is loaded anew.
        circuits.DisconnectedCircuitRetentionPeriod = TimeSpan.FromMinutes(1);
        circuits.DisconnectedCircuitMaxRetained = 50;
    });
    builder.Services.AddCascadingAuthenticationState();
    builder.Services.AddRadzenComponents();
    builder.AddSignIn(settings);
    builder.Services.AddSingleton<IconSheet>();
    builder.Services.AddOptions<WebSettings>().BindConfiguration("JobHub:Web");
    builder.Services.AddHttpClient(HubHttp.Shared).ConfigurePrimaryHttpMessageHandler(Straight);
    builder.Services.AddScoped<Visitor>();
    builder.Services.AddScoped<HubHttp>();
    builder.Services.AddScoped<LiveStream>();
    builder.Services.AddScoped<HubSelf>();
    builder.Services.AddScoped<HubWebhooks>();
    builder.Services.AddScoped<HubSubmit>();
    builder.Services.AddScoped<HubJobs>();
    builder.Services.AddScoped<HubBulks>();
    builder.Services.AddScoped<HubTrees>();
    builder.Services.AddScoped<HubLogs>();
    builder.Services.AddScoped<HubData>();
    builder.Services.AddScoped<HubProjects>();
    builder.Services.AddScoped<HubOverview>();
    builder.Services.AddScoped<HubWorkers>();
    builder.Services.AddScoped<HubJobDetail>();
    builder.Services.AddHttpClient<HubAccounts>(Point).ConfigurePrimaryHttpMessageHandler(Straight);

    await using var app = builder.Build();
    app.SayKeys(settings);
    app.UseServiceDefaults();
    app.UseAddress(settings);
    app.UseMiddleware<PageHeaders>();
    // In development the dashboard shows whoever asks what its own token may read; a command that shares this machine's network may not ask.
    if (app.Environment.IsDevelopment())
    {
        app.Use(static (context, next) => PeerUser.IsTrusted(context)
            ? next(context)
            : new Problem(403, "local-user-required", "In development the dashboard is for whoever runs it, and for login users of this machine.").WriteAsync(context));
    }

    app.UseVisitorAddress(settings);
    app.UseOwnCircuits();
    app.UseAuthentication();
    app.UseAuthorization();
    app.UseAntiforgery();
    app.UseFreshForms();
    app.UseSessionEnd();
    app.MapGroup("").AllowAnonymous().MapHealth();
    app.MapStaticAssets().AllowAnonymous();
    app.MapSignIn(settings);
    app.MapJobsCsv();
    app.MapTransfers();
    // Our own headers say who may frame a page: nobody.
    app.MapRazorComponents<App>().AddInteractiveServerRenderMode(static mode => mode.ContentSecurityFrameAncestorsPolicy = null);
    await app.RunAsync();
    return 0;
}
catch (Exception fault) when (fault is WebStartException or InvalidOperationException { InnerException: FormatException })
{
    await Console.Error.WriteLineAsync($"JobHub.Web does not start: {fault.Message}");
    return 1;
}

static void Point(IServiceProvider services, HttpClient http)
{
    http.BaseAddress = HubHttp.AddressOf(services.GetRequiredService<IConfiguration>());
    http.Timeout = TimeSpan.FromSeconds(10);
}

static HttpMessageHandler Straight() => new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false };
