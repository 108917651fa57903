using JobHub.AppHost;
using JobHub.AppHost.Demo;
using JobHub.AppHost.LocalHosting;

var (hub, exitCode) = HubArguments.Read(args, Console.Out, Console.Error);
if (hub is null) return exitCode;

try
{
    var folder = await HubFolder.OpenAsync(hub.Data, CancellationToken.None);
    var builder = DistributedApplication.CreateBuilder([]).UseDataFolder(folder, hub);

    var password = builder.AddParameter("postgres-password", secret: true);
    var database = builder.AddPostgres("postgres", password: password).WithDataVolume().AddDatabase("jobhub");

    var api = builder.AddProject("api", "../JobHub.Api/JobHub.Api.csproj")
        .WithHttpEndpoint(port: hub.ApiPort, targetPort: hub.ApiPort, name: "http", isProxied: false)
        .WithHttpHealthCheck("/health")
        .WithReference(database).WaitFor(database)
        .WithEnvironment("ASPNETCORE_ENVIRONMENT", "Development")
        .WithEnvironment("DOTNET_ENVIRONMENT", "Development")
        // A folder, unless the environment says s3 and where.
        .WithEnvironment("JobHub__Storage__Kind", Environment.GetEnvironmentVariable("JobHub__Storage__Kind") ?? "files")
        .WithEnvironment("JobHub__Storage__Root", folder.Store)
        .WithEnvironment("JobHub__Storage__AllowAnyFile", "true")
        .WithEnvironment("JobHub__Storage__DeniedRoots__0", folder.Root)
        .WithEnvironment("JobHub__Storage__FileRoots__0", Path.Combine(folder.Root, "demo"))
        .WithEnvironment("JobHub__Secrets__File", folder.Secrets)
        .WithEnvironment("JobHub__Auth__AdminTokenFile", folder.AdminToken)
        .WithEnvironment("JobHub__Auth__WorkerTokenFile", folder.WorkerToken)
        .WithEnvironment("JobHub__Web__Origin", hub.Web ? $"http://127.0.0.1:{hub.WebPort},http://localhost:{hub.WebPort}" : null);
    if (hub.RabbitMq is { } address) builder.Configuration["ConnectionStrings:rabbitmq"] = address;
    if (builder.Configuration["ConnectionStrings:rabbitmq"] is { Length: > 0 } broker)
    {
        if (BrokerAddress.Of(broker) is null) throw new HubStartException("ConnectionStrings:rabbitmq is not an address of a broker (amqp://user:password@host:port).");
        api.WithReference(builder.AddConnectionString("rabbitmq"));
    }

    foreach (var port in hub.AlsoListen) api.WithHttpEndpoint(port: port, targetPort: port, name: $"http-{port}", isProxied: false);

    builder.AddProject("worker", "../JobHub.Worker/JobHub.Worker.csproj")
        .WithArgs("serve")
        .WithHttpEndpoint(name: "http", isProxied: false)
        .WithHttpHealthCheck("/health")
        .WithReference(database)
        .WithReference(api.GetEndpoint("http")).WaitFor(api)
        .WithEnvironment("ASPNETCORE_ENVIRONMENT", "Development")
        .WithEnvironment("DOTNET_ENVIRONMENT", "Development")
        // A store and a broker of the environment are the Api's alone.
        .WithEnvironment("ConnectionStrings__rabbitmq", null)
        .WithEnvironment("JobHub__Storage__Endpoint", null).WithEnvironment("JobHub__Storage__AccessKey", null).WithEnvironment("JobHub__Storage__SecretKey", null)
        .WithEnvironment("JobHub__Worker__Slots", $"{hub.Slots}")
        .WithEnvironment("JobHub__Worker__ScratchRoot", folder.Scratch)
        .WithEnvironment("JobHub__Worker__DataFolder", folder.Worker)
        .WithEnvironment("JobHub__Worker__TokenFile", folder.WorkerToken)
        .WithEnvironment("JobHub__Worker__HiddenFolders__0", folder.Root);

    if (hub.Web)
    {
        builder.AddProject("web", "../JobHub.Web/JobHub.Web.csproj")
            .WithHttpEndpoint(port: hub.WebPort, targetPort: hub.WebPort, name: "http", isProxied: false)
            .WithHttpHealthCheck("/health")
            .WithReference(api.GetEndpoint("http")).WaitFor(api)
            .WithEnvironment("ASPNETCORE_ENVIRONMENT", "Development")
            .WithEnvironment("DOTNET_ENVIRONMENT", "Development")
            .WithEnvironment("ConnectionStrings__rabbitmq", null)
            .WithEnvironment("JobHub__Storage__AccessKey", null).WithEnvironment("JobHub__Storage__SecretKey", null)
            .WithEnvironment("JobHub__Web__TokenFile", folder.AdminToken)
            .WithEnvironment("JobHub__Web__KeysFolder", folder.WebKeys);
    }

    var application = builder.Build();
    if (hub.Demo is { } demo) return await WordCountDemo.RunBesideAsync(application.RunAsync, demo, hub, folder);
    await application.RunAsync();
    return 0;
}
catch (HubStartException e)
{
    await Console.Error.WriteLineAsync($"JobHub cannot start: {e.Message}");
    return 1;
}
