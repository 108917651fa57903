using System.Globalization;
using System.Text;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;

namespace JobHub.Faults.Tests.Runs;

/// <summary>A text whose every word and line is known, the programs that count it, and the comparison of what came out.</summary>
public sealed class WordCount
{
    public const string Mapper = "ledger-mapper.sh", Reducer = "ledger-reducer.sh";

    /// <summary>What every mapper prints on stderr: its log, to the byte.</summary>
    public static string LogOf(string task, int attempt) => $"counting for {task} attempt {attempt}\ndone\n";

    // One process counts: of a pipe only the last one's end is seen by the shell, and a kill of another would go for the end of the input.
    // Half of its work before the words are printed and half after: a kill may come before, among and after them.
    private const string MapperText = "#!/bin/sh\n" + ProgramLedger.Say + """
        say start
        echo "counting for $JOBHUB_TASK_ID attempt $JOBHUB_ATTEMPT_NUMBER" >&2
        sleep "${WORK:-0.1}"
        mawk -v OFS='\t' '{ for (i = 1; i <= NF; i++) print $i, 1 }' || exit 9
        say beat
        sleep "${WORK:-0.1}"
        echo done >&2
        say commit

        """;

    private const string ReducerText = "#!/bin/sh\n" + ProgramLedger.Say + """
        say start
        sleep "${WORK:-0.1}"
        mawk -F '\t' 'NR > 1 && $1 != word { print word "\t" sum; sum = 0 } { word = $1; sum += $2 } END { if (NR) print word "\t" sum }' || exit 9
        say commit

        """;

    private readonly byte[] text;
    private readonly SortedDictionary<string, long> words = new(StringComparer.Ordinal);

    public WordCount(int seed, int bytes)
    {
        var random = new Random(seed);
        var built = new StringBuilder(bytes + 100);
        while (built.Length < bytes)
        {
            for (var n = random.Next(1, 12); n > 0; n--)
            {
                // Few words that are frequent and many that are not.
                var word = string.Create(CultureInfo.InvariantCulture, $"w{(random.Next(3) > 0 ? random.Next(40) : random.Next(5000))}");
                words[word] = words.GetValueOrDefault(word) + 1;
                built.Append(word).Append(n == 1 ? '\n' : ' ');
            }

            Lines++;
        }

        text = Encoding.ASCII.GetBytes(built.ToString());
    }

    public long Lines { get; private set; }

    public long Words => words.Values.Sum();

    public int Bytes => text.Length;

    public static async Task UploadAsync(FaultHub hub)
    {
        await hub.UploadAsync(Mapper, MapperText);
        await hub.UploadAsync(Reducer, ReducerText);
    }

    /// <summary>A job over this text.</summary>
    /// <param name="work">Seconds each half of a program takes.</param>
    public FaultJob Job(FaultHub hub, int maps, int reducers = 2, double work = 0.1) => new(Mapper, Reducer, hub.Input(text))
    {
        Reducers = reducers, SplitSize = (text.Length / maps) + 1, MaxAttempts = 60,
        Environment = new Dictionary<string, string> { ["WORK"] = work.ToString(CultureInfo.InvariantCulture) },
    };

    /// <summary>Compares a job's output with the truth.</summary>
    /// <returns>How many occurrences of words are missing, and how many are too many.</returns>
    public (long Lost, long Doubled) Compare(string folder)
    {
        var seen = new Dictionary<string, long>();
        foreach (var part in Directory.EnumerateFiles(folder, "part-*"))
        {
            foreach (var line in File.ReadLines(part))
            {
                var tab = line.IndexOf('\t', StringComparison.Ordinal);
                seen[line[..tab]] = seen.GetValueOrDefault(line[..tab]) + long.Parse(line.AsSpan(tab + 1), CultureInfo.InvariantCulture);
            }
        }

        long lost = 0, doubled = 0;
        foreach (var word in words.Keys.Union(seen.Keys))
        {
            var difference = seen.GetValueOrDefault(word) - words.GetValueOrDefault(word);
            if (difference < 0) lost -= difference;
            else doubled += difference;
        }

        return (lost, doubled);
    }
}
