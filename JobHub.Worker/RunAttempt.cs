using System.Text.Json;
using JobHub.Engine.Protocol;
using JobHub.ServiceDefaults;
using JobHub.Worker.Agent;
using JobHub.Worker.Runtime;

namespace JobHub.Worker;

/// <summary>
/// The verb `run-attempt`: one attempt, in a pod or as a child. Whoever dispatched it holds the lease and renews it; this process only runs, reports and exits.
/// SIGTERM interrupts the attempt.
/// </summary>
internal static class RunAttempt
{
    /// <summary>0: reported; 1: the hub did not take the report; 2: the order cannot be read.</summary>
    public static async Task<int> RunAsync(string file, string[] args)
    {
        AttemptOrder? order;
        try
        {
            await using var source = file == "-" ? Console.OpenStandardInput() : File.OpenRead(file);
            order = await JsonSerializer.DeserializeAsync(source, AgentJson.Default.AttemptOrder);
        }
        catch (Exception e) when (e is IOException or JsonException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"The order in {file} cannot be read: {e.Message}");
            return 2;
        }
        if (order is null) return 2;

        var builder = Host.CreateApplicationBuilder(args);
        builder.AddServiceDefaults();
        builder.Services.AddAttempts(builder.Configuration);
        if (order.Api is { } api) builder.Services.AddSingleton(new HubAddress(new Uri(api)));
        if (order.Bearer is { } bearer) builder.Services.AddSingleton(WorkerToken.Of(bearer));
        using var host = builder.Build();
        await host.StartAsync();
        try
        {
            var services = host.Services;
            var clock = services.GetRequiredService<TimeProvider>();
            using var attempt = new LeasedAttempt(order.Spec, order.Session, clock.GetTimestamp());
            using var onStop = services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.UnsafeRegister(_ => attempt.Stop(StopReason.WorkerStopping), null);
            attempt.TryStart(clock.GetTimestamp());
            if (await services.GetRequiredService<AttemptRunner>().RunAsync(attempt) is not { } result) return 1;
            return await ReportAsync(services.GetRequiredService<AgentClient>(), order, result);
        }
        finally { await host.StopAsync(); }
    }

    private static async Task<int> ReportAsync(AgentClient client, AttemptOrder order, AttemptResult result)
    {
        // As long as somebody else's renewals may keep the lease; a pod that never reports becomes an outcome of its own.
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        var json = JsonSerializer.SerializeToUtf8Bytes(result, AgentJson.Default.AttemptResult);
        try
        {
            var answers = await client.RetryAsync(t => client.CompleteAsync(order.Session, [json], t), limit.Token);
            return answers[0] == CompletionAnswer.Lost ? 1 : 0;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"The result could not be reported: {e.Message}");
            return 1;
        }
    }
}
