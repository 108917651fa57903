using System.Diagnostics;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;
using Npgsql;

namespace JobHub.Benchmarks.Farm;

/// <summary>A farm's clients at a hub: they make jobs and read them.</summary>
internal sealed class FarmClient : IDisposable
{
    private readonly HttpClient _http;

    public FarmClient(BenchHub hub)
    {
        _http = new HttpClient(new SocketsHttpHandler { UseProxy = false, UseCookies = false }) { BaseAddress = hub.Address, Timeout = TimeSpan.FromMinutes(2) };
        _http.DefaultRequestHeaders.Authorization = new("Bearer", BenchHub.AdminToken);
    }

    public async Task<long> PutAsync(object job)
    {
        using var answer = await SendAsync(JsonSerializer.Serialize(job));
        return await answer.Content.ReadFromJsonAsync<long>();
    }

    /// <summary>Leaves of one group, or roots, so many a call.</summary>
    public async Task PutManyAsync(long parent, int count, int batch, string command = "true")
    {
        for (var at = 0; at < count; at += batch)
        {
            var body = new StringBuilder("[");
            for (var i = at; i < Math.Min(count, at + batch); i++) body.Append(i > at ? "," : "").Append(Leaf(parent, i, command));
            using var answer = await SendAsync(body.Append(']').ToString());
        }
    }

    public static string Leaf(long parent, int i, string command = "true") =>
        $$"""{"parent":{{parent}},"title":"frame {{i}}","command":"{{command}}","dir":".","environment":"SHOT=010","priority":127,"user":"bench"}""";

    public async Task<HttpResponseMessage> SendAsync(string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        var answer = await _http.PutAsync("api/jobs", content);
        if (answer.IsSuccessStatusCode) return answer;
        throw new InvalidOperationException($"{(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
    }

    /// <summary>The 95th percentile of so many reads, the whole answer taken.</summary>
    public async Task<Sample> ReadAsync(string path, int reads)
    {
        var times = new List<double>();
        var cpu = Machine.CpuSeconds();
        var begun = Stopwatch.GetTimestamp();
        for (var i = -3; i < reads && Stopwatch.GetElapsedTime(begun) < TimeSpan.FromSeconds(10); i++)
        {
            var start = Stopwatch.GetTimestamp();
            using var answer = await _http.GetAsync(path);
            answer.EnsureSuccessStatusCode();
            await answer.Content.ReadAsByteArrayAsync();
            if (i >= 0 || times.Count == 0) times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        times.Sort();
        return new(times[(int)(times.Count * 0.95)], Stopwatch.GetElapsedTime(begun).TotalSeconds, Machine.CpuSeconds() - cpu);
    }

    /// <summary>Until so many leaves have ended and a group says so.</summary>
    public async Task EndedAsync(NpgsqlDataSource database, long root, int leaves)
    {
        await using var command = database.CreateCommand("SELECT leaves_succeeded + leaves_failed FROM job WHERE number = $1");
        command.Parameters.AddWithValue(root);
        while (await command.ExecuteScalarAsync() is not int ended || ended < leaves) await Task.Delay(20);
        var job = await _http.GetFromJsonAsync<JsonElement>($"api/jobs/{root}");
        if (job.GetProperty("total_finished").GetInt32() != leaves) throw new InvalidOperationException($"Not all have finished: {job}");
    }

    public void Dispose() => _http.Dispose();
}
