using System.Text;

namespace JobHub.Web.Components.Shared;

/// <summary>How numbers, times and names from outside look; one place for all pages.</summary>
public static class Shown
{
    private const string Missing = "–";
    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    public static string Count(long n) => n.ToString("N0");

    /// <summary>Binary units, three digits.</summary>
    public static string Bytes(long n)
    {
        var (value, unit) = ((double)n, 0);
        while (value >= 1000 && unit < Units.Length - 1) (value, unit) = (value / 1024, unit + 1);
        return unit == 0 ? $"{n} B" : $"{value.ToString(value < 10 ? "0.00" : value < 100 ? "0.0" : "0")} {Units[unit]}";
    }

    /// <summary>Two units.</summary>
    public static string Duration(TimeSpan? time) => time switch
    {
        null => Missing,
        { TotalSeconds: < 10 } t => $"{Math.Max(0, t.TotalSeconds):0.0} s",
        { TotalMinutes: < 1 } t => $"{t.TotalSeconds:0} s",
        { TotalHours: < 1 } t => $"{t.Minutes} m {t.Seconds} s",
        { TotalDays: < 1 } t => $"{t.Hours} h {t.Minutes} m",
        { } t => $"{(int)t.TotalDays} d {t.Hours} h",
    };

    /// <summary>A time in the past: within a day how long ago, else the day.</summary>
    public static string Past(DateTimeOffset time, DateTimeOffset now) => (now - time) switch
    {
        { TotalSeconds: < 1 } => "now",
        { TotalMinutes: < 1 } t => $"{(int)t.TotalSeconds} s ago",
        { TotalHours: < 1 } t => $"{(int)t.TotalMinutes} m ago",
        { TotalDays: < 1 } t => $"{(int)t.TotalHours} h {t.Minutes} m ago",
        _ when time.UtcDateTime.Year == now.UtcDateTime.Year => time.UtcDateTime.ToString("d MMM HH:mm"),
        _ => time.UtcDateTime.ToString("yyyy-MM-dd"),
    };

    public static string Exact(DateTimeOffset? time) => time?.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fff 'UTC'") ?? Missing;

    /// <summary>A name from outside: control characters are shown, at most 300 characters reach the page.</summary>
    public static string Name(string? text) => Text(text, 300).Replace('\n', '␛');

    /// <summary>Text from outside over several lines.</summary>
    public static string Text(string? text, int longest)
    {
        if (string.IsNullOrEmpty(text)) return Missing;
        var shown = new StringBuilder(Math.Min(text.Length, longest));
        foreach (var c in text.AsSpan(0, Math.Min(text.Length, longest)))
        {
            if (c == '\r') continue;
            shown.Append(c is '\n' or '\t' || !(char.IsControl(c) || Turns(c)) ? c : '␛');
        }
        if (text.Length > longest) shown.Append('…');
        return shown.ToString();
    }

    // What turns the direction of the text behind it makes one name look like another: exe.txt of txt.exe.
    private static bool Turns(char c) => c is >= '\u202A' and <= '\u202E' or >= '\u2066' and <= '\u2069';
}
