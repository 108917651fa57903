using System.Collections.Concurrent;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Tests.Agent;
using Xunit;

namespace JobHub.Worker.Tests.Trees;

/// <summary>
/// What a command may plant or try. Nothing outside its tree is read into what is kept, or written; the attempt ends, is reported, and leaves no folder and no process.
/// Plain runs hold what needs no sandbox: what is kept, and the end.
/// </summary>
public sealed class HostileTreeTests : IDisposable
{
    private static readonly ParallelOptions AtOnce = new() { MaxDegreeOfParallelism = 3 };
    private const string Secret = "the-secret-of-somebody-else";

    // A secret of the worker's user, one of the programs' own user as another job's files are, and a folder that all may write.
    private readonly string _outside = Directory.CreateDirectory(Path.Combine("/var/tmp", $"jobhub-test-{Guid.NewGuid():N}"), (UnixFileMode)0b111_111_111).FullName;

    public HostileTreeTests()
    {
        File.SetUnixFileMode(_outside, (UnixFileMode)0b111_111_111);
        File.WriteAllText(Path.Combine(_outside, "secret"), Secret);
        File.WriteAllText(Path.Combine(_outside, "victim"), "untouched");
        File.SetUnixFileMode(Path.Combine(_outside, "victim"), (UnixFileMode)0b110_110_110);
    }

    public void Dispose() => Directory.Delete(_outside, true);

    /// <summary>What is planted (shell, in /job, OUT is the folder outside), and a path that must not be kept.</summary>
    private static readonly (string Name, string Script, string? NotKept)[] Planted =
    [
        ("link to passwd", "ln -s /etc/passwd l", "/job/l"),
        ("link to a secret", "ln -s $OUT/secret l", "/job/l"),
        ("link to root", "ln -s / l", "/job/l"),
        ("link to ..", "ln -s .. l", "/job/l"),
        ("link up and up", "ln -s ../../../../../../../../../../etc/passwd l", "/job/l"),
        ("link to a folder", "ln -s $OUT l", "/job/l"),
        ("link to itself", "ln -s l l", "/job/l"),
        ("chain of links", "ln -s b a; ln -s c b; ln -s $OUT/secret c", "/job/a"),
        ("loop of links", "ln -s b a; ln -s a b", "/job/a"),
        ("dangling link", "ln -s /nowhere l", "/job/l"),
        ("link through proc", "ln -s /proc/self/root$OUT/secret l", "/job/l"),
        ("link to a descriptor", "ln -s /proc/self/fd/0 l", "/job/l"),
        ("link to the worker's root", "ln -s /proc/1/root/etc l", "/job/l"),
        ("link with a long target", "ln -s $(printf 'x%.0s' $(seq 4000)) l", "/job/l"),
        ("link named as a file of the root", "ln -s $OUT/secret ../passwd", "/passwd"),
        ("folder become a link", "mkdir d; echo x > d/f; mv d e; ln -s $OUT d", "/job/d"),
        ("working folder become a link", "cd /; cd \"$JOBHUB_ROOT\"; mv job job2; ln -s $OUT job", "/job"),
        ("tmp become a link", "cd \"$JOBHUB_ROOT\"; mv tmp tmp2; ln -s $OUT tmp", "/tmp"),
        ("input become a link", "rm in; ln -s $OUT/secret in", "/job/in"),
        ("input's folder become a link", "cd \"$JOBHUB_ROOT\"; rm -r data; ln -s $OUT data", "/data"),
        ("hard link to passwd", "ln /etc/passwd l 2>/dev/null || :", "/job/l"),
        ("hard link to a secret", "ln $OUT/secret l 2>/dev/null || :", "/job/l"),
        ("hard link to a file that all may write", "ln $OUT/victim l 2>/dev/null || :", "/job/l"),
        ("hard link by descriptor", "perl -e 'open(F,\"<\",\"/etc/passwd\"); link(\"/proc/self/fd/\".fileno(F),\"l\")' || :", "/job/l"),
        ("named pipe", "mkfifo l", "/job/l"),
        ("named pipe with a writer", "mkfifo l; (setsid sh -c 'echo x > l' &)", "/job/l"),
        ("socket", "perl -e 'use Socket; socket(S,AF_UNIX,SOCK_STREAM,0); bind(S,pack_sockaddr_un(\"l\"))'", "/job/l"),
        ("device", "mknod l c 1 3 2>/dev/null || :", "/job/l"),
        ("disk device", "mknod l b 254 0 2>/dev/null || :", "/job/l"),
        ("name with a newline", "touch \"$(printf 'a\\nb')\"", "/job/a\nb"),
        ("name with ESC", "touch \"$(printf 'a\\033[2Jb')\"", "/job/a\u001b[2Jb"),
        ("name that is no UTF-8", "touch \"$(printf 'a\\377b')\"", "/job/a\uFFFDb"),
        ("name of an overlong slash", "touch \"$(printf 'a\\300\\257b')\"", null),
        ("name with DEL", "touch \"$(printf 'a\\177')\"", "/job/a\u007f"),
        ("folder that is no UTF-8", "d=\"$(printf 'd\\377')\"; mkdir \"$d\"; echo x > \"$d/f\"", null),
        ("name of dots", "touch ... ....", null),
        ("name of 255 bytes", "touch $(printf 'x%.0s' $(seq 255))", null),
        ("name of a space", "touch ' '", null),
        ("name with a leading dash", "touch -- -rf", null),
        ("path over 1024 bytes", "n=$(printf 'y%.0s' $(seq 200)); for i in 1 2 3 4 5 6; do mkdir $n; cd $n; done; touch f", null),
        ("nesting deeper than a path can be", "perl -e 'for (1..3000) { mkdir \"deep\"; chdir \"deep\" or die } open(F,\">\",\"f\")'", null),
        ("many empty folders", "i=0; while [ $i -lt 300 ]; do mkdir -p m/$i/$i; i=$((i+1)); done", null),
        ("file without permissions", "echo x > l; chmod 000 l", null),
        ("folder without permissions", "mkdir d; echo x > d/f; chmod 000 d", null),
        ("folders read-only all the way", "mkdir -p d/e/f; echo x > d/e/f/g; chmod -R a-w d", null),
        ("working folder without permissions", "echo x > f; chmod 000 .", null),
        ("root without permissions", "chmod 000 \"$JOBHUB_ROOT\"", null),
        ("tree itself become a link", "cd \"$JOBHUB_ROOT\"; test $JOBHUB_ROOT = / || { mv \"$JOBHUB_ROOT\" \"$JOBHUB_ROOT\"2; ln -s $OUT \"$JOBHUB_ROOT\"; }", "/secret"),
        ("setuid program", "cp /bin/sh s; chmod 6755 s", null),
        ("sparse file of 10 GB", "truncate -s 10G l", "/job/l"),
        ("sparse file of 8 EB", "truncate -s 7E l 2>/dev/null || truncate -s 15T l", "/job/l"),
        ("file that is deleted and open", "exec 9>gone; rm gone; echo x >&9; (setsid sleep 300 &)", "/job/gone"),
        ("writer that goes on", "(setsid sh -c 'trap \"\" TERM; while :; do echo x >> w; done' >/dev/null 2>&1 &); sleep 0.1", null),
        ("writer that swaps a file and a link", "(setsid sh -c 'trap \"\" TERM; while :; do rm -f s; ln -s $OUT/secret s; rm -f s; echo mine > s; done' >/dev/null 2>&1 &); sleep 0.1", null),
        ("writer without its environment", "(env -i setsid sh -c 'while :; do echo x >> w; done' >/dev/null 2>&1 &); sleep 0.1", null),
        ("file that shrinks and grows", "(setsid sh -c 'while :; do truncate -s 0 g; truncate -s 5M g; done' >/dev/null 2>&1 &); sleep 0.1", null),
        ("file over a folder of the worker's", "cd \"$JOBHUB_ROOT\"; echo x > usr/x 2>/dev/null; echo x > etc/x 2>/dev/null; :", null),
        ("mount points moved", "cd \"$JOBHUB_ROOT\"; mv usr usr2 2>/dev/null; mv etc etc2 2>/dev/null; mv var var2 2>/dev/null; :", null),
        ("mount points deleted", "cd \"$JOBHUB_ROOT\"; rmdir usr etc proc dev sys 2>/dev/null; rm -f bin sbin lib 2>/dev/null; :", null),
    ];

    /// <summary>What must fail inside a sandbox: a script that prints LEAK when it does not.</summary>
    private static readonly (string Name, string Script)[] Tried =
    [
        ("outside folder", "test -e $OUT && echo LEAK"),
        ("scratch root", "test -e $SCRATCH && echo LEAK"),
        ("scratch of others by listing", "ls -d /var/tmp/* 2>/dev/null | grep -q . && echo LEAK"),
        ("root's home", "ls -A /root 2>/dev/null | grep -q . && echo LEAK"),
        ("homes", "ls -A /home 2>/dev/null | grep -q . && echo LEAK"),
        ("run", "test -e /run/lock && echo LEAK"),
        ("var lib", "test -e /var/lib/dpkg && echo LEAK"),
        ("host's tmp", "ls -A /tmp | grep -q . && echo LEAK"),
        ("worker's data", "test -e $DATA && echo LEAK"),
        ("root of process 1", "ls /proc/1/root/var/lib/dpkg 2>/dev/null && echo LEAK"),
        ("folder of process 1", "ls /proc/1/cwd/var/lib/dpkg 2>/dev/null && echo LEAK"),
        ("descriptors of process 1", "ls -l /proc/1/fd 2>/dev/null | grep -q pipe && cat /proc/1/fd/3 2>/dev/null && echo LEAK"),
        ("own root and up", "r=root; test -e /proc/self/$r/../../..$OUT && echo LEAK"),
        ("dots over the root", "test -e /../../../../..$OUT && echo LEAK"),
        ("worker in the process table", "grep -la dotnet /proc/[0-9]*/comm 2>/dev/null && echo LEAK"),
        ("environment of the worker", "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -q JOBHUB_TEST && echo LEAK"),
        ("kill of the worker", "kill -9 $WORKER 2>/dev/null && echo LEAK"),
        ("kill of everything", "kill -9 -1; :"),
        ("ptrace of the worker", "cat /proc/$WORKER/maps 2>/dev/null && echo LEAK"),
        ("mount of tmpfs", "mount -t tmpfs x /usr 2>/dev/null && echo LEAK"),
        ("remount of the root", "mount -o remount,rw /usr 2>/dev/null && echo LEAK"),
        ("umount of what covers", "umount -l /dev 2>/dev/null && echo LEAK"),
        ("umount of the root", "umount -l / 2>/dev/null; test -e $OUT && echo LEAK"),
        ("namespace of its own, root unmounted", "unshare -Urm sh -c 'umount -l /; umount /; test -e '$OUT' && echo LEAK' 2>/dev/null"),
        ("namespace of its own, usr written", "unshare -Urm sh -c 'mount -o remount,bind,rw /usr && echo x > /usr/jobhub-leak && echo LEAK' 2>/dev/null"),
        ("namespace of its own, chroot out", "unshare -Urm perl -e 'mkdir \"c\"; chroot(\"c\"); chdir(\"..\") for 1..50; chroot(\".\"); print \"LEAK\\n\" if -e \"'$OUT'\"' 2>/dev/null"),
        ("entering process 1", "nsenter -t 1 -m ls $OUT 2>/dev/null && echo LEAK"),
        ("writing usr", "echo x > /usr/jobhub-leak 2>/dev/null && echo LEAK"),
        ("writing etc", "echo x >> /etc/passwd 2>/dev/null && echo LEAK"),
        ("writing sys", "echo 1 > /sys/kernel/mm/ksm/run 2>/dev/null && echo LEAK"),
        ("writing kernel settings", "echo x > /proc/sys/kernel/core_pattern 2>/dev/null && echo LEAK"),
        ("sysrq", "echo h > /proc/sysrq-trigger 2>/dev/null && echo LEAK"),
        ("disk", "test -e /dev/vda -o -e /dev/sda -o -e /dev/mem -o -e /dev/kmsg && echo LEAK"),
        ("new device", "mknod d b 254 0 2>/dev/null && echo LEAK"),
        ("host's shared memory", "test -e /dev/shm/$MARK && echo LEAK"),
        ("root by a setuid program", "for f in su mount passwd; do p=$(command -v $f) && cp $p x 2>/dev/null; done; test $(id -u) = 0 && echo LEAK"),
        ("capabilities", "grep -q 'CapEff:.0*$' /proc/self/status || echo LEAK"),
        ("new privileges", "grep -q 'NoNewPrivs:.1' /proc/self/status || echo LEAK"),
        ("control groups", "mkdir /sys/fs/cgroup/memory/leak 2>/dev/null && echo LEAK; echo $$ > /sys/fs/cgroup/memory/cgroup.procs 2>/dev/null && echo LEAK"),
        ("host name", "hostname leak 2>/dev/null && echo LEAK"),
        ("core dump pattern", "test -w /proc/sys/kernel/core_pattern && echo LEAK"),
        ("hard link out of a shown folder", "ln /usr/bin/env /job/env 2>/dev/null && echo LEAK"),
        ("descriptors left open", "ls -l /proc/self/fd | awk 'NR>1 && $9>3' | grep -q . && echo LEAK"),
    ];

    public static TheoryData<string> AllSteps => ["bubblewrap", "unshare", "plain"];
    public static TheoryData<string> Sandboxes => ["bubblewrap", "unshare"];

    [Fact]
    public void Lists_AreLong() => Assert.True(Planted.Length + Tried.Length >= 60);

    [Theory]
    [MemberData(nameof(AllSteps))]
    public async Task Planted_ByACommand_NothingOutsideIsKeptOrChangedAndNothingIsLeft(string step)
    {
        await using var run = await TreeRun.StartAsync(step, ("Slots", "3"));
        var runs = new ConcurrentBag<(string Name, string? NotKept, AttemptSpec Spec)>();
        // No more than there are slots: what waits too long for one is given back unstarted.
        await Parallel.ForEachAsync(Planted, AtOnce, async (one, _) =>
            runs.Add((one.Name, one.NotKept, await run.DoOneAsync($"OUT={_outside}\nexport OUT\n{one.Script}", ("/job/in", "in\n"), ("/data/x", "x\n")))));
        var wrong = new List<string>();
        foreach (var (name, notKept, spec) in runs)
        {
            var result = run.ResultOf(spec);
            if (result.Outcome is not (AttemptOutcome.Succeeded or AttemptOutcome.Failed) || result.Error?.Type is not (null or "exit-code" or "signal")) wrong.Add($"{name}: {result.Outcome} {result.Error}");
            foreach (var (path, text) in run.Hub.KeptOf(spec))
            {
                if (path == notKept) wrong.Add($"{name}: kept {path}");
                if (text.Contains(Secret, StringComparison.Ordinal) || text.Contains("root:x:0", StringComparison.Ordinal)) wrong.Add($"{name}: {path} holds what is not the job's");
                if (text == "untouched") wrong.Add($"{name}: {path} is somebody else's");
                if (path.Any(char.IsControl)) wrong.Add($"{name}: kept a control character");
            }
            if (run.Hub.LogOf(spec).Any(c => char.IsControl(c) && c != '\n')) wrong.Add($"{name}: its log holds a control character");
        }

        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
        Assert.Equal("untouched", await File.ReadAllTextAsync(Path.Combine(_outside, "victim")));
        Assert.Equal(["secret", "victim"], Directory.GetFiles(_outside).Select(Path.GetFileName).Order());
        await Eventually.TrueAsync(() => run.IsClean);
        Assert.DoesNotContain(Marks(), mark => runs.Any(r => mark.Contains(r.Spec.Token.ToString(), StringComparison.Ordinal)));
    }

    [Theory]
    [MemberData(nameof(Sandboxes))]
    public async Task Tried_InASandbox_NothingIsSeenOrDone(string step)
    {
        Environment.SetEnvironmentVariable("JOBHUB_TEST_SECRET", Secret);
        var mark = $"jobhub-test-{Guid.NewGuid():N}";
        await File.WriteAllTextAsync(Path.Combine("/dev/shm", mark), Secret);
        try
        {
            await using var run = await TreeRun.StartAsync(step, ("Slots", "3"));
            var head = $"OUT={_outside} SCRATCH={Path.GetDirectoryName(run.Scratch)} DATA={Path.GetDirectoryName(Path.GetDirectoryName(run.Scratch))}/data WORKER={Environment.ProcessId} MARK={mark}\n";
            var runs = new ConcurrentBag<(string Name, AttemptSpec Spec)>();
            await Parallel.ForEachAsync(Tried, AtOnce, async (one, _) => runs.Add((one.Name, await run.DoOneAsync(head + one.Script))));
            Assert.Empty(runs.Where(r => run.Hub.LogOf(r.Spec).Contains("LEAK", StringComparison.Ordinal) || run.Hub.LogOf(r.Spec).Contains(Secret, StringComparison.Ordinal)).Select(r => r.Name));
            Assert.Empty(runs.Where(r => run.ResultOf(r.Spec).Error?.Type is not (null or "exit-code" or "signal")).Select(r => $"{r.Name} {run.ResultOf(r.Spec).Error}"));
            await Eventually.TrueAsync(() => run.IsClean);
        }
        finally { File.Delete(Path.Combine("/dev/shm", mark)); }
    }

    [Theory]
    [MemberData(nameof(Sandboxes))]
    public async Task Attempts_SideBySide_SeeNothingOfEachOther(string step)
    {
        await using var run = await TreeRun.StartAsync(step);
        var first = run.Hub.AddTree($"echo {Secret} > /tmp/mine; echo {Secret} > /dev/shm/mine; echo {Secret} > /var/tmp/mine; echo ready; sleep 1000");
        await Eventually.TrueAsync(() => run.Hub.Live.ContainsKey(first.Token));
        var second = await run.DoOneAsync("ls -A /tmp /dev/shm /var/tmp /job; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 1000'; kill -9 -1; :");
        Assert.DoesNotContain("mine", run.Hub.LogOf(second), StringComparison.Ordinal);
        Assert.False(run.Hub.Results.ContainsKey(first.Token));
        run.Hub.Orders.Enqueue(new StopOrder(first.Token, StopReason.CancelRequested));
        await Eventually.TrueAsync(() => run.Hub.Results.ContainsKey(first.Token));
        Assert.Equal(["/tmp/mine"], run.Hub.KeptOf(first).Keys);
    }

    // A shell and a loader of its own must not run with any right of the worker's.
    [Theory]
    [MemberData(nameof(Sandboxes))]
    public async Task Programs_ThatAJobPlacesAmongTheHosts_RunAsItsUserOnly(string step)
    {
        await using var run = await TreeRun.StartAsync(step);
        var spec = await run.DoOneAsync("id -u; cat /etc/ld.so.preload", ("/etc/ld.so.preload", "/job/evil.so\n"), ("/etc/profile", "echo evil\n"), ("/etc/passwd", "root::0:0::/:/bin/sh\n"));
        Assert.Contains(Environment.IsPrivilegedProcess ? "65534\n" : $"{Environment.UserName}", run.Hub.LogOf(spec), StringComparison.Ordinal);
        Assert.Contains("/job/evil.so", run.Hub.LogOf(spec), StringComparison.Ordinal);
        Assert.Empty(run.Hub.KeptOf(spec));
    }

    private static IEnumerable<string> Marks()
    {
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            string text;
            try { text = File.ReadAllText(Path.Combine(folder, "environ")); }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException) { continue; }
            yield return text;
        }
    }
}
