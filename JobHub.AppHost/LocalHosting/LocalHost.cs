using System.Diagnostics;
using JobHub.AppHost.LocalHosting.Model;
using Microsoft.Extensions.Configuration;

namespace JobHub.AppHost.LocalHosting;

/// <summary>Runs the described system as processes of this machine.</summary>
internal sealed class LocalHost : IAsyncDisposable
{
    private static readonly TimeSpan HealthLimit = TimeSpan.FromSeconds(120);

    private readonly IReadOnlyList<IResource> resources;
    private readonly IConfiguration configuration;
    private readonly HubFolder folder;
    private readonly bool quiet;
    private readonly HubConsole console;
    private readonly RunRecords records;
    private readonly ProjectPrograms programs = new();
    private readonly List<Supervisor> started = [];
    private readonly Dictionary<PostgresServerResource, PostgresCluster> clusters = [];
    private readonly HttpClient http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(5) };
    private FileStream? folderLock;

    public LocalHost(IReadOnlyList<IResource> resources, IConfiguration configuration, HubFolder folder, bool quiet)
    {
        this.resources = resources;
        this.configuration = configuration;
        this.folder = folder;
        this.quiet = quiet;
        records = new RunRecords(folder.Run);
        // The lock comes first: the log file may belong to a hub that runs.
        folderLock = LockFolder();
        console = new HubConsole(quiet ? folder.Log : null);
    }

    /// <summary>Returns when everything has stopped.</summary>
    public async Task RunAsync(CancellationToken stopping, CancellationToken hurry)
    {
        try
        {
            using var self = Process.GetCurrentProcess();
            records.Write("apphost", ProcessIdentity.Of(self.Id)!, null);
            await records.EndLeftoversAsync([.. resources.OfType<ProjectResource>().Select(p => p.Name), "web"], console.Say, stopping);
            CheckPorts();
            foreach (var server in resources.OfType<PostgresServerResource>()) await StartPostgresAsync(server, stopping);
            await StartProjectsAsync(stopping);
            console.Headline(ReadyLine());
            await Task.Delay(Timeout.Infinite, stopping);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            console.Say("stopping");
        }
        finally
        {
            await StopAsync(hurry);
        }
    }

    public ValueTask DisposeAsync()
    {
        foreach (var cluster in clusters.Values) cluster.Dispose();
        http.Dispose();
        console.Dispose();
        folderLock?.Dispose();
        folderLock = null;
        return ValueTask.CompletedTask;
    }

    private FileStream LockFolder()
    {
        try
        {
            return new FileStream(Path.Combine(folder.Root, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            var holder = records.Find("apphost") is { } record ? $" (process {record.Pid})" : "";
            throw new HubStartException($"Another JobHub{holder} runs on {folder.Root}. Stop it, or choose another folder with --data.");
        }
    }

    private void CheckPorts()
    {
        foreach (var project in resources.OfType<ProjectResource>())
            foreach (var endpoint in project.Endpoints.Where(e => e.IsFixed && !LoopbackPort.IsFree(e.Port)))
                throw new HubStartException($"Port {endpoint.Port} for {project.Name} is taken by another program. Choose another port (see --help).");
    }

    private async Task StartPostgresAsync(PostgresServerResource server, CancellationToken stopping)
    {
        // Connection strings from outside: there is no server for us to run.
        if (server.Databases.TrueForAll(d => configuration.GetConnectionString(d.Name) is { Length: > 0 })) return;
        var given = server.Password is { } parameter ? configuration[$"Parameters:{parameter.Name}"] : null;
        var (password, isNew) = given is { Length: > 0 } ? (given, true) : HubFolder.ReadOrMake(folder.PostgresPassword);
        var home = await PostgresHome.ResolveAsync(folder.Root, stopping);
        var cluster = await PostgresCluster.StartAsync(
            new PostgresClusterOptions
            {
                Home = home, Password = password, PasswordIsNew = isNew, Port = server.Port, Database = server.Databases[0].DatabaseName,
                Line = line => console.Part(server.Name, line), Say = console.Say,
            },
            stopping);
        clusters[server] = cluster;
        // Postgres is running already; the first start of its supervisor only takes it over.
        var first = cluster.TakeProcess();
        var supervisor = new Supervisor(
            server.Name, $"127.0.0.1:{cluster.Port}", Unix.Interrupt,
            async cancellationToken =>
            {
                if (Interlocked.Exchange(ref first, null) is { } running) return running;
                await cluster.StartServerAsync(cancellationToken);
                return cluster.TakeProcess();
            },
            console, records);
        started.Add(supervisor);
        await supervisor.StartAsync(stopping);
    }

    private async Task StartProjectsAsync(CancellationToken stopping)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var healthy = new Dictionary<IResource, Task>();
        foreach (var project in resources.OfType<ProjectResource>())
        {
            // Only what stands before it in the description can be waited for, so there is no circle.
            var before = project.WaitsFor.Select(r => healthy.GetValueOrDefault(r, Task.CompletedTask)).ToArray();
            healthy[project] = StartProjectAsync(project, before, failed);
        }
        try
        {
            await Task.WhenAll(healthy.Values);
        }
        catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
        {
            // The one that failed says why; the others were only called off.
            throw healthy.Values.Select(t => t.Exception?.InnerException).OfType<HubStartException>().First();
        }
    }

    private async Task StartProjectAsync(ProjectResource project, Task[] before, CancellationTokenSource failed)
    {
        await Task.WhenAll(before);
        try
        {
            var plan = programs.PlanOf(project, EnvironmentOf(project));
            var supervisor = new Supervisor(
                project.Name, project.Endpoints.FirstOrDefault()?.Address, Unix.Terminate,
                _ => Task.FromResult(HostedProcess.Start(plan, line => console.Part(project.Name, line))), console, records);
            lock (started) started.Add(supervisor);
            await supervisor.StartAsync(failed.Token);
            await WaitHealthyAsync(project, supervisor, failed.Token);
        }
        catch (HubStartException)
        {
            await failed.CancelAsync();
            throw;
        }
    }

    private Dictionary<string, string?> EnvironmentOf(ProjectResource project)
    {
        var environment = new Dictionary<string, string?>
        {
            ["ASPNETCORE_URLS"] = project.Endpoints.Count > 0 ? string.Join(';', project.Endpoints.Select(e => e.Address)) : null,
            ["ASPNETCORE_HTTP_PORTS"] = null,
            ["OTEL_SERVICE_NAME"] = $"jobhub-{project.Name}",
            // A child reads its standard input; the end of it means that we are gone, however we went.
            ["JOBHUB_PARENT_PIPE"] = "stdin",
        };
        var quieter = new Dictionary<string, string>
        {
            ["Logging__Console__FormatterName"] = "simple",
            ["Logging__Console__FormatterOptions__SingleLine"] = "true",
            ["Logging__LogLevel__Default"] = "Information",
            ["Logging__LogLevel__Microsoft.AspNetCore"] = "Warning",
            ["Logging__LogLevel__Microsoft.EntityFrameworkCore"] = "Warning",
            ["Logging__LogLevel__Microsoft.Hosting.Lifetime"] = "Warning",
            ["Logging__LogLevel__System.Net.Http.HttpClient"] = "Warning",
            ["Logging__LogLevel__Quartz"] = "Warning",
        };
        foreach (var (name, value) in quieter)
            if (Environment.GetEnvironmentVariable(name) is null) environment[name] = value;
        foreach (var connection in project.Connections) environment[$"ConnectionStrings__{connection.Name}"] = ConnectionString(connection);
        foreach (var service in project.Services) environment[$"services__{service.Resource.Name}__{service.EndpointName}__0"] = service.Endpoint.Address;
        foreach (var (name, value) in project.Environment) environment[name] = value;
        return environment;
    }

    private string ConnectionString(IResourceWithConnectionString resource) => resource switch
    {
        _ when configuration.GetConnectionString(resource.Name) is { Length: > 0 } given => given,
        PostgresDatabaseResource database => clusters[database.Parent].ConnectionString(database.DatabaseName),
        _ => throw new HubStartException($"ConnectionStrings:{resource.Name} is not set."),
    };

    private async Task WaitHealthyAsync(ProjectResource project, Supervisor supervisor, CancellationToken cancellationToken)
    {
        if (project.HealthPath is null || supervisor.Address is null) return;
        var clock = TimeProvider.System;
        var start = clock.GetTimestamp();
        var seen = "no answer";
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync($"{supervisor.Address}{project.HealthPath}", HttpCompletionOption.ResponseHeadersRead, cancellationToken);
                if (answer.IsSuccessStatusCode) return;
                seen = $"{(int)answer.StatusCode} from {project.HealthPath}";
            }
            catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
            {
                seen = $"no answer from {project.HealthPath}";
            }
            if (supervisor.Deaths >= 5)
                throw new HubStartException($"{project.Name} died {supervisor.Deaths} times before it was healthy; its lines {(quiet ? $"in {folder.Log}" : "above")} say why.");
            if (clock.GetElapsedTime(start) > HealthLimit) throw new HubStartException($"{project.Name} was not healthy after {HealthLimit.TotalSeconds:0} s: {seen}.");
            await Task.Delay(50, cancellationToken);
        }
    }

    private string ReadyLine()
    {
        var projects = resources.OfType<ProjectResource>().ToDictionary(p => p.Name);
        var line = $"JobHub is ready  api {projects["api"].Endpoints[0].Address}";
        if (projects.TryGetValue("web", out var web)) line += $"  dashboard {web.Endpoints[0].Address}";
        line += $"  data {folder.Root}";
        if (projects["api"].Connections.Exists(c => c.Name == "rabbitmq") && BrokerAddress.Of(configuration.GetConnectionString("rabbitmq")) is { } broker)
            line += $"  messages to {configuration["JobHub:RabbitMq:Queue"] ?? "job_response"} at {broker}";
        foreach (var cluster in clusters.Values.Where(c => !c.DataFolder.StartsWith(folder.Root + "/", StringComparison.Ordinal))) line += $"  postgres {cluster.DataFolder}";
        return line;
    }

    private async Task StopAsync(CancellationToken hurry)
    {
        Supervisor[] all;
        lock (started) all = [.. started];
        foreach (var supervisor in all.Reverse()) await supervisor.StopAsync(hurry);
        records.Remove("apphost");
    }
}
