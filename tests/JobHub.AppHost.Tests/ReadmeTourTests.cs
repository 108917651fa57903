using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using JobHub.Testing;

namespace JobHub.AppHost.Tests;

/// <summary>The tour of README.md is executed as it stands there; only the hub's address and data folder are others.</summary>
public sealed partial class ReadmeTourTests
{
    [Fact]
    public async Task Tour_ExecutedAsPrinted_ShowsWhatTheTextSays()
    {
        await using var hub = await HubProcess.StartAsync();

        var steps = await RunAsync(Blocks(), hub);

        Assert.All(steps, step => Assert.True(step.ExitCode == 0, $"{step.Block}\nended with {step.ExitCode}:\n{step.Output}"));
        string Shown(string command) => Assert.Single(steps, s => s.Block.Contains(command, StringComparison.Ordinal)).Output;
        Assert.Contains("\"name\":\"reducer.awk\",\"type\":\"streaming\"", Shown("program=@samples/wordcount/reducer.awk"));
        Assert.Contains("\"mProgram\":{\"name\":\"mapper.awk\"", Shown("Idempotency-Key"));
        Assert.Contains("\"status\":\"completed\",\"progress\":1", Shown("until curl -s $HUB/api/v1"));
        var tasks = Shown("tasks?limit=3");
        Assert.Equal(3, Regex.Count(tasks, "\"type\":\"mapper\""));
        Assert.Contains("event: job-submitted", tasks);
        Assert.Contains("event: job-ended", tasks);
        Assert.Equal("_SUCCESS\npart-00000\npart-00001\nthe\t4000\nbrown\t2000\ndog\t2000\n", Shown("sort -k2,2nr"));
        var stopped = Shown("slow.sh");
        Assert.Contains("the slow mapper starts\n", stopped);
        Assert.Contains(" was successfully stopped\n\"status\":\"stopped\"\n", stopped);
        var command = Shown("unique_id=$NAME");
        Assert.Contains("sorted 2 names\n", command);
        Assert.Contains("\"status\":\"COMPLETE\"", command);
        Assert.Contains("\"name\":\"sorted.txt\",\"type\":\"file\",\"size\":8", command);
        Assert.EndsWith("ada\nmia\n", command);
        var shot = Shown("SHOT=");
        Assert.Contains("\"state\":\"PENDING\"", shot);
        Assert.Matches("\"state\":\"FINISHED\".*\"total_finished\":3", shot);
        Assert.Contains("composed\\n", shot);
        var tree = Shown("goeburst");
        Assert.Contains("\"profiles\":6", tree);
        Assert.Matches(@"\(.*\)1;\n", tree);
        Assert.Contains("<svg", tree);
        Assert.Contains("\"type\":\"urn:jobhub:input-not-found\"", Shown("/no/such/file.txt"));
    }

    private static string[] Blocks()
    {
        var page = File.ReadAllText(Path.Combine(Repository, "README.md"));
        var tour = page[page.IndexOf("<!-- tour -->", StringComparison.Ordinal)..page.IndexOf("<!-- /tour -->", StringComparison.Ordinal)];
        return [.. BashBlock().Matches(tour).Select(m => m.Groups[1].Value)];
    }

    /// <summary>All blocks in one shell, as a reader types them; each one's last exit code and what it printed. curl's 28 is a stream that was cut as asked.</summary>
    private static async Task<List<(string Block, int ExitCode, string Output)>> RunAsync(string[] blocks, HubProcess hub)
    {
        Assert.True(blocks.Length >= 8, $"The tour has {blocks.Length} blocks.");
        var mark = Guid.NewGuid().ToString("N");
        var script = new StringBuilder();
        foreach (var block in blocks) script.Append(block).Append($"printf '\\n{mark} %s\\n' $?\n");
        var start = new ProcessStartInfo("bash", ["-s"])
        {
            WorkingDirectory = Repository, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false,
        };
        start.Environment["HUB"] = hub.Api.ToString().TrimEnd('/');
        start.Environment["DATA"] = hub.DataFolder;
        start.Environment["LC_ALL"] = "C";
        using var bash = Process.Start(start)!;
        var output = bash.StandardOutput.ReadToEndAsync();
        var errors = bash.StandardError.ReadToEndAsync();
        await bash.StandardInput.WriteAsync(script.ToString());
        bash.StandardInput.Close();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        try
        {
            await bash.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            bash.Kill(entireProcessTree: true);
            throw;
        }

        Assert.Equal("", await errors);
        var parts = Regex.Split(await output, $"\n{mark} (\\d+)\n");
        Assert.Equal((2 * blocks.Length) + 1, parts.Length);
        return [.. blocks.Select((block, i) => (block, int.Parse(parts[(2 * i) + 1]) is var code && code == 28 ? 0 : code, parts[2 * i]))];
    }

    private static string Repository
    {
        get
        {
            var folder = new DirectoryInfo(AppContext.BaseDirectory);
            while (!File.Exists(Path.Combine(folder.FullName, "JobHub.sln"))) folder = folder.Parent ?? throw new InvalidOperationException("JobHub.sln was not found.");
            return folder.FullName;
        }
    }

    [GeneratedRegex("^```bash\n(.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex BashBlock();
}
