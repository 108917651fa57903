using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace JobHub.ServiceDefaults;

/// <summary>
/// Ends a process whose AppHost is gone. The AppHost holds a pipe to the standard input of each of its children and says so in
/// JOBHUB_PARENT_PIPE; however it ends, kill -9 included, the system closes the pipe.
/// </summary>
public sealed class ParentPipe(IHostApplicationLifetime lifetime) : IHostedService
{
    private const string Variable = "JOBHUB_PARENT_PIPE";

    /// <summary>Registers the watch where there is a pipe to watch.</summary>
    public static void AddTo(IServiceCollection services)
    {
        if (Environment.GetEnvironmentVariable(Variable) != "stdin") return;
        // What this process starts has another standard input.
        Environment.SetEnvironmentVariable(Variable, null);
        services.AddHostedService<ParentPipe>();
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // A thread of its own: reading a pipe blocks as long as the parent lives.
        new Thread(Watch) { IsBackground = true, Name = "parent pipe" }.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private void Watch()
    {
        using var input = Console.OpenStandardInput();
        Span<byte> buffer = stackalloc byte[64];
        while (input.Read(buffer) > 0)
        {
            // Nobody writes; what comes is not for us.
        }
        lifetime.StopApplication();
    }
}
