namespace JobHub.AppHost.LocalHosting.Model;

/// <summary>A part of the system.</summary>
public interface IResource
{
    string Name { get; }
}

/// <summary>A part that others reach by a connection string.</summary>
public interface IResourceWithConnectionString : IResource;

/// <summary>Describes a part.</summary>
public interface IResourceBuilder<out T>
    where T : IResource
{
    IDistributedApplicationBuilder ApplicationBuilder { get; }

    T Resource { get; }
}

internal sealed record ResourceBuilder<T>(IDistributedApplicationBuilder ApplicationBuilder, T Resource) : IResourceBuilder<T>
    where T : IResource;

/// <summary>A value from configuration (Parameters:name).</summary>
public sealed class ParameterResource(string name, bool secret) : IResource
{
    public string Name => name;

    public bool Secret => secret;
}

/// <summary>A Postgres server.</summary>
public sealed class PostgresServerResource(string name, ParameterResource? password, int? port) : IResource
{
    public string Name => name;

    internal ParameterResource? Password => password;

    internal int? Port => port;

    internal List<PostgresDatabaseResource> Databases { get; } = [];
}

/// <summary>A database of a server.</summary>
public sealed class PostgresDatabaseResource(string name, string databaseName, PostgresServerResource server) : IResourceWithConnectionString
{
    public string Name => name;

    public string DatabaseName => databaseName;

    public PostgresServerResource Parent => server;
}

/// <summary>Something that runs elsewhere; ConnectionStrings:name says where.</summary>
internal sealed class ConnectionStringResource(string name) : IResourceWithConnectionString
{
    public string Name => name;
}

/// <summary>A project of this solution, run as a process.</summary>
public sealed class ProjectResource(string name, string projectPath) : IResource
{
    public string Name => name;

    internal string ProjectPath => projectPath;

    internal Dictionary<string, string?> Environment { get; } = [];

    internal List<string> Arguments { get; } = [];

    internal List<HttpEndpoint> Endpoints { get; } = [];

    internal List<IResourceWithConnectionString> Connections { get; } = [];

    internal List<EndpointReference> Services { get; } = [];

    internal List<IResource> WaitsFor { get; } = [];

    internal string? HealthPath { get; set; }
}

/// <summary>Where a project listens; always on loopback.</summary>
internal sealed class HttpEndpoint(string name, int? port)
{
    private readonly Lazy<int> chosen = new(() => port ?? LoopbackPort.Free());

    public string Name => name;

    public bool IsFixed => port is not null;

    public int Port => chosen.Value;

    public string Address => $"http://127.0.0.1:{Port}";
}

/// <summary>An endpoint of a project, for those who call it.</summary>
public sealed class EndpointReference
{
    internal EndpointReference(ProjectResource owner, string name)
    {
        Resource = owner;
        EndpointName = name;
    }

    public ProjectResource Resource { get; }

    public string EndpointName { get; }

    internal HttpEndpoint Endpoint => Resource.Endpoints.Find(e => e.Name == EndpointName)
        ?? throw new InvalidOperationException($"{Resource.Name} has no endpoint {EndpointName}.");
}
