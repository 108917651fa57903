using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobHub.Engine.Accounts;

/// <summary>Notes when tokens were used, behind the requests that use them. What does not fit is noted at the next use.</summary>
public sealed class TokenUse(TokenStore tokens, ILogger<TokenUse> logger) : BackgroundService
{
    private const int Most = 4096;
    private readonly Channel<Guid> used = Channel.CreateBounded<Guid>(new BoundedChannelOptions(Most) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    /// <summary>A request showed this token.</summary>
    public void Note(Guid token) => used.Writer.TryWrite(token);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var gathered = new HashSet<Guid>();
        while (await used.Reader.WaitToReadAsync(stoppingToken))
        {
            gathered.Clear();
            while (gathered.Count < Most && used.Reader.TryRead(out var token)) gathered.Add(token);
            try
            {
                await tokens.NoteUseAsync([.. gathered], stoppingToken);
            }
            catch (NpgsqlException fault)
            {
                // Nothing is lost but the time of a use, and the next use says it again.
                EngineLog.TokenUseUnnoted(logger, fault.Message);
            }
        }
    }
}
