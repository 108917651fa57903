namespace JobHub.Api.Delivery;

/// <summary>What delivery says, numbered 1150-1169. Addresses of brokers without user and password.</summary>
internal static partial class DeliveryLog
{
    [LoggerMessage(1150, LogLevel.Information, "Messages about jobs go to the queue {Queue} at {Place}")]
    public static partial void Publishing(ILogger logger, string queue, string place);

    [LoggerMessage(1151, LogLevel.Warning, "RabbitMQ at {Place} is away ({Reason}); messages wait and jobs go on")]
    public static partial void BrokerAway(ILogger logger, string place, string reason);

    [LoggerMessage(1152, LogLevel.Information, "RabbitMQ at {Place} is back after {Seconds:F1} s; the messages that waited follow")]
    public static partial void BrokerBack(ILogger logger, string place, double seconds);

    [LoggerMessage(1153, LogLevel.Warning, "RabbitMQ at {Place} takes nothing for now ({Reason}); messages wait and jobs go on")]
    public static partial void BrokerBlocked(ILogger logger, string place, string reason);

    [LoggerMessage(1154, LogLevel.Information, "RabbitMQ at {Place} takes messages again")]
    public static partial void BrokerUnblocked(ILogger logger, string place);

    [LoggerMessage(1155, LogLevel.Warning, "The outbox {Outbox} waits ({Reason}); it goes on by itself")]
    public static partial void OutboxFailed(ILogger logger, string outbox, Exception? fault, string reason);

    [LoggerMessage(1156, LogLevel.Warning, "Webhook {Webhook} fails ({Reason}); its deliveries are tried again")]
    public static partial void ReceiverFails(ILogger logger, Guid webhook, string reason);

    [LoggerMessage(1157, LogLevel.Information, "Webhook {Webhook} takes deliveries again")]
    public static partial void ReceiverBack(ILogger logger, Guid webhook);

    [LoggerMessage(1158, LogLevel.Warning, "Webhook {Webhook} is switched off: its receiver answered 410")]
    public static partial void ReceiverGone(ILogger logger, Guid webhook);

    [LoggerMessage(1159, LogLevel.Warning, "The mail server {Host}:{Port} is away ({Reason}); mails wait and jobs go on")]
    public static partial void MailServerAway(ILogger logger, string host, int port, string reason);

    [LoggerMessage(1160, LogLevel.Information, "The mail server {Host}:{Port} is back; the mails that waited follow")]
    public static partial void MailServerBack(ILogger logger, string host, int port);

    [LoggerMessage(1161, LogLevel.Warning, "The mail about job {Job} is not sent: the server refuses it ({Status})")]
    public static partial void MailRefused(ILogger logger, long job, int status);

    [LoggerMessage(1162, LogLevel.Warning, "The mail about job {Job} is not sent: its user is no mail address (JobHub:Mail:Domain completes bare names)")]
    public static partial void NoAddress(ILogger logger, long job);
}
