using System.Globalization;
using System.Text;

namespace JobHub.Benchmarks.Measuring;

/// <summary>Runs verbs, prints their tables and writes them as a Markdown fragment.</summary>
internal static class Verbs
{
    public static async Task<int> RunAsync(Dictionary<string, Func<Arguments, Task<Table>>> verbs, string[] args)
    {
        if (args is [] || (args[0] != "all" && !verbs.ContainsKey(args[0])))
        {
            await Console.Error.WriteLineAsync($"usage: benchmarks {string.Join('|', verbs.Keys)}|all [--runs N] [--n N] [--out FILE] [--peers FOLDER]");
            return 2;
        }

        var arguments = new Arguments(args.AsSpan(1));
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Machine.Describe()}\n\n");
        var failed = false;
        foreach (var (name, verb) in verbs)
        {
            if (args[0] != "all" && args[0] != name) continue;
            var before = Machine.Load();
            string part;
            try
            {
                var table = await verb(arguments);
                part = table.ToMarkdown(name, before, Machine.Load());
            }
            catch (Exception fault)
            {
                // One that fails must not cost the others of a long run, and what it started is ended by unwinding, not left behind by a crash.
                part = $"### {name}\n\nFailed: {fault.Message}\n";
                await Console.Error.WriteLineAsync(fault.ToString());
                failed = true;
            }

            Console.WriteLine(part);
            text.Append(part).Append('\n');
            if (arguments.Text("out") is { } file) await File.WriteAllTextAsync(file, text.ToString());
        }

        return failed ? 1 : 0;
    }
}
