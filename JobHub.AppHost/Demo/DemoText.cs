using JobHub.AppHost.LocalHosting;

namespace JobHub.AppHost.Demo;

/// <summary>The text the demo counts, where the hub can read it.</summary>
/// <param name="Address">For `inputPath`: everything below a folder.</param>
/// <param name="Words">What stands between the six white-space bytes, counted here for the check at the end.</param>
internal sealed record StagedText(string Address, long Bytes, int Files, long Words);

/// <summary>Collects texts into a few objects: a job over hundreds of small files would measure starts of programs, not counting.</summary>
internal static class DemoText
{
    private const long PartSize = 64L * 1024 * 1024;

    private static readonly HashSet<string> Extensions = new(StringComparer.OrdinalIgnoreCase)
    {
        ".md", ".txt", ".cs", ".css", ".js", ".html", ".razor", ".svg", ".json", ".sql", ".sh", ".awk", ".py", ".xml", ".props", ".csproj", ".sln",
        ".yml", ".yaml", ".csv", ".tsv", ".log", ".c", ".h", ".go", ".rs", ".java", ".ts", ".rb", ".tex", ".rst",
    };

    private static readonly HashSet<string> Skipped = new(StringComparer.Ordinal) { "bin", "obj", "node_modules", "TestResults", "artifacts" };

    public static async Task<StagedText> StageAsync(IReadOnlyList<string> inputs, string folder, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(folder);
        var (files, bytes, words, part, partBytes) = (0, 0L, 0L, 0, 0L);
        var buffer = new byte[1 << 18];
        FileStream? target = null;
        try
        {
            foreach (var file in inputs.Count == 0 ? TextBelow(Repository()) : inputs.SelectMany(i => Directory.Exists(i) ? TextBelow(i) : [i]))
            {
                if (target is null || partBytes >= PartSize)
                {
                    if (target is not null) await target.DisposeAsync();
                    target = new FileStream(Path.Combine(folder, $"text-{part++:00000}.txt"), FileMode.CreateNew);
                    partBytes = 0;
                }
                await using var source = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
                var (inWord, last, count) = (false, (byte)'\n', 0);
                while ((count = await source.ReadAsync(buffer, cancellationToken)) > 0)
                {
                    words += CountWords(buffer.AsSpan(0, count), ref inWord);
                    last = buffer[count - 1];
                    await target.WriteAsync(buffer.AsMemory(0, count), cancellationToken);
                    (bytes, partBytes) = (bytes + count, partBytes + count);
                }
                files++;
                if (last == (byte)'\n') continue;
                // The last word of a file and the first of the next are two words.
                target.WriteByte((byte)'\n');
                (bytes, partBytes) = (bytes + 1, partBytes + 1);
            }
        }
        finally
        {
            if (target is not null) await target.DisposeAsync();
        }
        return files > 0 ? new StagedText($"file://{folder}/", bytes, files, words) : throw new HubStartException("There is no text in what was given.");
    }

    private static long CountWords(ReadOnlySpan<byte> text, ref bool inWord)
    {
        var words = 0L;
        foreach (var b in text)
        {
            var blank = b is (byte)' ' or (>= 9 and <= 13);
            if (!blank && !inWord) words++;
            inWord = !blank;
        }
        return words;
    }

    private static string Repository()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "JobHub.sln"))) return folder.FullName;
        return Path.Combine(AppContext.BaseDirectory, "samples");
    }

    private static IEnumerable<string> TextBelow(string folder)
    {
        foreach (var file in Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal))
            if (Extensions.Contains(Path.GetExtension(file))) yield return file;
        foreach (var below in Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileName(below);
            if (name.StartsWith('.') || Skipped.Contains(name) || new DirectoryInfo(below).LinkTarget is not null) continue;
            foreach (var file in TextBelow(below)) yield return file;
        }
    }
}
