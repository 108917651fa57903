using System.Text.Json;

namespace JobHub.AppHost.LocalHosting;

/// <summary>What runs, written down in DIR/run/&lt;name&gt;.json, so that a later start can end what a killed one left behind.</summary>
internal sealed class RunRecords(string folder)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    public void Write(string name, ProcessIdentity identity, string? address)
    {
        var file = PathOf(name);
        File.WriteAllText(file + ".new", JsonSerializer.Serialize(new RunRecord(name, identity.ProcessId, identity.Started, address), Json));
        File.Move(file + ".new", file, overwrite: true);
    }

    public void Remove(string name) => File.Delete(PathOf(name));

    public static RunRecord? Read(string file)
    {
        try
        {
            return JsonSerializer.Deserialize<RunRecord>(File.ReadAllText(file), Json);
        }
        catch (Exception e) when (e is IOException or JsonException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public RunRecord? Find(string name) => Read(PathOf(name));

    /// <summary>Ends the processes of an AppHost that was killed. Postgres is not among them: its cluster looks after that itself.</summary>
    public async Task EndLeftoversAsync(IReadOnlyCollection<string> names, Action<string> say, CancellationToken cancellationToken)
    {
        foreach (var record in names.Select(Find).OfType<RunRecord>())
        {
            var identity = new ProcessIdentity(record.Pid, record.Started);
            if (identity.IsAlive)
            {
                say($"the {record.Name} of an earlier start (process {record.Pid}) is stopped");
                Unix.Ask(record.Pid, Unix.Terminate);
                for (var tenths = 0; tenths < 100 && identity.IsAlive; tenths++) await Task.Delay(100, cancellationToken);
                HostedProcess.KillSession(record.Pid, includeLeader: identity.IsAlive);
                for (var tenths = 0; tenths < 50 && identity.IsAlive; tenths++) await Task.Delay(100, cancellationToken);
            }
            Remove(record.Name);
        }
    }

    private string PathOf(string name) => Path.Combine(folder, $"{name}.json");
}

/// <summary>A process of the hub.</summary>
/// <param name="Name">apphost, postgres, api, worker or web.</param>
/// <param name="Started">Tells it from a later process with the same id.</param>
/// <param name="Address">Where it listens: an http address, or host:port of Postgres.</param>
internal sealed record RunRecord(string Name, int Pid, string Started, string? Address);
