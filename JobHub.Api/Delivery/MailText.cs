using System.Globalization;
using System.Net.Mail;
using System.Text;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;

namespace JobHub.Api.Delivery;

/// <summary>The words of a mail. What callers wrote stands in it as one line of text, whatever it holds.</summary>
internal static class MailText
{
    private const int MaxTitle = 200, MaxReason = 2000, MaxAddress = 254;

    /// <summary>Where a user's mail goes, or null when that is no address.</summary>
    public static MailAddress? AddressOf(string user, MailOptions options)
    {
        var text = user.Contains('@', StringComparison.Ordinal) ? user : options.Domain.Length > 0 ? $"{user}@{options.Domain.TrimStart('@')}" : "";
        // The parser also takes `"a name" <address>` and comments: what is written must be the address itself.
        return text.Length <= MaxAddress && !text.Any(c => char.IsControl(c) || char.IsWhiteSpace(c)) && MailAddress.TryCreate(text, out var address) && address.Address == text ? address : null;
    }

    public static MailMessage Of(TreeEnd end, MailAddress to, MailOptions options)
    {
        var (title, word) = (Line(end.Title, MaxTitle), WordOf(end.State));
        var name = title.Length > 0 ? $"{title} ({end.Number})" : end.Number.ToString(CultureInfo.InvariantCulture);
        var body = new StringBuilder().Append(CultureInfo.InvariantCulture, $"Job {name} {word}.\n");
        if (end is { State: JobState.Failed, Error: { Length: > 0 } error }) body.Append(CultureInfo.InvariantCulture, $"\nReason: {Line(error, MaxReason)}\n");
        if (end.IsGroup) body.Append(CultureInfo.InvariantCulture, $"\nJobs in it: {end.Leaves}, failed: {end.Failed}\n");
        body.Append('\n');
        if (end.StartedAt is { } started) body.Append(CultureInfo.InvariantCulture, $"Started: {started.ToUniversalTime():yyyy-MM-dd HH:mm:ss} UTC\n");
        body.Append(CultureInfo.InvariantCulture, $"Ended:   {end.At.ToUniversalTime():yyyy-MM-dd HH:mm:ss} UTC\n");
        if (options.Dashboard.Length > 0) body.Append(CultureInfo.InvariantCulture, $"\n{options.Dashboard.TrimEnd('/')}/jobs/{end.Id}\n");
        return new MailMessage(new MailAddress(options.From), to)
        {
            Subject = $"{name} {word}", SubjectEncoding = Encoding.UTF8, Body = body.ToString(), BodyEncoding = Encoding.UTF8,
            Headers = { ["Auto-Submitted"] = "auto-generated", ["X-JobHub-Job"] = end.Number.ToString(CultureInfo.InvariantCulture) },
        };
    }

    private static string WordOf(JobState state) => state switch
    {
        JobState.Succeeded => "has finished", JobState.Canceled => "was canceled", _ => "has failed",
    };

    private static string Line(string text, int most)
    {
        if (text.Length > most) text = text[..(char.IsHighSurrogate(text[most - 1]) ? most - 1 : most)] + "…";
        return string.Concat(text.Select(c => char.IsControl(c) || c is '\u2028' or '\u2029' ? ' ' : c)).Trim();
    }
}
