using JobHub.ServiceDefaults;
using JobHub.Worker;
using JobHub.Worker.Agent;
using JobHub.Worker.Upkeep;

// worker [serve]                   claim and run, schedule
// worker run-attempt FILE          run exactly the attempt whose order is in FILE ("-": stdin), report, exit
if (args is ["run-attempt", var file, .. var rest]) return await RunAttempt.RunAsync(file, rest);

// No watching of settings files: it watches the whole working folder, where every attempt makes and removes folders.
var builder = WebApplication.CreateBuilder(["--hostBuilder:reloadConfigOnChange=false", .. args is ["serve", .. var left] ? left : args]);
builder.AddServiceDefaults();
var options = builder.Configuration.GetSection("JobHub:Worker").Get<WorkerOptions>() ?? new WorkerOptions();
var agent = options.Has("agent") && options.SlotCount > 0;
if (agent)
{
    builder.Services.AddAttempts(builder.Configuration).AddAgentRole();
    // A pool thread blocks in read() or wait() for each running program; growing the pool by demand takes half a second a thread.
    ThreadPool.GetMinThreads(out _, out var io);
    ThreadPool.SetMinThreads(Environment.ProcessorCount + (4 * options.SlotCount) + 8, io);
}
if (options.Has("scheduler") && builder.Configuration.GetConnectionString("jobhub") is not null) builder.Services.AddSchedulerRole(builder.Configuration);
// Programs get their grace, results are sent, the session is ended: all within 10 s.
builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(10));

var app = builder.Build();
app.UseServiceDefaults();
app.MapHealth();
await app.RunAsync();
return 0;
