using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using JobHub.Faults.Tests.Ledger;
using JobHub.Testing;
using Npgsql;

namespace JobHub.Faults.Tests.Hubs;

/// <summary>A whole hub of real processes, the programs' ledger beside it, and a client that keeps asking while the hub is down.</summary>
public sealed class FaultHub : IAsyncDisposable
{
    private static readonly TimeSpan JobLimit = TimeSpan.FromMinutes(4);
    private readonly HttpClient http;

    private FaultHub(HubProcess process, ProgramLedger ledger, string files)
    {
        (Process, Ledger, Files) = (process, ledger, files);
        http = process.CreateClient();
        http.Timeout = TimeSpan.FromSeconds(30);
    }

    public HubProcess Process { get; }

    public ProgramLedger Ledger { get; }

    /// <summary>Inputs and outputs of jobs.</summary>
    public string Files { get; }

    public HttpClient Http => http;

    public string Store => Path.Combine(Process.DataFolder, "store");

    public string Scratch => Path.Combine(Process.DataFolder, "scratch");

    public static bool IsLong => Environment.GetEnvironmentVariable("JOBHUB_TEST_LONG") == "1";

    public static async Task<FaultHub> StartAsync(HubOptions? options = null)
    {
        var ledger = new ProgramLedger();
        try
        {
            var process = await HubProcess.StartAsync(options ?? new HubOptions { Slots = 4 });
            var hub = new FaultHub(process, ledger, HubProcess.NewFolder());
            await hub.WaitWorkerAsync();
            return hub;
        }
        catch
        {
            ledger.Dispose();
            throw;
        }
    }

    /// <summary>Uploads a streaming program.</summary>
    public async Task UploadAsync(string name, string text)
    {
        await Eventually.TrueAsync(async () =>
        {
            using var form = new MultipartFormDataContent { { new StringContent("streaming"), "type" }, { new ByteArrayContent(Encoding.UTF8.GetBytes(text)), "program", name } };
            using var answer = await http.PutAsync("/api/v1/artifacts", form);
            return answer.IsSuccessStatusCode;
        }, $"the upload of {name}");
    }

    /// <summary>A file for a job to read; returns its address.</summary>
    public string Input(ReadOnlySpan<byte> text)
    {
        var path = Path.Combine(Files, $"text-{Guid.NewGuid():N}");
        File.WriteAllBytes(path, text);
        return $"file://{path}";
    }

    /// <summary>Submits a job as a careful client does: one key, asked again until there is an answer.</summary>
    /// <returns>Its id.</returns>
    public async Task<string> SubmitAsync(FaultJob job, string? key = null)
    {
        key ??= Guid.NewGuid().ToString("N");
        var body = job.ToBody(Ledger.Pipe, $"file://{Path.Combine(Files, "out")}");
        string? refusal = null;
        var id = await Eventually.GetAsync(async () =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/jobs") { Content = JsonContent.Create(body) };
            request.Headers.Add("Idempotency-Key", key);
            using var answer = await http.SendAsync(request);
            var text = await answer.Content.ReadAsStringAsync();
            if (answer.StatusCode is HttpStatusCode.Created) return JsonDocument.Parse(text).RootElement.GetProperty("id").GetString();
            if ((int)answer.StatusCode is >= 400 and < 500) return refusal = text;
            throw new HttpRequestException($"{(int)answer.StatusCode} {text}");
        }, answer => answer is not null, "an accepted submission");
        return refusal is null ? id! : throw new InvalidOperationException($"Refused: {refusal}");
    }

    /// <summary>The job as /hub/v1 has it now.</summary>
    public async Task<JsonElement> JobAsync(string id)
    {
        using var answer = await http.GetAsync($"/hub/v1/jobs/{id}");
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<JsonElement>()).Clone();
    }

    /// <summary>Waits for the job's end.</summary>
    public Task<JsonElement> EndAsync(string id, TimeSpan? limit = null) =>
        Eventually.GetAsync(() => JobAsync(id), job => job.GetProperty("state").GetString() is "Succeeded" or "Failed" or "Canceled", $"the end of job {id}", limit ?? JobLimit);

    public string OutputOf(string id) => Path.Combine(Files, "out", id);

    /// <summary>Bytes of an attempt's log, with the ranges that were not kept.</summary>
    public async Task<(byte[] Bytes, long Size, string Gaps)> LogAsync(string id, string task, int? attempt = null)
    {
        using var answer = await http.GetAsync($"/hub/v1/jobs/{id}/log?task={task}{(attempt is null ? "" : $"&attempt={attempt}")}");
        answer.EnsureSuccessStatusCode();
        string Header(string name) => answer.Headers.TryGetValues(name, out var values) ? values.First() : "";
        return (await answer.Content.ReadAsByteArrayAsync(), long.TryParse(Header("JobHub-Log-Size"), out var size) ? size : -1, Header("JobHub-Log-Gaps"));
    }

    public async Task<IReadOnlyList<T>> QueryAsync<T>(string sql, Func<NpgsqlDataReader, T> row)
    {
        await using var connection = new NpgsqlConnection(Process.ConnectionString + ";Pooling=false;Timeout=5");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<T>();
        while (await reader.ReadAsync()) rows.Add(row(reader));
        return rows;
    }

    public async Task<long> CountAsync(string sql) => (await QueryAsync(sql, r => r.GetInt64(0)))[0];

    /// <summary>How many late results Apis of this hub have refused, by their own lines.</summary>
    public int Refused => Process.Output.Count(l => l.Contains("Late result of task", StringComparison.Ordinal));

    /// <summary>Waits for a worker session whose lease runs.</summary>
    public Task WaitWorkerAsync() => Eventually.TrueAsync(
        async () => await CountAsync("SELECT count(*) FROM worker_session WHERE ended_at IS NULL AND lease_until > clock_timestamp()") > 0, "a worker's session");

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        try
        {
            await Process.DisposeAsync();
        }
        finally
        {
            Ledger.Dispose();
            Directory.Delete(Files, recursive: true);
        }
    }
}

/// <summary>A job as tests submit it.</summary>
public sealed record FaultJob(string Mapper, string Reducer, string Input)
{
    public int Reducers { get; init; } = 2;
    public long? SplitSize { get; init; }
    public int? MaxAttempts { get; init; }
    public double? TimeoutSeconds { get; init; }
    public string? Output { get; init; }
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    public Dictionary<string, object?> ToBody(string ledger, string output)
    {
        var body = new Dictionary<string, object?>
        {
            ["nReducers"] = Reducers, ["inputPath"] = Input, ["inputType"] = "file/txt", ["outputPath"] = Output ?? output, ["mapperName"] = Mapper, ["reducerName"] = Reducer,
            ["environment"] = new Dictionary<string, string>(Environment) { ["LEDGER"] = ledger },
        };
        if (SplitSize is { } split) body["splitSize"] = split;
        if (MaxAttempts is { } attempts) body["maxAttempts"] = attempts;
        if (TimeoutSeconds is { } seconds) body["timeoutSeconds"] = seconds;
        return body;
    }
}
