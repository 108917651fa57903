using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using JobHub.Worker.Executors.Processes;

namespace JobHub.Worker.Runtime.Leaves;

/// <summary>
/// Starts a command as a job's user through a program such as sudo. That program runs as the worker itself, so nothing of the job reaches it: not its environment (a
/// library to preload would run as root), not its PATH, and its words as words. The job's environment waits in a file that the user's own shell reads and removes.
/// </summary>
internal sealed partial class RunAsTemplate
{
    private const string UserWord = "{user}", CommandWord = "{command}";
    private const string EnvironmentFile = ".jobhub-environment";
    private const string Script = ". \"$0\" && rm -f -- \"$0\" && cd -- \"$1\" && exec /bin/sh -c \"$2\"";
    private static readonly Lock Accounts = new();

    private readonly string _program;
    private readonly string[] _words;

    private RunAsTemplate(string program, string[] words) => (_program, _words) = (program, words);

    /// <summary>Why a text is no template here; null when it is one.</summary>
    public static string? Fault(string text)
    {
        var words = Split(text);
        if (words.Length < 2 || words.Count(w => w == CommandWord) != 1 || words.Count(w => w.Contains(CommandWord, StringComparison.Ordinal)) != 1)
            return "must hold the word {command} once, as in 'sudo -n -u {user} -- {command}'.";
        if (!words.Any(w => w.Contains(UserWord, StringComparison.Ordinal))) return "must name {user}, as in 'sudo -n -u {user} -- {command}'.";
        if (words[0].Contains('{', StringComparison.Ordinal)) return "must begin with a program.";
        if (FindProgram(words[0]) is null) return $"begins with '{words[0]}', which is no program of this machine.";
        // Programs are started with no_new_privs, so a setuid sudo could not change the user; and programs of another user could not be ended.
        return Libc.geteuid() == 0 ? null : "needs a worker that is root: programs of other users could not be ended by this one.";
    }

    public static RunAsTemplate? Parse(string text) => Split(text) is { Length: > 0 } words ? new(FindProgram(words[0])!, words) : null;

    /// <summary>The start of a command as a user: the scratch folder becomes the user's.</summary>
    public ProgramStart Apply(ProgramStart start, string user, string command, string folder, string scratch)
    {
        var (uid, gid) = AccountOf(user);
        var file = Path.Combine(scratch, EnvironmentFile);
        using (var written = new FileStream(file, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite }))
            written.Write(Encoding.UTF8.GetBytes(Exports(start.Environment)));
        if (Libc.lchown(file, uid, gid) != 0) throw Libc.Failed($"chown {file}");
        if (Libc.lchown(scratch, uid, gid) != 0) throw Libc.Failed($"chown {scratch}");
        var arguments = new List<string>();
        foreach (var word in _words.AsSpan(1))
        {
            if (word == CommandWord) arguments.AddRange(["/bin/sh", "-c", Script, file, folder, command]);
            else arguments.Add(word.Replace(UserWord, user, StringComparison.Ordinal));
        }
        return start with
        {
            File = _program, Arguments = arguments, AsWorker = true, WorkingFolder = "/", Environment = new Dictionary<string, string> { ["PATH"] = OwnPath, ["LANG"] = "C.UTF-8" },
        };
    }

    private static string OwnPath => Environment.GetEnvironmentVariable("PATH") is { Length: > 0 } path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    private static string[] Split(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    private static string? FindProgram(string name) =>
        name.Contains('/', StringComparison.Ordinal) ? Path.IsPathFullyQualified(name) && File.Exists(name) ? name : null
        : OwnPath.Split(':').Where(Path.IsPathFullyQualified).Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    private static string Exports(IReadOnlyDictionary<string, string> environment)
    {
        var text = new StringBuilder();
        foreach (var (name, value) in environment)
        {
            // What no shell can export is left out: here a shell stands between.
            if (!ShellName().IsMatch(name)) continue;
            if (value.Contains('\0', StringComparison.Ordinal)) throw new ProgramStartException($"The environment variable '{name}' has a value that no program can be given.");
            text.Append("export ").Append(name).Append("='").Append(value.Replace("'", "'\\''", StringComparison.Ordinal)).Append("'\n");
        }
        return text.ToString();
    }

    private static unsafe (int Uid, int Gid) AccountOf(string user)
    {
        if (!UserName().IsMatch(user)) throw new ProgramStartException($"'{user}' is not a user name this worker runs commands as (a letter or '_', then letters, digits, '_', '.', '-'; at most 64).");
        int uid, gid;
        lock (Accounts)
        {
            var entry = getpwnam(user);
            if (entry == null) throw new ProgramStartException($"This machine has no user '{user}'.");
            (uid, gid) = (entry->Uid, entry->Gid);
        }
        return uid == 0 ? throw new ProgramStartException($"Commands do not run as '{user}' here: it is root.") : (uid, gid);
    }

    [GeneratedRegex(@"\A[A-Za-z_][A-Za-z0-9_.-]{0,63}\z")]
    private static partial Regex UserName();

    [GeneratedRegex(@"\A[A-Za-z_][A-Za-z0-9_]*\z")]
    private static partial Regex ShellName();

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial Account* getpwnam(string name);

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Account
    {
        public readonly nint Name, Password;
        public readonly int Uid, Gid;
    }
}
