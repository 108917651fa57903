using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace JobHub.Worker.Agent;

/// <summary>Section JobHub:Worker.</summary>
public sealed class WorkerOptions
{
    /// <summary>The worker's name in lists and affinities.</summary>
    [StringLength(128, MinimumLength = 1)]
    public string Name { get; set; } = Environment.MachineName;

    /// <summary>Attempts run at once; 0 = no agent; null = one a core.</summary>
    [Range(0, 10_000)]
    public int? Slots { get; set; }

    /// <summary>Base address of the hub; else services:api:http:0.</summary>
    public string? Api { get; set; }

    /// <summary>File with the worker's bearer token.</summary>
    public string? TokenFile { get; set; }

    /// <summary>The outbox and the spools of logs.</summary>
    [Required]
    public string DataFolder { get; set; } = Path.Combine(".jobhub", "worker");

    /// <summary>
    /// The program cache. Programs run as another user and inside a sandbox, so every parent must be searchable by all; the data folder often is not.
    /// Null = a folder of this worker below /var/tmp.
    /// </summary>
    public string? ProgramFolder { get; set; }

    /// <summary>What this process is: agent, scheduler.</summary>
    [Required]
    public string Roles { get; set; } = "agent,scheduler";

    /// <summary>Ordered alternatives, each a set of tags separated by commas.</summary>
    public string[] Affinity { get; set; } = [];

    /// <summary>Folders shared with the hub; null = everything when the hub is on this machine (loopback), else nothing.</summary>
    public string[]? Mounts { get; set; }

    /// <summary>GPUs offered to tasks; null = those found (nvidia-smi, else /dev/nvidia0, 1, ...).</summary>
    [Range(0, 1024)]
    public int? Gpus { get; set; }

    /// <summary>Cores offered to tasks; null = those this process may use.</summary>
    [Range(1, 100_000)]
    public int? Cpus { get; set; }

    /// <summary>Memory offered to tasks; null = all the machine, or the group this process is in, has.</summary>
    [Range(1L << 20, long.MaxValue)]
    public long? MemoryBytes { get; set; }

    /// <summary>
    /// Whether sandboxed commands share the machine's network. Null = yes, save where the hub is on this machine and programs run as the worker's own user: a hub in
    /// development trusts that user without a token.
    /// </summary>
    public bool? CommandNetwork { get; set; }

    /// <summary>SIGTERM to SIGKILL of a program that is stopped.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00")]
    public TimeSpan Grace { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The program cache keeps at most this much, least recently used first out; programs in use stay.</summary>
    [Range(0, long.MaxValue)]
    public long ProgramCacheBytes { get; set; } = 4L << 30;

    /// <summary>Buffers of one slot.</summary>
    [Range(16L << 20, 64L << 30)]
    public long SlotBufferBytes { get; set; } = 160L << 20;

    /// <summary>Programs a socket mapper runs at once; null = one a core.</summary>
    [Range(1, 1024)]
    public int? SocketSlots { get; set; }

    /// <summary>How long a store or the hub may be out of reach in the middle of an attempt before the attempt fails with store-unavailable.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan StorePatience { get; set; } = TimeSpan.FromMinutes(2);

    internal int OfferedCpus => Cpus ?? Environment.ProcessorCount;
    internal long OfferedMemoryBytes => MemoryBytes ?? Machine.MemoryBytes();
    internal int OfferedGpus => Gpus ?? Machine.Gpus();
    internal bool HasCommandNetwork(string? hub) =>
        CommandNetwork ?? (Executors.Processes.Libc.geteuid() == 0 || !(Uri.TryCreate(Api ?? hub, UriKind.Absolute, out var address) && address.IsLoopback));

    internal int SlotCount => Slots ?? Environment.ProcessorCount;
    internal string ProgramPath => ProgramFolder ?? Path.Combine("/var/tmp", $"jobhub-{Environment.UserName}-programs",
        Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(Path.GetFullPath(DataFolder))))[..16]);
    internal string SpoolPath => Path.Combine(DataFolder, "spool");
    internal string OutboxPath => Path.Combine(DataFolder, "outbox");
    internal bool Has(string role) => Roles.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Contains(role, StringComparer.OrdinalIgnoreCase);
}

/// <summary>Where the hub is, found once.</summary>
public sealed class HubAddress
{
    /// <summary>The base address, ending with a slash.</summary>
    public Uri Base { get; }

    public HubAddress(Uri address) => Base = address.AbsoluteUri.EndsWith('/') ? address : new Uri(address.AbsoluteUri + "/");

    /// <summary>From JobHub:Worker:Api, else services:api:http:0 as the AppHost sets it.</summary>
    public HubAddress(IConfiguration configuration, IOptions<WorkerOptions> options)
        : this(Read(options.Value.Api ?? configuration["services:api:http:0"])) { }

    internal bool IsLoopback => Base.IsLoopback;

    private static Uri Read(string? text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" ? uri!
        : throw new InvalidOperationException("The worker needs the hub's address: set JobHub:Worker:Api or services:api:http:0 to an http(s) URL.");

}
