namespace JobHub.Faults.Tests.Ledger;

/// <summary>Processes of this machine that carry an attempt's mark.</summary>
public static class ProgramProcesses
{
    private const string Mark = "JOBHUB_ATTEMPT=";

    /// <summary>Ids and tokens of all of them.</summary>
    public static IEnumerable<(int Id, Guid Token)> All()
    {
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), out var id) && TokenOf(id) is { } token) yield return (id, token);
        }
    }

    private static Guid? TokenOf(int id)
    {
        try
        {
            foreach (var variable in File.ReadAllText($"/proc/{id}/environ").Split('\0'))
                if (variable.StartsWith(Mark, StringComparison.Ordinal) && Guid.TryParse(variable.AsSpan(Mark.Length), out var token)) return token;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It ended while we looked.
        }

        return null;
    }
}
