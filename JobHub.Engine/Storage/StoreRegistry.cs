using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Storage.Files;
using JobHub.Engine.Storage.S3;

namespace JobHub.Engine.Storage;

/// <summary>All stores the hub can open: its own, and those that callers may name. One a process.</summary>
public sealed class StoreRegistry : IDisposable
{
    private const int MaxClients = 64;
    private static readonly TimeSpan IdleLife = TimeSpan.FromMinutes(10);

    private readonly StorageOptions options;
    private readonly TimeProvider clock;
    private readonly HashSet<(string? Scheme, string Host, int Port)> allowed = [];
    private readonly StorageEndpoint? hubEndpoint;
    private readonly FileObjectStore? machine;
    private readonly DeniedPlaces denied;
    private readonly Lock gate = new();
    private readonly Dictionary<string, Cached> clients = new(StringComparer.Ordinal);
    // Clients are found by a keyed hash of their credentials, so the table itself holds no password.
    private readonly byte[] hashKey = RandomNumberGenerator.GetBytes(32);

    /// <param name="allowAnyFile">What <see cref="StorageOptions.AllowAnyFile"/> is when it is not set.</param>
    public StoreRegistry(StorageOptions options, TimeProvider clock, bool allowAnyFile = false)
    {
        this.options = options;
        this.clock = clock;
        denied = new DeniedPlaces(options.Kind == StorageKind.Files ? [.. options.DeniedRoots, options.Root!] : options.DeniedRoots, options.FileRoots);
        var listed = new List<StorageEndpoint>();
        foreach (var text in options.AllowedEndpoints)
        {
            // Without a scheme the entry means its port, whatever is spoken there.
            var hasScheme = text.Contains("://", StringComparison.Ordinal);
            var endpoint = StorageEndpoint.TryParse(text, "http") ?? throw new ArgumentException($"\"{text}\" is not host:port or scheme://host:port.", nameof(options));
            listed.Add(endpoint);
            allowed.Add((hasScheme ? endpoint.Scheme : null, endpoint.Host, endpoint.Port));
        }

        if (options.Kind == StorageKind.S3)
        {
            hubEndpoint = StorageEndpoint.TryParse(options.Endpoint!.TrimEnd('/'), "https") ?? throw new ArgumentException("The endpoint of the hub's store cannot be read.", nameof(options));
            listed.Add(hubEndpoint);
        }

        Handler = GuardedHttp.Create(listed, $"{StorageOptions.Section}:AllowedEndpoints");
        Hub = hubEndpoint is null
            ? new FileObjectStore(options.Root!)
            : new S3ObjectStore(Settings(hubEndpoint, Credentials(options.AccessKey, options.SecretKey)), Handler, clock);
        var anyFile = options.AllowAnyFile ?? (allowAnyFile && options.FileRoots.Count == 0);
        if (anyFile) machine = FileObjectStore.ForMachine(["/"]);
        else if (options.FileRoots.Count > 0) machine = FileObjectStore.ForMachine(options.FileRoots);
    }

    /// <summary>The hub's own store.</summary>
    public IObjectStore Hub { get; }

    /// <summary>The bucket of what the hub keeps itself. <see cref="IObjectStore.EnsureBucketAsync"/> is called for it at start.</summary>
    public string HubBucket => options.Bucket;

    /// <summary>The guarded handler under all S3 clients.</summary>
    internal SocketsHttpHandler Handler { get; }

    /// <summary>
    /// The store an address means and the place in it. Absent or empty credentials are the hub's own for its own store, else anonymous.
    /// Throws EndpointNotAllowed (the message names the setting) or InvalidPath. Nothing is connected to yet.
    /// </summary>
    public (IObjectStore Store, ObjectPath Path) Open(ObjectAddress address, StorageCredentials? credentials)
    {
        if (string.IsNullOrEmpty(credentials?.Username) && string.IsNullOrEmpty(credentials?.Password)) credentials = null;
        if (address.Kind == AddressKind.File)
        {
            if (denied.Covers("/" + address.Path.Key))
                throw new StoreException(StoreFault.AccessDenied, $"{address} is in a folder that the hub keeps for itself.", transient: false);
            return (OpenMachine(), address.Path);
        }

        if (address.Kind == AddressKind.Project) throw ObjectKey.Invalid($"\"{address}\" is a project's file and in no store that could be opened by its name.");
        if (address.Bucket.Length == 0) throw ObjectKey.Invalid($"\"{address}\" names no bucket.");
        var isHub = address.Kind == AddressKind.Hub || address.Endpoint == hubEndpoint;
        if (!isHub) return (OpenEndpoint(address.Endpoint!, credentials), address.Path);
        if (address.Bucket == options.Bucket)
        {
            // Programs, shuffle and logs of everybody: reached by their own routes, which check whose they are.
            throw new StoreException(StoreFault.AccessDenied, $"Bucket \"{options.Bucket}\" is what the hub keeps for itself; use another.", transient: false);
        }

        return (hubEndpoint is null || credentials is null ? Hub : Client(hubEndpoint, credentials), address.Path);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        (Hub as IDisposable)?.Dispose();
        machine?.Dispose();
        lock (gate)
        {
            foreach (var cached in clients.Values) cached.Store.Dispose();
            clients.Clear();
        }

        Handler.Dispose();
    }

    private static StorageCredentials? Credentials(string? user, string? password) => string.IsNullOrEmpty(user) ? null : new StorageCredentials(user, password ?? "");

    private FileObjectStore OpenMachine() => machine
        ?? throw new StoreException(StoreFault.EndpointNotAllowed, $"file:/// is not allowed here: no folder is listed in {StorageOptions.Section}:FileRoots.", transient: false);

    private S3ObjectStore OpenEndpoint(StorageEndpoint endpoint, StorageCredentials? credentials)
    {
        if (!allowed.Contains((null, endpoint.Host, endpoint.Port)) && !allowed.Contains((endpoint.Scheme, endpoint.Host, endpoint.Port)))
        {
            throw new StoreException(
                StoreFault.EndpointNotAllowed, $"{endpoint} is not the hub's own store and not listed in {StorageOptions.Section}:AllowedEndpoints.", transient: false);
        }

        return Client(endpoint, credentials);
    }

    private S3Settings Settings(StorageEndpoint endpoint, StorageCredentials? credentials) => new(endpoint, options.Region, options.PathStyle, options.Checksums, credentials);

    private S3ObjectStore Client(StorageEndpoint endpoint, StorageCredentials? credentials)
    {
        var key = $"{endpoint} {(credentials is null ? "" : Fingerprint(credentials))}";
        var now = clock.GetTimestamp();
        lock (gate)
        {
            if (clients.TryGetValue(key, out var found))
            {
                clients[key] = found with { UsedAt = now };
                return found.Store;
            }

            // Dropped clients are not closed: a call may still be running on them, and they own nothing but the shared handler's name.
            foreach (var (old, cached) in clients.ToArray())
            {
                if (clock.GetElapsedTime(cached.UsedAt, now) > IdleLife) clients.Remove(old);
            }

            if (clients.Count >= MaxClients) clients.Remove(clients.MinBy(pair => pair.Value.UsedAt).Key);
            var store = new S3ObjectStore(Settings(endpoint, credentials), Handler, clock);
            clients.Add(key, new Cached(store, now));
            return store;
        }
    }

    private string Fingerprint(StorageCredentials credentials) =>
        Convert.ToBase64String(HMACSHA256.HashData(hashKey, Encoding.UTF8.GetBytes($"{credentials.Username.Length}:{credentials.Username}{credentials.Password}")));

    private sealed record Cached(S3ObjectStore Store, long UsedAt);
}
