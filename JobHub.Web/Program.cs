using JobHub.ServiceDefaults;
using JobHub.Web;
using JobHub.Web.Client;
using JobHub.Web.Components;
using Microsoft.AspNetCore.DataProtection;

var builder = WebApplication.CreateBuilder(args);
builder.AddServiceDefaults();
// A foreign page must not read the dashboard under a name of its own that resolves to this machine.
if (builder.Configuration["AllowedHosts"] is null) builder.Configuration["AllowedHosts"] = "localhost;127.0.0.1;[::1]";
builder.WebHost.ConfigureKestrel(static kestrel => kestrel.AddServerHeader = false);
builder.Services.AddRazorComponents();
// There is nothing to protect yet, no cookie and no form; a key ring on disk would be one more secret to keep.
builder.Services.AddDataProtection().UseEphemeralDataProtectionProvider();
builder.Services.AddSingleton<IconSheet>();
builder.Services.AddOptions<WebSettings>().BindConfiguration("JobHub:Web");
builder.Services.AddHttpClient<HubClient>((services, http) =>
{
    var api = services.GetRequiredService<IConfiguration>()["services:api:http:0"] ?? "http://127.0.0.1:4750";
    http.BaseAddress = new Uri(api);
    http.Timeout = TimeSpan.FromSeconds(10);
}).ConfigurePrimaryHttpMessageHandler(static () => new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false });

var app = builder.Build();
app.UseServiceDefaults();
app.UseMiddleware<PageHeaders>();
// In development the dashboard shows whoever asks what its own token may read; a command that shares this machine's network may not ask.
if (app.Environment.IsDevelopment())
{
    app.Use(static (context, next) => PeerUser.IsTrusted(context)
        ? next(context)
        : new Problem(403, "local-user-required", "In development the dashboard is for whoever runs it, and for login users of this machine.").WriteAsync(context));
}

app.UseAntiforgery();
app.MapHealth();
app.MapStaticAssets();
app.MapRazorComponents<App>();
await app.RunAsync();
