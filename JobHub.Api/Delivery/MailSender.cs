using System.Net;
using System.Net.Mail;
using JobHub.Engine.Events;
using JobHub.Engine.Trees;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobHub.Api.Delivery;

/// <summary>
/// Mails the users of farm jobs when these end, from one Api at a time: whoever has the cursor's turn. At least once and in order; a server that is away delays mails and
/// nothing else. A recipient the server refuses is logged and passed over; one it refuses for now is tried again beside the others, as long as this Api runs.
/// </summary>
public sealed class MailSender(
    EventCursors cursors, Wakeups wakeups, OutboxMeter meter, IOptions<MailOptions> options, TimeProvider clock, ILogger<MailSender> logger) : BackgroundService
{
    /// <summary>Of the cursor, and in metrics.</summary>
    public const string Cursor = "mail";

    private const int Batch = 500, MaxTries = 6, MaxWaiting = 1000;
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SendTime = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Presence = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan FirstAgain = TimeSpan.FromMinutes(1), LastAgain = TimeSpan.FromHours(1);

    // Refused for now (a greylist): due again by and by, while the cursor goes on.
    private readonly List<(DateTimeOffset Due, int Tries, TreeEnd End)> waiting = [];
    private bool isAway, databaseAway;

    private sealed class ServerAwayException(string message) : Exception(message);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var backoff = new Backoff(TimeSpan.FromSeconds(1), options.Value.MaxBackoff);
        while (!stoppingToken.IsCancellationRequested)
        {
            var wait = Beat;
            try
            {
                await using var turn = await cursors.TryTakeAsync(Cursor, stoppingToken);
                databaseAway = false;
                if (turn is null) meter.Lag(Cursor, null);
                else await SendWhileHeldAsync(turn, backoff, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (ServerAwayException fault)
            {
                meter.Failed(Cursor);
                wait = backoff.Next();
                if (!isAway) DeliveryLog.MailServerAway(logger, options.Value.Host, options.Value.Port, fault.Message);
                isAway = true;
            }
            catch (Exception fault)
            {
                if (!databaseAway) DeliveryLog.OutboxFailed(logger, Cursor, fault is NpgsqlException ? null : fault, fault.Message);
                databaseAway = true;
            }

            await Task.Delay(wait, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task SendWhileHeldAsync(CursorTurn turn, Backoff backoff, CancellationToken ct)
    {
        var seen = clock.GetTimestamp();
        while (true)
        {
            var next = wakeups.NextEvents;
            var page = await TreeEnds.ReadAsync(turn.Connection, turn.Position, Batch, ct);
            foreach (var end in page.Ends)
            {
                await SendAsync(end, 0, backoff, ct);
                await turn.MoveAsync(end.Position, CancellationToken.None);
            }

            if (page.Upto > turn.Position || clock.GetElapsedTime(seen) > Presence)
            {
                await turn.MoveAsync(page.Upto, ct);
                seen = clock.GetTimestamp();
            }

            meter.Lag(Cursor, Math.Max(0, page.Newest - page.Upto));
            if (page.Upto < page.Newest) continue;
            await AgainAsync(backoff, ct);
            await Task.WhenAny(next, Task.Delay(Beat, clock, ct));
            ct.ThrowIfCancellationRequested();
        }
    }

    private async Task AgainAsync(Backoff backoff, CancellationToken ct)
    {
        foreach (var due in waiting.Where(w => w.Due <= clock.GetUtcNow()).ToArray())
        {
            waiting.Remove(due);
            try { await SendAsync(due.End, due.Tries, backoff, ct); }
            catch (ServerAwayException)
            {
                waiting.Add(due);
                throw;
            }
        }
    }

    /// <summary>Returns when nothing is left to do for now: sent, refused, or put by.</summary>
    private async Task SendAsync(TreeEnd end, int tries, Backoff backoff, CancellationToken ct)
    {
        if (MailText.AddressOf(end.User, options.Value) is not { } to)
        {
            DeliveryLog.NoAddress(logger, end.Number);
            return;
        }

        try
        {
            using var message = MailText.Of(end, to, options.Value);
            using var client = await ClientAsync(ct);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
            limit.CancelAfter(SendTime);
            try { await client.SendMailAsync(message, limit.Token); }
            catch (OperationCanceledException) when (!ct.IsCancellationRequested) { throw new ServerAwayException($"it takes longer than {SendTime.TotalSeconds:0} s"); }
            meter.Published(Cursor, 1);
            backoff.Reset();
            if (isAway) DeliveryLog.MailServerBack(logger, options.Value.Host, options.Value.Port);
            isAway = false;
        }
        catch (SmtpException refused) when (Status(refused) is >= 500 and < 560 && IsAboutThisMail(refused))
        {
            DeliveryLog.MailRefused(logger, end.Number, Status(refused));
        }
        catch (SmtpException refused) when (Status(refused) is 450 or 451 or 452 && IsAboutThisMail(refused))
        {
            if (tries + 1 >= MaxTries || waiting.Count >= MaxWaiting) DeliveryLog.MailRefused(logger, end.Number, Status(refused));
            else waiting.Add((clock.GetUtcNow() + Backoff.Of(tries, FirstAgain, LastAgain), tries + 1, end));
        }
        catch (SmtpException fault)
        {
            // The library's texts name the server's answer, never the password.
            throw new ServerAwayException(fault.InnerException?.Message ?? fault.Message);
        }
        catch (Exception fault) when (fault is IOException or System.Security.Authentication.AuthenticationException or FormatException or UnauthorizedAccessException)
        {
            throw new ServerAwayException(fault.Message);
        }
    }

    private static int Status(SmtpException fault) => (int)fault.StatusCode;

    // Answers to MAIL FROM, RCPT and DATA concern one mail. What is said before (no TLS, no such login) concerns all, and so do answers that the library gives no number.
    private static bool IsAboutThisMail(SmtpException fault) =>
        fault is SmtpFailedRecipientException
        || fault.StatusCode is SmtpStatusCode.ExceededStorageAllocation or SmtpStatusCode.TransactionFailed or SmtpStatusCode.MailboxNameNotAllowed or SmtpStatusCode.MailboxUnavailable
            or SmtpStatusCode.MailboxBusy or SmtpStatusCode.InsufficientStorage or SmtpStatusCode.LocalErrorInProcessing;

    // One a mail: the library keeps connections of its own accord and does not say when one has gone bad.
    private async Task<SmtpClient> ClientAsync(CancellationToken ct)
    {
        var settings = options.Value;
        var client = new SmtpClient(settings.Host, settings.Port) { EnableSsl = settings.Tls, DeliveryFormat = SmtpDeliveryFormat.SevenBit };
        if (settings.User.Length == 0) return client;
        try
        {
            // Read each time: secrets are renewed while we run.
            client.Credentials = new NetworkCredential(settings.User, (await File.ReadAllTextAsync(settings.PasswordFile!, ct)).TrimEnd('\r', '\n'));
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }
}
