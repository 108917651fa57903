using JobHub.Web.Client;
using JobHub.Web.Components.Shared;
using JobHub.Web.Live;
using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Components.Pages.Job;

/// <summary>One job: how far it is, what holds it, who is slow.</summary>
public partial class JobPage
{
    private const int BarsShown = 500;
    private static readonly TimeSpan PartitionsEvery = TimeSpan.FromSeconds(10);

    private JobDetail? job;
    private TaskStates? states;
    private JobExplained? explained;
    private JobTimeline? timeline;
    private JobPartitions? partitions;
    private JobTaskVector? vector;
    private JobTaskTimes? times;
    private TaskRange? range;
    private (string Id, DateTimeOffset? EndedAt, DateTimeOffset At) partitionsOf;
    private HubPage<HubJob>? children;
    private HubPage<JobTask>? tasks;
    private JobAttempt[]? attempts;
    private HubPage<JobInput>? inputs;
    private JobOutputs? outputs;
    private HubRefusedException? refusal, outputsRefused;
    private DateTimeOffset now;

    [Parameter] public string Id { get; set; } = "";

    [SupplyParameterFromQuery] private string? Tab { get; set; }

    [SupplyParameterFromQuery] private string? State { get; set; }

    [SupplyParameterFromQuery] private string? After { get; set; }

    [SupplyParameterFromQuery] private string? Group { get; set; }

    [SupplyParameterFromQuery] private string? Brush { get; set; }

    [SupplyParameterFromQuery(Name = "attempt")] private string? AttemptText { get; set; }

    private int? Attempt => QueryNumber.Int(AttemptText);

    [SupplyParameterFromQuery(Name = "at")] private string? AtText { get; set; }

    private long? At => QueryNumber.Long(AtText);

    [SupplyParameterFromQuery(Name = "task")] private string? TaskName { get; set; }

    [SupplyParameterFromQuery(Name = "name")] private string? OutputName { get; set; }

    [Inject] private HubJobDetail Hub { get; set; } = default!;

    private string Current => Tabs.Any(tab => tab.Name == Tab) ? Tab! : Tabs[0].Name;

    private string Title => job?.Title is { Length: > 0 } title ? title : FamilyWord == "Farm job" ? FamilyWord : $"{FamilyWord} job";

    private string FamilyWord => job?.Family switch { "Commands" => "Command", "Projects" => "Analysis", "Farm" => "Farm job", { } family => family, _ => "" };

    private IReadOnlyList<(string Name, string Word, long? Count)> Tabs => job switch
    {
        { IsGroup: true } => [("jobs", "Jobs", null), ("graph", "Graph", null), ("events", "Events", null)],
        _ =>
        [
            ("summary", "Summary", null), ("tasks", "Tasks", job?.Tasks.Total), .. job?.Family is "MapReduce" or "Farm" ? new (string, string, long?)[] { ("graph", "Graph", null) } : [],
            ("io", "Inputs and outputs", null), ("log", "Log", null), ("events", "Events", null),
            .. job?.Family is "MapReduce" or "Commands" or "Farm" ? new (string, string, long?)[] { ("programs", job.Family is "MapReduce" ? "Programs" : "Command", null) } : [],
        ],
    };

    /// <summary>What has phases to show: tasks by kind, or a group's jobs.</summary>
    private IReadOnlyList<Phase> Parts => job is { IsGroup: true, Leaves: { Total: > 0 } leaves } ? [Phase.Of(leaves)] : job is { IsGroup: false } && states is not null ? Phases.Of(states) : [];

    /// <summary>About how long it goes on, once enough of it has ended to say so; of what stands still nobody knows.</summary>
    private TimeSpan? Left => job is { State: "Running", StartedAt: { } start, Progress: > 0 and < 1 } one && (one.Leaves?.Running ?? one.Tasks.Leased + one.Tasks.Running) > 0 && (one.Progress >= 0.1 || now - start > TimeSpan.FromSeconds(30))
        ? (now - start) * Math.Min(1000, (1 - one.Progress) / one.Progress) : null;

    // A hundred thousand states are some hundred kilobytes; below a group thousands of jobs are asked what they wait for.
    protected override TimeSpan LoadEvery => TimeSpan.FromSeconds(states is { Squares.Length: > 20_000 } || job is { IsGroup: true } ? 3 : 1);

    protected override bool Concerns(HubEvent happened)
    {
        ArgumentNullException.ThrowIfNull(happened);
        return happened.Job == Id || (job?.IsGroup ?? false);
    }

    protected override async Task LoadAsync(CancellationToken ct)
    {
        now = Clock.GetUtcNow();
        if (await Hub.IdOfAsync(Id, ct) is { } id)
        {
            // Pages name jobs by their numbers, and so may an address.
            Navigation.NavigateTo(HubHttp.Path($"/jobs/{id}", ("tab", Tab), ("task", TaskName), ("attempt", AttemptText), ("at", AtText)), replace: true);
            return;
        }

        // All that a page shows is asked for at once: each answer is independent of the others.
        var (one, squares, waits) = (Hub.JobAsync(Id, ct), Hub.StatesAsync(Id, states, ct), Hub.ExplainAsync(Id, ct));
        await Task.WhenAll(one, squares, waits);
        (job, states, explained) = (await one, await squares, await waits);
        if (job is null) return;
        range = states is null ? null : TaskRange.Of(Brush, states.Phases);
        if (!Loaded) ShowNow();
        await LoadTabAsync(ct);
    }

    private async Task LoadTabAsync(CancellationToken ct)
    {
        switch (Current)
        {
            case "jobs":
                children = await Hub.ChildrenAsync(Id, After, ct);
                break;
            case "tasks":
                tasks = await Hub.TasksAsync(Id, State, range?.Kind, range?.From, range?.To, After, ct);
                attempts = TaskName is { Length: > 0 and < 100 } task ? await Hub.AttemptsAsync(Id, task, ct) : null;
                break;
            case "io":
                inputs = await Hub.InputsAsync(Id, After, ct);
                outputsRefused = null;
                try
                {
                    outputs = await Hub.OutputsAsync(Id, null, ct);
                }
                catch (HubRefusedException refused)
                {
                    outputsRefused = refused;
                }

                break;
            case "summary":
                await Task.WhenAll(TimelineAsync(), GroupsAsync(), TimesAsync(), PartitionsAsync());
                break;
        }

        async Task TimelineAsync() => timeline = await Hub.TimelineAsync(Id, BarsShown, ct);

        async Task GroupsAsync() => vector = Group is "worker" or "attempts" ? await Hub.VectorAsync(Id, Group, ct) : null;

        async Task TimesAsync() => times = range is null ? null : await Hub.TimesAsync(Id, range.Kind, range.From, range.To, ct);

        // All maps' offsets are read for it: seldom while they run, and once when they have ended.
        async Task PartitionsAsync()
        {
            if (job?.Family != "MapReduce") partitions = null;
            if (job?.Family != "MapReduce" || (partitionsOf.Id == Id && (job.HasEnded ? partitionsOf.EndedAt == job.EndedAt : now - partitionsOf.At < PartitionsEvery))) return;
            partitions = await Hub.PartitionsAsync(Id, ct);
            partitionsOf = (Id, job.EndedAt, now);
        }
    }

    private async Task ActAsync(Func<HubJobDetail, string, CancellationToken, Task> action)
    {
        refusal = null;
        await DoAsync(ct => action(Hub, Id, ct), refused => refusal = refused);
        await ReloadAsync();
    }

    private async Task AgainAsync()
    {
        refusal = null;
        await DoAsync(async ct => Navigation.NavigateTo($"/jobs/{await Hub.RunAgainAsync(Id, ct)}"), refused => refusal = refused);
        StateHasChanged();
    }

    private void Open(string task) => Navigation.NavigateTo(To("tasks", task));

    private void Select(string? brush) => Navigation.NavigateTo(Address(("brush", brush)));

    /// <summary>A tab's address.</summary>
    private string To(string tab, string? task) => HubHttp.Path($"/jobs/{Id}", ("tab", tab == Tabs[0].Name ? null : tab), ("task", task));

    /// <summary>This address with other values.</summary>
    private string Address(params (string Name, string? Value)[] values) =>
        Navigation.GetUriWithQueryParameters(values.ToDictionary(static v => v.Name, static v => (object?)v.Value));

    private string? ShortOf(string? task) => task is null ? null : task.StartsWith(Id + "-", StringComparison.Ordinal) ? task[(Id.Length + 1)..] : null;

    private static string ErrorWord(string? type) => type switch
    {
        "timeout" => "Timed out", "out-of-memory" => "Out of memory", "worker-lost" => "Worker lost", "exit-code" => "Failed", null => "Failed", _ => Shown.Name(type),
    };
}
