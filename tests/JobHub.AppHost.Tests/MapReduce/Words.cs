using System.Diagnostics;
using System.Text;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>Counts of words, by the usual tools and out of a job's parts. Latin-1 carries the bytes.</summary>
internal static class Words
{
    /// <summary>What the usual tools count.</summary>
    public static async Task<SortedDictionary<string, long>> ExpectedAsync(byte[] text)
    {
        using var tools = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", "export LC_ALL=C; tr -s '[:space:]' '\\n' | grep -a -v '^$' | sort | uniq -c"])
        {
            UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, StandardOutputEncoding = Encoding.Latin1,
        })!;
        var reading = tools.StandardOutput.ReadToEndAsync();
        await tools.StandardInput.BaseStream.WriteAsync(text);
        tools.StandardInput.Close();
        var counts = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var line in (await reading).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var counted = line.TrimStart(' ');
            var space = counted.IndexOf(' ', StringComparison.Ordinal);
            counts.Add(counted[(space + 1)..], long.Parse(counted[..space], null));
        }
        await tools.WaitForExitAsync();
        return counts;
    }

    /// <summary>What the parts of a job hold. Fails when a part is not sorted, or a word is in two places.</summary>
    public static SortedDictionary<string, long> Of(IEnumerable<byte[]> parts)
    {
        var counts = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var part in parts)
        {
            string? before = null;
            Assert.True(part.Length == 0 || part[^1] == '\n', "A part ends without a line end.");
            foreach (var line in Encoding.Latin1.GetString(part).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                var tab = line.LastIndexOf('\t');
                Assert.True(tab > 0, $"Not a record: {line}");
                var word = line[..tab];
                Assert.True(before is null || string.CompareOrdinal(before, word) < 0, $"{word} comes after {before}");
                counts.Add(word, long.Parse(line[(tab + 1)..], null));
                before = word;
            }
        }
        return counts;
    }
}
